"""Carrying a run out: the small parts; the whole is tested with the project."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.core.plan import Action
from nbflow.core.status import TaskState
from nbflow.errors import ConfigError, ConflictError, IncompleteError, NbflowError, UnreachableError
from nbflow.execution import changed, drop_journals, named, read_again, record, released, still_to_run
from nbflow.store.memory import MemoryStore
from support.build import Story, created, planned
from support.folders import Folder


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


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (UnreachableError("no room", hint="make room"), "make room; then: nbflow resume r"),
        (UnreachableError("no room"), "see to that; then: nbflow resume r"),
        (IncompleteError(UnreachableError("no room", hint="make room"), {}), "make room"),
        (ConflictError("taken", hint="look at it"), "look at it"),
        (ConflictError("taken"), None),
    ],
)
def test_what_goes_wrong_names_the_run_and_the_way_on(error: NbflowError, hint: str | None) -> None:
    with pytest.raises(type(error)) as caught, named("r"):
        raise error
    assert (caught.value.run, caught.value.hint) == ("r", hint)


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
    Folder(tmp_path).notebook("other.ipynb")
    for name, text in (("same", b"1"), ("done", b"2"), ("unknown", b"2")):
        (tmp_path / f"{name}.ipynb").write_bytes(text)
    assert changed(story.state, str(tmp_path)) == ["other.ipynb"], "one that is gone does not run as it is now"


def test_notebooks_that_cannot_be_run_any_more_are_all_named(tmp_path: Path) -> None:
    names = ("good", "gone", "cut", "text", "done", "left")
    tasks = [planned(name, notebook=f"{name}.{'py' if name == 'text' else 'ipynb'}") for name in names[:-1]]
    story = Story(*tasks, planned("left", action=Action.SKIP), jobs=9)
    story.send("start")
    story.send("succeeded done/1")
    Folder(tmp_path).notebook("good.ipynb")
    (tmp_path / "cut.ipynb").write_text('{"cells": [')
    (tmp_path / "text.py").write_text("# %%\nx = 1\n")
    with pytest.raises(ConfigError) as caught:
        read_again(story.state, str(tmp_path))
    gone, cut = caught.value.problems
    assert (gone.file, gone.message) == ("gone.ipynb", "there is no such notebook")
    assert gone.hint == f"put it back, then: nbflow resume {story.state.run}; or begin anew: nbflow run sales"
    assert cut.file == "cut.ipynb"
    assert cut.message.startswith("not a notebook: not valid JSON at line 1")
    assert cut.hint == "the file may be cut off or damaged"
    for name in ("gone", "cut"):
        Folder(tmp_path).notebook(f"{name}.ipynb")
    assert list(read_again(story.state, str(tmp_path))) == ["good.ipynb", "gone.ipynb", "cut.ipynb", "text.py"]


def test_a_copy_that_is_in_its_list_no_more_needs_no_notebook() -> None:
    story = Story(planned("a"), planned("b"))
    assert [task.name for task in still_to_run(story.state)] == ["a", "b"]
    story.state.dropped, story.state.tasks["b"].state = {"b"}, TaskState.SKIPPED
    assert [task.name for task in still_to_run(story.state)] == ["a"]
