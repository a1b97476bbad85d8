"""The places of a project: where its archive lies, and what this machine has of it."""

from __future__ import annotations

import pytest

from nbflow.core.spec import ProjectSpec, local_root


@pytest.mark.parametrize(
    ("outputs", "local", "archive"),
    [
        ("/p/outputs", "/p/outputs", "/p/outputs"),
        ("/elsewhere", "/elsewhere", "/elsewhere"),
        ("s3://bucket/prefix", "/p/outputs", "/p/outputs/.nbflow/spool"),
    ],
)
def test_places(outputs: str, local: str, archive: str) -> None:
    spec = ProjectSpec(root="/p", file="pipelines.toml", pipelines={}, outputs=outputs, state="/s.db")
    assert (spec.local, spec.archive) == (local, archive)
    assert local_root("/p", outputs) == local
