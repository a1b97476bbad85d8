from __future__ import annotations

from typing import Any

import pytest

from nbflow.config.places import ArchivePlace
from nbflow.config.shape import MISSING, Reading


def read(value: Any) -> tuple[Any, list[str]]:
    reading = Reading()
    found = ArchivePlace().read(value, ("nbflow", "outputs"), reading)
    return found, [fault.message for fault in reading.faults]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("outputs", "outputs"),
        ("/var/outputs/", "/var/outputs/"),
        ("s3://bucket/", "s3://bucket"),
        ("gs://bucket/prefix", "gs://bucket/prefix"),
        ("file:///x/", "file:///x/"),
    ],
)
def test_places(value: str, found: str) -> None:
    assert read(value) == (found, [])


@pytest.mark.parametrize("value", ["", " ", 1, "a\0b", "~/outputs", "s3://", "memory://x"])
def test_faults(value: Any) -> None:
    found, faults = read(value)
    assert found is MISSING
    assert len(faults) == 1


def test_schema() -> None:
    assert ArchivePlace().schema() == {"type": "string", "minLength": 1}
