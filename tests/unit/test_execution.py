"""Carrying a run out: the small parts; the whole is tested with the project."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.errors import ConflictError, UnreachableError
from nbflow.execution import changed, drop_journals, record, released
from nbflow.store.memory import MemoryStore
from support.build import Story, created, planned


def test_a_run_is_recorded_once() -> None:
    store, first = MemoryStore(), created([planned("a")])
    record(first, store)
    row = store.run(first.run)
    assert row is not None
    assert (row.state, row.seq) == ("queued", 1)
    with pytest.raises(ConflictError):
        record(first, store)


def test_a_run_may_be_owned_at_once() -> None:
    store, first = MemoryStore(), created([planned("a")])
    fence = record(first, store, "me")
    row = store.run(first.run)
    assert row is not None
    assert (row.owner, row.fence) == ("me", fence)


def test_a_run_is_given_back_whatever_happened() -> None:
    store, first = MemoryStore(), created([planned("a")])
    record(first, store)
    fence = store.claim(first.run, "me", lambda _: False)
    with pytest.raises(UnreachableError, match="no room"), released(store, first.run, fence):
        raise UnreachableError("no room")
    row = store.run(first.run)
    assert row is not None
    assert row.owner is None


def test_journals_of_archived_notebooks_are_dropped_and_others_kept(tmp_path: Path) -> None:
    story = Story(planned("a"), planned("b"), journals=str(tmp_path / "journals"))
    (tmp_path / "journals").mkdir()
    for name in ("a", "b"):
        (tmp_path / "journals" / f"{name}.1.jsonl").write_text("{}\n")
    file = ArchivedFile(path="sales/x/a.ipynb", size=1, sha256="f")
    story.send("start")
    story.send(Finished(task="a", attempt=1, outcome=Outcome(verdict=Verdict.SUCCEEDED, files=(file,))))
    drop_journals(story.state)
    assert [one.name for one in (tmp_path / "journals").iterdir()] == ["b.1.jsonl"]
    story.send(Finished(task="b", attempt=1, outcome=Outcome(verdict=Verdict.SUCCEEDED, files=(file,))))
    drop_journals(story.state)
    assert not (tmp_path / "journals").exists()


def test_a_journal_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    story = Story(planned("a"), journals=str(tmp_path))
    (tmp_path / "a.1.jsonl").mkdir()
    file = ArchivedFile(path="sales/x/a.ipynb", size=1, sha256="f")
    story.send("start")
    story.send(Finished(task="a", attempt=1, outcome=Outcome(verdict=Verdict.SUCCEEDED, files=(file,))))
    with pytest.raises(UnreachableError, match=r"cannot remove .*/a\.1\.jsonl: Is a directory"):
        drop_journals(story.state)


def test_notebooks_that_are_not_what_they_were(tmp_path: Path) -> None:
    known = sha256(b"1").hexdigest()
    tasks = [planned(name, notebook=f"{name}.ipynb", sha256=known) for name in ("same", "other", "gone", "done")]
    story = Story(*tasks, planned("unknown", notebook="unknown.ipynb", sha256=None), jobs=9)
    story.send("start")
    story.send("succeeded done/1")
    for name, text in (("same", b"1"), ("other", b"2"), ("done", b"2"), ("unknown", b"2")):
        (tmp_path / f"{name}.ipynb").write_bytes(text)
    assert changed(story.state, str(tmp_path)) == ["other.ipynb", "gone.ipynb"]
