"""What of an archive is read on this machine: from its folder, or fetched from object storage in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow import aside
from nbflow.archive.files import FileArchive
from nbflow.archiving import Archiving
from nbflow.core.attempt import Verdict
from nbflow.core.views import run_document
from nbflow.errors import UnreachableError
from nbflow.fetching import Fetcher
from support.archives import FOLDER, NOTEBOOK, PAGE, OneRun, carried_out
from support.build import RUN, Story, planned
from support.held import HeldFileSystem, silent


def test_a_folder_is_read_as_it_is(tmp_path: Path) -> None:
    fetcher, state = Fetcher(tmp_path, FileArchive(tmp_path / "outputs"), None), Story(planned("a")).state
    fetcher.restore(state)
    fetcher.page(OneRun(state).row, OneRun(state))
    assert fetcher.place("outputs/sales/a.html") == tmp_path / "outputs/sales/a.html"
    assert fetcher.notebook("outputs/sales/a.ipynb") == tmp_path / "outputs/sales/a.ipynb"
    with pytest.raises(UnreachableError, match="lies in another archive"):
        fetcher.place("s3://bucket/sales/a.html")


def test_what_is_not_here_any_more_is_fetched(archiving: Archiving, url: str) -> None:
    state = carried_out(archiving, url, Verdict.FAILED)
    assert archiving.sender.settle()
    assert archiving.uploads is not None
    assert archiving.uploads.make_room(0) == [RUN]
    place = archiving.files.resolve
    runs = OneRun(state)
    archiving.fetcher.page(runs.row, runs)
    assert place(f"{FOLDER}/index.html").exists()
    assert place(PAGE).exists(), "the page of the run leads to it"
    assert not place(NOTEBOOK).exists()
    archiving.fetcher.restore(state)
    assert place(NOTEBOOK).exists(), "a new attempt will move it aside"
    assert archiving.mark(run_document(state))["archived"] == "done"


def test_a_fetch_that_takes_long_is_told(archiving: Archiving, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "PATIENCE", 0.0)
    carried_out(archiving, url)
    assert archiving.sender.settle()
    archiving.files.resolve(PAGE).unlink()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        HeldFileSystem.answers.set()

    fetcher = Fetcher(archiving.files.root, archiving.files, archiving.uploads, tell)
    with silent():
        assert fetcher.place(f"{url}/{PAGE}").exists()
    assert told == [f"fetching from {url}; Ctrl-C ends the wait"]


def test_a_notebook_is_fetched_with_what_lies_beside_it(archiving: Archiving, url: str) -> None:
    file = "cell-1.stdout.txt.gz"
    spooled = '{"metadata": {"nbflow": {"spooled": [{"cell": 0, "output": "stdout", "file": "' + file + '"}]}}}'
    archiving.files.publish(NOTEBOOK, spooled.encode())
    archiving.files.publish(f"{FOLDER}/a.{file}", b"all")
    assert archiving.uploads is not None
    for path in (NOTEBOOK, f"{FOLDER}/a.{file}"):
        archiving.uploads.upload(path)
        archiving.files.resolve(path).unlink()
    assert archiving.fetcher.notebook(f"{url}/{NOTEBOOK}").read_text() == spooled
    assert archiving.files.resolve(f"{FOLDER}/a.{file}").read_bytes() == b"all"
    archiving.files.publish(NOTEBOOK, b"no notebook")
    archiving.fetcher.notebook(f"{url}/{NOTEBOOK}")
