"""Where a run is made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import nbflow
from nbflow.engine.facts import gather


def git(folder: Path, *command: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.invalid"]
    subprocess.run(["git", "-C", str(folder), *who, *command], check=True, capture_output=True)


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    facts = gather(str(tmp_path))
    assert facts["git"] is None
    assert facts["nbflow"] == nbflow.__version__


def test_commit_and_whether_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "First")
    clean = gather(str(tmp_path))["git"]
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert gather(str(tmp_path))["git"] == {**clean, "dirty": True}


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gather(str(tmp_path))["git"] is None
