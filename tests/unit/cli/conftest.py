"""A command line in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import Shell, make_shell


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """`nbflow` in a new project with the pipelines `sales` and `other`."""
    return make_shell(tmp_path, capsys, monkeypatch)
