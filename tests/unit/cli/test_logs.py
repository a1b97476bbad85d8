"""logs: events as lines, notebooks as text."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from nbflow.cli import logs
from nbflow.core.events import CellOutput, Stamped
from nbflow.core.rows import RunRow
from nbflow.core.state import fold
from nbflow.core.status import RunStatus
from nbflow.runs import Runs
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.commands import Shell, executed
from support.stored import Kept


def test_the_events_of_a_run(shell: Shell) -> None:
    shell.script["clean/1"] = ["failed clean/1 exception:ValueError"]
    run = shell.run()
    lines = shell("logs", run).out.splitlines()
    assert lines[0].endswith(f"run {run}: 4 tasks, 2 at once") or f"run {run}: 4 tasks" in lines[0]
    assert any("✗ clean" in line and "ValueError: it broke" in line for line in lines)
    assert lines[-1].endswith("✗ run failed")


def test_events_as_json_are_those_of_the_run_itself(shell: Shell) -> None:
    live = shell("run", "sales", "--json").lines
    run = live[-1]["run"]
    assert shell("logs", run, "--json").json == {"run": run, "events": live[:-1]}
    of_clean = [event for event in live[:-1] if event["task"] == "clean"]
    assert shell("logs", f"{run}/clean", "--json").json == {"run": run, "events": of_clean}
    assert shell("logs", "-f", f"{run}/clean", "--json").lines == of_clean


def test_of_a_task_its_notebook(shell: Shell) -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "10 rows\n"}
    shell.notebooks["train[gbm]"] = executed(("load()", "ok", [stream]))
    run = shell.run()
    assert shell("logs", f"{run}/train[gbm]").out == "✓ cell 1/1  ok  0.5s\n  │ load()\n10 rows\n\n"


def test_of_a_task_without_a_notebook_its_events(shell: Shell) -> None:
    shell.script["clean/1"] = ["started clean/1", "cell clean/1 1", "celldone clean/1 1 failed", "failed clean/1"]
    run = shell.run()
    text = shell("logs", f"{run}/clean").out
    assert "cell 1/2 x = 1" in text
    assert "extract" not in text
    assert "⊘ train[gbm]" in shell("logs", f"{run}/train[gbm]").out


def test_a_notebook_that_is_gone(shell: Shell) -> None:
    shell.notebooks["clean"] = executed(("x", "ok", []))
    run = shell.run()
    next((shell.folder.root / "outputs" / "sales").rglob("clean.ipynb")).unlink()
    said = shell("logs", f"{run}/clean")
    assert said.code == 3
    assert "moved or removed" in said.err


def test_an_earlier_attempt(shell: Shell) -> None:
    shell.script["extract/1"] = ["failed extract/1"]
    shell.notebooks["extract"] = executed(("second", "ok", []))
    run = shell.run()
    shell.folder.write(f"outputs/sales/{run}/attempts/extract.1.ipynb", json.dumps(executed(("first", "failed", []))))
    assert "first" in shell("logs", f"{run}/extract", "--attempt", "1").out
    assert "second" in shell("logs", f"{run}/extract", "--attempt", "2").out
    said = shell("logs", f"{run}/extract", "--attempt", "3")
    assert said.code == 3
    assert "its attempts: 1, 2" in said.err
    assert shell("logs", run, "--attempt", "1").code == 2


TALK = ["started clean/1", "cell clean/1 1", "said clean/1 1 half", "said clean/1 1 done", "celldone clean/1 1 ok"]


def as_far_as(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs be known only until a cell says a text; they go on."""
    real = Runs.events

    def events(self: Runs, row: RunRow, after: int = 0) -> Iterator[Stamped]:
        for stamped in real(self, row, after):
            yield stamped
            if isinstance(stamped.event, CellOutput) and stamped.event.text == text:
                return

    monkeypatch.setattr(Runs, "events", events)
    monkeypatch.setattr(Runs, "state", lambda self, row: fold(events(self, row)))
    monkeypatch.setattr(Runs, "state_of", lambda *_: "running")


def test_what_cells_print(shell: Shell) -> None:
    shell.script["clean/1"] = [*TALK, "succeeded clean/1"]
    run = shell.run()
    assert "half" not in shell("logs", run).out
    for way in (("-v", run), ("-f", run), ("-f", f"{run}/clean"), (f"{run}/clean",)):
        said = [line[10:] for line in shell("logs", *way).out.splitlines() if " clean " in line]
        assert [" ".join(line.split()) for line in said[:-1]] == [
            "● clean running",
            "● clean cell 1/2 x = 1",
            "│ clean half",
            "│ clean done",
            "✓ clean cell 1/2 0.5s",
        ]


def test_of_a_task_that_runs_what_is_known(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last attempt has left a notebook, but this one is what is asked for."""
    shell.notebooks["extract"] = executed(("first", "failed", []))
    shell.script["extract/1"] = ["failed extract/1"]
    shell.script["extract/2"] = [line.replace("clean/1", "extract/2") for line in TALK]
    shell.script["extract/2"].append("succeeded extract/2")
    run = shell.run()
    as_far_as("half", monkeypatch)
    text = shell("logs", f"{run}/extract").out
    assert text.splitlines()[-1].endswith("│ extract  half")
    assert "done" not in text
    events = shell("logs", f"{run}/extract", "--json").json["events"]
    assert (events[-1]["type"], events[-1]["text"], events[-1]["number"]) == ("cell_output", "half", 1)


def test_following_a_task_ends_with_the_task(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.script["extract/1"] = ["failed extract/1"]
    shell.script["extract/2"] = ["failed extract/2"]
    run = shell.run()
    shell("resume", run)
    monkeypatch.setattr(Runs, "state_of", lambda *_: "running")
    monkeypatch.setattr(logs.time, "sleep", lambda _: pytest.fail("it has ended, there is nothing to wait for"))
    lines = shell("logs", "-f", f"{run}/extract").out.splitlines()
    assert "✗ extract" in "\n".join(lines), "the end of the first try was not the end"
    assert "✓ extract  succeeded" in lines[-2]


def test_following_a_run_that_has_ended_ends(shell: Shell) -> None:
    run = shell.run()
    assert shell("logs", "-f", run).out == shell("logs", "-v", run).out
    assert shell("logs", "-f", run, "--json").lines == shell("logs", run, "--json").json["events"]


@pytest.mark.parametrize(
    ("owner", "cause"), [("gone:1:1", "its process had died"), (None, "its process had given it up")]
)
def test_following_a_run_whose_process_dies_says_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, owner: str | None, cause: str
) -> None:
    """There is no event of it: without a word it would look as if all was done."""
    run = shell.run()
    states = iter(["running", "interrupted", "interrupted"])
    real = Runs.find
    left = {"state": RunStatus.RUNNING, "owner": owner}
    monkeypatch.setattr(Runs, "find", lambda self, name: replace(real(self, name), **left))
    monkeypatch.setattr(Runs, "state_of", lambda *_: next(states))
    monkeypatch.setattr(logs, "_is_over", lambda *_: False)
    monkeypatch.setattr(logs.time, "sleep", lambda _: None)
    said = shell("logs", "-f", run)
    assert said.err == f"run {run} was interrupted: {cause}; go on with: nbflow resume {run}\n"


def test_following_gives_each_event_once_until_the_run_ends(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run seems to go on while its events come in two parts."""
    run = shell.run()
    states = iter(["queued", "running", "running", "succeeded"])
    known = iter([2, 4, 4])
    real = Runs.events

    def events(self: Runs, row: object, after: int = 0) -> Iterator[Stamped]:
        limit = next(known, 10_000)
        return (stamped for stamped in real(self, row, after) if stamped.seq <= limit)  # type: ignore[arg-type]

    waited = threading.Event()
    monkeypatch.setattr(Runs, "state_of", lambda *_: next(states))
    monkeypatch.setattr(Runs, "events", events)
    monkeypatch.setattr(logs.time, "sleep", lambda _: waited.set())
    followed = shell("logs", "-f", run, "--json").lines
    monkeypatch.undo()
    assert waited.is_set()
    assert [event["seq"] for event in followed] == list(range(1, len(followed) + 1))
    assert followed[-1]["type"] == "run_finished"


def test_a_task_whose_list_has_become_empty(shell: Shell) -> None:
    """At the resume the list of `score` is empty; its copy of before is still there, by its own name."""
    shell.run()
    ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
    source = "{{ [] if tasks.up.outputs.x[1] else ['old'] }}"
    score = planned("score", "up[1]", "up[2]", for_each=source, run_if="all_done")
    with closing(SqliteStore(shell.folder.root / "outputs/.nbflow/state.db")) as store:
        kept = Kept(store, *ups, score, run="mine-1", jobs=2)
        kept.play("start", "succeeded up[1]/1 x=1", "failed up[2]/1", "failed score[old]/1")
        kept.play("resume", "start", "succeeded up[2]/2 x=1")
    assert shell("show", "mine-1", "--json").json["state"] == "succeeded"
    lines = shell("logs", "mine-1").out.splitlines()
    assert lines[-3].endswith("score  for_each has no items: there is nothing to run")
    assert lines[-2].endswith("score[old]  skipped: for_each has this item no more")
    assert shell("logs", "mine-1/score[old]").out.splitlines()[-2] == lines[-2]
    for command in ("logs", "show", "open"):
        said = shell(command, "mine-1/score")
        assert (said.code, said.out) == (3, "")
        assert "'score' has no copies any more in run mine-1: its for_each has no items" in said.err
        assert "name one that it had before: score[old]" in said.err


@pytest.mark.parametrize(("what", "code"), [("nope", 3), ("@last/nope", 3), ("@last/train", 3), ("@lats", 2)])
def test_what_is_not_there(what: str, code: int, shell: Shell) -> None:
    shell.run()
    assert shell("logs", what).code == code
