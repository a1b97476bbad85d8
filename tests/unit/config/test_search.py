"""Which files below a folder count as its notebooks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbflow.config import search
from nbflow.config.search import find_notebooks


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def found(root: Path) -> list[str]:
    return [path.as_posix() for path in find_notebooks(root).paths]


def test_folders_come_one_after_another_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.ipynb", "b/10.ipynb", "b/a/1.ipynb", "b10/x.ipynb", "b9/x.ipynb", "z.ipynb", "b/no.py")
    assert found(tmp_path) == ["z.ipynb", "b/2.ipynb", "b/10.ipynb", "b/a/1.ipynb", "b9/x.ipynb", "b10/x.ipynb"]
    assert not find_notebooks(tmp_path).omitted


def test_what_is_no_notebook_to_run_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/outputs/x.ipynb", "outputs/y.ipynb", ".git/z.ipynb", "a/.ipynb_checkpoints/a.ipynb")
    touch(tmp_path, "node_modules/n.ipynb", "._mac.ipynb", "env/pyvenv.cfg", "env/lib/e.ipynb", "data/kept.ipynb")
    (tmp_path / "round").symlink_to(tmp_path)
    assert found(tmp_path) == ["data/kept.ipynb"]


def test_too_many_are_said_and_those_near_the_top_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_NOTEBOOKS", 2)
    touch(tmp_path, "a/deep/1.ipynb", "a/2.ipynb", "z.ipynb")
    assert found(tmp_path) == ["z.ipynb", "a/2.ipynb"]
    assert "there are more files" in find_notebooks(tmp_path).omitted[0]
    monkeypatch.setattr(search, "MAX_ENTRIES", 1)
    assert found(tmp_path) == ["z.ipynb"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_notebooks(tmp_path / "no")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.ipynb")
    (tmp_path / "shut").mkdir(mode=0)
    assert found(tmp_path) == ["a.ipynb"]
    assert find_notebooks(tmp_path).omitted == ("shut cannot be read: Permission denied",)
