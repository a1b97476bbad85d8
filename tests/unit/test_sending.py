"""What runs give to object storage, which is in memory here; and that a folder has nothing to send."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from nbflow.archive.files import FileArchive
from nbflow.archiving import Archiving
from nbflow.core.state import RunState
from nbflow.core.views import run_document
from nbflow.errors import UnreachableError, UsageError
from nbflow.sending import PATIENCE, Sender, patience
from support.archives import FOLDER, PAGE, OneRun, carried_out, spec_of
from support.build import RUN, Story, planned
from support.held import HeldFileSystem, held_files


def test_a_folder_has_nothing_to_send() -> None:
    sender, state = Sender(None), Story(planned("a")).state
    assert sender.feeds(state) == ()
    sender.catch_up(OneRun(state))
    assert sender.without_page(OneRun(state)) == []
    assert sender.settle()
    assert sender.trouble(RUN) is None
    sender.close()


def test_a_run_goes_to_object_storage(archiving: Archiving, url: str, tmp_path: Path) -> None:
    assert archiving.files.root == tmp_path / "outputs/.nbflow/spool"
    carried_out(archiving, url)
    assert archiving.sender.settle()
    names = {path.removeprefix(f"{FOLDER}/") for path in held_files(url)}
    assert names == {"a.ipynb", "a.html", "run.json", "index.html"}
    assert archiving.sender.trouble(RUN) is None


def test_what_waits_is_told_and_goes_at_the_next_start(
    archiving: Archiving, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    state = carried_out(archiving, url)
    monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", "0.2")
    assert not archiving.sender.settle()
    assert "cannot be reached" in str(archiving.sender.trouble(RUN))
    archiving.close()
    later = Archiving(spec_of(tmp_path, url))
    later.check()  # down is no reason not to begin
    marked = later.mark(run_document(state))
    assert marked["archived"] == marked["tasks"][0]["archived"] == "pending"
    assert len(later.waiting(FOLDER)) == 4
    assert later.fetcher.place(f"{url}/{PAGE}").read_bytes() == f"{PAGE} succeeded".encode(), "it is read here"
    assert "is not yet in" in str(later.sender.trouble(RUN))
    HeldFileSystem.down = None
    later.sender.catch_up(OneRun(state))
    assert later.sender.settle(5)
    assert len(held_files(url)) == 4
    assert later.mark(run_document(state))["archived"] == "done"


def test_a_run_without_the_page_of_its_end_waits_for_it(archiving: Archiving, url: str, tmp_path: Path) -> None:
    """To make it is the matter of whoever finds the run dead, or is asked for its report."""
    HeldFileSystem.down = ConnectionRefusedError("down")
    state = carried_out(archiving, url)
    archiving.close()
    manifest = archiving.files.resolve(f"{FOLDER}/run.json")
    sealed = manifest.read_bytes()
    manifest.write_text('{"ended": "before"}')
    HeldFileSystem.down = None
    later = Archiving(spec_of(tmp_path, url))
    later.sender.catch_up(OneRun(state))
    assert later.sender.settle(5)
    assert held_files(url) == {}
    assert "is not yet in" in str(later.sender.trouble(RUN))
    runs = OneRun(state)
    assert later.sender.without_page(runs) == [runs.row]
    runs.row = replace(runs.row, owner="somebody:1:1")
    assert later.sender.without_page(runs) == [], "who has it makes its page"
    manifest.write_bytes(sealed)
    assert later.sender.without_page(OneRun(state)) == []
    later.sender.catch_up(OneRun(state))
    assert later.sender.settle(5)
    assert {path.removeprefix(f"{FOLDER}/") for path in held_files(url)} >= {"run.json", "index.html"}


class Unreadable(OneRun):
    """A run that has ended, and whose events tell this nbflow nothing."""

    def state(self, row: Any) -> RunState:
        raise UnreachableError(f"run {row.run}: its history makes no sense to this nbflow")


def test_a_run_that_cannot_be_read_is_in_nobodys_way(
    archiving: Archiving, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    state = carried_out(archiving, url)
    archiving.close()
    thread = archiving.sender._uploader._thread
    assert thread is not None
    thread.join()  # with a request that it had begun
    HeldFileSystem.down = None
    later = Archiving(spec_of(tmp_path, url))
    later.sender.catch_up(Unreadable(state))
    assert later.sender.settle(5)
    assert held_files(url) == {}
    assert "makes no sense" in str(later.sender.trouble(RUN)), "whoever asks for it is told"

    def broken(*_: object) -> bytes:
        raise UnreachableError("the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(FileArchive, "read", broken)
        later.sender.catch_up(OneRun(state))
        assert later.sender.without_page(OneRun(state)) == []
    assert "the disk is broken" in str(later.sender.trouble(RUN))
    later.sender.catch_up(OneRun(state))
    assert later.sender.settle(5)
    assert len(held_files(url)) == 4
    assert later.sender.trouble(RUN) is None


def test_a_run_that_goes_on_is_left_to_its_engine(archiving: Archiving, url: str, tmp_path: Path) -> None:
    story = Story(planned("a"), outputs=url, spool="outputs/.nbflow/spool")
    archiving.sender.feeds(story.state)
    story.send("start")
    other = Archiving(spec_of(tmp_path, url))
    other.sender.catch_up(OneRun(story.state))
    other.sender.catch_up(OneRun(Story(planned("b")).state))
    assert other.sender.settle()
    assert archiving.mark(run_document(story.state))["tasks"][0]["archived"] is None
    assert held_files(url) == {}


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, seconds in (("", PATIENCE), (" ", PATIENCE), ("2.5", 2.5), ("0", 0.0), ("inf", inf)):
        monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", text)
        assert patience() == seconds


@pytest.mark.parametrize("text", ["x", "nan", "-1", "30s"])
def test_a_patience_that_is_none_is_told(
    archiving: Archiving, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", text)
    with pytest.raises(UsageError, match=f"NBFLOW_ARCHIVE_WAIT in the environment is '{text}', not a number"):
        Archiving(spec_of(tmp_path, url)).check()
    with pytest.raises(UsageError, match="NBFLOW_ARCHIVE_WAIT"):
        assert Archiving(spec_of(tmp_path, url)).sender
    assert Sender(None).settle(), "where nothing is uploaded it does not matter"
