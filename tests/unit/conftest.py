"""Fixtures that tests of several modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.archiving import Archiving
from support.archives import spec_of
from support.held import held_url


@pytest.fixture
def url() -> str:
    """Object storage in memory, new and empty."""
    return held_url()


@pytest.fixture
def archiving(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Archiving:
    """The archive of a project there."""
    monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", "5")
    made = Archiving(spec_of(tmp_path, url))
    made.check()
    return made
