"""What a project asks of its archive, in a folder and on object storage in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.archive import look
from nbflow.archive.refusals import SilentError
from nbflow.archiving import Archiving, ledgers_folder
from nbflow.core.views import run_document
from nbflow.errors import UnreachableError
from nbflow.results import RunResult
from support.archives import FOLDER, NOTEBOOK, carried_out, spec_of
from support.build import RUN, Story, planned
from support.held import HeldFileSystem, held_files, silent
from support.waiting import until


def test_a_folder_is_just_a_folder(tmp_path: Path) -> None:
    archiving = Archiving(spec_of(tmp_path, str(tmp_path / "outputs")))
    archiving.check()
    assert archiving.files.root == tmp_path / "outputs"
    assert archiving.url is None
    assert archiving.uploads is None
    assert archiving.waiting(FOLDER) == ()
    document = run_document(Story(planned("a")).state)
    assert archiving.mark(document) == document
    assert archiving.finish(RunResult(document), wait=True) == document
    assert archiving.for_sealing(RUN) is archiving.files
    assert archiving.page("sales", RUN) == tmp_path / "outputs" / FOLDER / "index.html"
    archiving.close()


def test_an_archive_that_fails_an_attempt_has_failed_unless_it_was_removed(tmp_path: Path) -> None:
    """Also where it can be written again by then: one fault has one outcome."""
    archiving = Archiving(spec_of(tmp_path, str(tmp_path / "outputs")))
    archiving.check()
    with pytest.raises(UnreachableError, match="Input/output error"):
        archiving.judge()("cannot write x.ipynb: Input/output error")
    judge = archiving.judge()
    archiving.files.root.rmdir()
    for _ in range(2):
        judge("cannot write x.ipynb: the archive's folder has gone")
        assert archiving.files.root.is_dir()


def test_documents_say_what_has_been_uploaded(archiving: Archiving, url: str) -> None:
    state = carried_out(archiving, url)
    marked = archiving.finish(RunResult(run_document(state)), wait=True)
    assert marked["archived"] == marked["tasks"][0]["archived"] == "done"
    assert marked["tasks"][0]["notebook"] == f"{url}/{NOTEBOOK}"
    archiving.for_sealing(RUN)
    assert archiving.mark(run_document(state))["archived"] == "pending", "until the new page is there"
    archiving.close()


def test_storage_that_says_no_for_good_is_found_before_anything_runs(tmp_path: Path, url: str) -> None:
    HeldFileSystem.down = PermissionError("no")
    archiving = Archiving(spec_of(tmp_path, url))
    archiving.ahead()
    archiving.ahead()
    for _ in range(2):
        with pytest.raises(UnreachableError, match="access is denied"):
            archiving.check()
    HeldFileSystem.down = None
    archiving.check()


def test_storage_that_does_not_answer_is_told_once_and_waited_for_once(
    archiving: Archiving, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "LONGEST", 0.2)
    carried_out(archiving, url)
    assert archiving.sender.settle()
    told: list[str] = []
    other = Archiving(spec_of(tmp_path, url), told.append)
    with silent():
        other.check()
        before = HeldFileSystem.requests
        other.check(FOLDER)
        with pytest.raises(SilentError, match="has not answered"):
            other.remove(FOLDER)
        assert HeldFileSystem.requests == before, "one that waits is enough"
    assert told == [
        f"warning: {url} has not answered for 0.2 s: what is published waits on this machine, and is uploaded later"
    ]
    until(lambda: other._look is not None and other._look.is_over)
    other.remove(FOLDER)
    assert held_files(url) == {}
    assert len(told) == 1


def test_ledgers_lie_on_this_machine(tmp_path: Path) -> None:
    assert ledgers_folder(spec_of(tmp_path, "s3://bucket")) == tmp_path / "outputs/.nbflow/uploads"
