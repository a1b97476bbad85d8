"""A new project's files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nbflow.beginning import SCHEMA, begin_project
from nbflow.config.check import check
from nbflow.errors import ConflictError, NbflowError, UsageError
from support.folders import Folder


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_an_empty_folder_gets_notebooks_to_start_from(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "down"
    assert names(begin_project(root), root) == [
        "pipelines.toml",
        "notebooks/extract.ipynb",
        "notebooks/report.ipynb",
        SCHEMA,
    ]
    assert check(root / "pipelines.toml").ok
    assert json.loads((root / SCHEMA).read_text())["title"] == "nbflow pipelines.toml"


def test_notebooks_that_are_there_are_taken_and_left_as_they_are(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    before = folder.notebook("extract.ipynb", "x = 1").read_bytes()
    assert names(begin_project(tmp_path), tmp_path) == ["pipelines.toml", SCHEMA]
    assert (tmp_path / "extract.ipynb").read_bytes() == before
    assert check(tmp_path / "pipelines.toml").ok


def test_notebooks_in_a_sub_folder_are_taken_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.notebook("analysis/extract.ipynb")
    folder.notebook("notebooks/a b.ipynb", kernel="not-installed-anywhere")
    assert names(begin_project(tmp_path), tmp_path) == ["pipelines.toml", SCHEMA]
    checked = check(tmp_path / "pipelines.toml")
    assert checked.ok
    assert list(checked.notebooks) == ["analysis/extract.ipynb", "notebooks/a b.ipynb"]


def test_where_no_notebook_can_be_read_the_project_works_all_the_same(tmp_path: Path) -> None:
    Folder(tmp_path).write("broken.ipynb", "{")
    written = names(begin_project(tmp_path), tmp_path)
    assert "notebooks/extract.ipynb" in written
    assert check(tmp_path / "pipelines.toml").ok
    assert (tmp_path / "broken.ipynb").read_text() == "{"


def test_a_project_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pipelines.toml").write_text("# mine\n")
    with pytest.raises(ConflictError, match=r"pipelines\.toml is there already"):
        begin_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pipelines.toml"]
    assert (tmp_path / "pipelines.toml").read_text() == "# mine\n"


def test_the_schema_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / SCHEMA).write_text("old")
    begin_project(tmp_path)
    assert json.loads((tmp_path / SCHEMA).read_text())


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_is_no_folder(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError):
        begin_project(tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NbflowError, match="cannot be written"):
        begin_project(tmp_path / "new")
