from __future__ import annotations

from typing import Any

import pytest

from nbflow.config.places import ArchivePlace, archive_faults
from nbflow.config.shape import MISSING, Reading
from nbflow.core.faults import Fault
from nbflow.core.spec import ProjectSpec


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


def test_a_package_that_is_missing_is_a_warning() -> None:
    def faults(outputs: str) -> list[Fault]:
        return list(archive_faults(ProjectSpec(root="/p", file="x", pipelines={}, outputs=outputs, state="/p/s")))

    assert faults("/p/outputs") == faults("s3://bucket") == faults("sftp://host/x") == []
    (fault,) = faults("gs://bucket")
    assert fault.warning
    assert fault.hint == "install it: pip install 'jupyter-nbflow[gcs]'"
