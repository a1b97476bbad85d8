"""What must hold of a project whatever died in it: I1 to I8, looked at from outside, by store, archive and processes.

`check_project` is for a project in which nothing goes on any more. Events are judged a second time by the oracle of the
simulation, which shares no code with the state machine. (I9, secrets, and I10, clocks, have tests of their own.)
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil

from nbflow.core import events as ev
from nbflow.core.attempt import ArchivedFile, Verdict
from nbflow.core.ports import Store
from nbflow.core.state import RunState, fold
from nbflow.engine.effects import journal_path
from nbflow.kernels.environ import OWNER_MARK
from nbflow.store.sqlite import SqliteStore
from nbflow.worker.spool import spool_folder
from simulation.oracle import Oracle
from support.stored import projected, rebuilt

GONE_SECONDS = 60.0
"""How long is waited for the processes of an engine that has ended: I6 gives them 10 s, on a machine that is idle."""
SETTLED = (ev.TaskSucceeded, ev.TaskFailed, ev.TaskSkipped, ev.TaskBlocked, ev.TaskCancelled, ev.TaskReused)
STORE = "state.db"


def check_project(root: Path, temporary: Path | None = None, state: Path | None = None) -> dict[str, RunState]:
    """Check all that a project has recorded and left on the disk; its runs, which have all ended, by id.

    `temporary` is the folder where its processes put temporary files, `state` the store where it is not in its usual
    place. Raises AssertionError, which names the invariant.
    """
    outputs = root / "outputs"
    state = state or outputs / ".nbflow" / STORE
    with closing(sqlite3.connect(state)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the store is damaged"
    with closing(SqliteStore(state, create=False)) as store:
        runs = {row.run: check_run(store, row.run, outputs) for row in store.runs(limit=10**6)}
    check_leftovers(runs.values(), outputs, temporary)
    assert processes_of(root) == [], "I6: processes are left"
    return runs


def check_run(store: Store, run: str, outputs: Path) -> RunState:
    """Check one run of a store that has ended, and its part of the archive."""
    events = list(store.events(run))
    assert [one.seq for one in events] == list(range(1, len(events) + 1)), f"I1: {run}: its events have gaps"
    assert projected(store, run) == rebuilt(store, run), f"I1: {run}: its rows are not the fold of its events"
    check_log([one.event for one in events])
    ask_oracle(events)
    state = fold(events)
    assert state.ended_at is not None, f"{run} has not ended"
    check_archive(state, outputs)
    return state


def check_log(events: Sequence[ev.Event]) -> None:
    """I1 to I3 and I8 in a log, naively."""
    succeeded: set[str] = set()
    settled: Counter[str] = Counter()
    going: dict[str, int] = {}
    last: Counter[str] = Counter()
    for event in events:
        match event:
            case ev.RunResumed():
                for task in event.tasks:
                    assert task not in succeeded, f"I2: {task} has succeeded and is resumed"
                    settled[task] = 0
            case ev.AttemptSubmitted():
                assert event.task not in succeeded, f"I2: {event.task} has succeeded and runs again"
                assert event.task not in going, f"I3: {event.task} begins twice"
                assert event.attempt == last[event.task] + 1, f"I3: attempt {event.attempt} of {event.task}"
                going[event.task] = last[event.task] = event.attempt
            case ev.AttemptEnded():
                assert going.pop(event.task, None) == event.attempt, f"I3: {event.task}/{event.attempt} did not run"
                error = event.outcome.error
                is_named = error is not None and bool(error.message)
                assert is_named or event.outcome.verdict is not Verdict.FAILED, f"I8: {event.task} failed by nothing"
            case _ if isinstance(event, SETTLED):
                settled[event.task] += 1
                assert settled[event.task] == 1, f"I1: {event.task} has two outcomes"
                if isinstance(event, ev.TaskSucceeded | ev.TaskReused):
                    succeeded.add(event.task)
            case ev.RunFinished():
                assert not going, f"I1: the run has ended while {going} go on"
            case _:
                pass


def ask_oracle(events: Sequence[ev.Stamped]) -> None:
    """Have a log judged by rules that are told a second time. What was appended at once bears one instant.

    What other runs held of the pools it does not tell.
    """
    first = events[0].event
    assert isinstance(first, ev.RunCreated)
    oracle = Oracle(first, shares=True)
    for at, batch in groupby(events[1:], key=lambda one: one.at):
        oracle.batch(list(batch), at)


def check_archive(state: RunState, outputs: Path) -> None:
    """I5 in the folder of a run: each row has its whole file, each notebook has its row and says what was recorded.

    An attempt that was told to have failed in the archive may have left its notebook there for all that.
    """
    folder = outputs / state.created.settings.folder
    known: set[Path] = set()
    unknown: set[Path] = set()
    for name, task in state.tasks.items():
        for attempt in task.attempts:
            assert attempt.outcome is not None, f"I1: {name}/{attempt.number} has no outcome"
            is_last = attempt.number == task.attempt
            if not attempt.outcome.files:
                assert attempt.outcome.verdict is not Verdict.SUCCEEDED, f"I5: {name} has succeeded without a notebook"
                slug = task.planned.slug
                unknown.add(folder / (f"{slug}.ipynb" if is_last else f"attempts/{slug}.{attempt.number}.ipynb"))
            for file in attempt.outcome.files:
                place = _place(outputs, state, file, attempt.number, is_last=is_last)
                if is_last or file.path.endswith(".ipynb"):
                    _check_whole(place, file)
                if file.path.endswith(".ipynb"):
                    known.add(place)
                    _check_notebook(place, state.run, name, attempt.number, attempt.outcome.verdict)
    found = {place for place in folder.rglob("*.ipynb") if place.is_file()}
    assert found - unknown == known, f"I5: without a row: {found - unknown - known}, without a file: {known - found}"
    for place in found & unknown:
        json.loads(place.read_text("utf-8"))  # whole all the same
    for name in ("run.json", "index.html"):
        assert (folder / name).stat().st_size > 0, f"I5: {state.run} has no {name}"
    manifest = json.loads((folder / "run.json").read_text("utf-8"))
    assert manifest["state"] == state.status.value, "I5: the manifest tells another end"


def _place(outputs: Path, state: RunState, file: ArchivedFile, number: int, *, is_last: bool) -> Path:
    """Where a file of an attempt lies: what an earlier one left has moved, if it had not when it was adopted."""
    place = outputs / file.path
    if is_last or place.parent.name == "attempts":
        return place
    return place.parent / "attempts" / re.sub(r"\.(?=[^.]+$)", f".{number}.", place.name, count=1)


def _check_whole(place: Path, file: ArchivedFile) -> None:
    assert place.is_file(), f"I5: {place} is in a row, and not in the archive"
    data = place.read_bytes()
    assert (len(data), sha256(data).hexdigest()) == (file.size, file.sha256), f"I5: {place} is not what its row says"


def _check_notebook(place: Path, run: str, task: str, number: int, verdict: Verdict) -> None:
    facts: dict[str, Any] = json.loads(place.read_text("utf-8"))["metadata"]["nbflow"]
    said = facts["run"], facts["task"], facts["attempt"]
    assert said == (run, task, number), f"I5: {place} is that of {said}"
    # One that went down with its engine has failed or was cancelled: its worker and the next engine may differ in that.
    unlike = {facts["state"], verdict.value}
    assert len(unlike) == 1 or unlike == {"failed", "cancelled"}, f"I5: {place} says {facts['state']}"


def check_leftovers(runs: Iterable[RunState], outputs: Path, temporary: Path | None) -> None:
    """I7: nothing half written or half removed, no folder of a kernel that is gone, no socket of it; journals, and what
    lies beside them, only of what could not be archived.
    """
    half = [str(one) for one in outputs.rglob("*") if ".tmp" in one.suffix]  # SQLite adds to the name of a draft
    assert half == [], "I7: temporary files are left"
    kept = {
        journal_path(state, name, attempt.number)
        for state in runs
        for name, task in state.tasks.items()
        for attempt in task.attempts
        if attempt.outcome is not None and not attempt.outcome.files
    }
    places = {*kept, *(str(spool_folder(Path(journal))) for journal in kept)}
    folders = list((outputs / ".nbflow/journals").glob("*"))
    left = [str(one) for folder in folders for one in folder.iterdir() if str(one) not in places]
    assert left == [], "I7: journals are left"
    assert [str(one) for one in folders if not any(one.iterdir())] == [], "I7: folders without a journal are left"
    assert list((outputs / ".nbflow/removed").glob("*")) == [], "I7: what was to be removed is left"
    if temporary is not None:
        strays = [str(one.relative_to(temporary)) for one in temporary.rglob("*") if not is_trial(one)]
        assert strays == [], f"I7: among temporary files are left: {strays}"


def is_trial(place: Path) -> bool:
    """Whether it is what a kernel's `tempfile` tries a folder out with, for ipykernel, when its first cell is run.

    A kill in between leaves it. Processes of ours do not try folders out.
    """
    return bool(TRIAL.fullmatch(place.name)) and place.is_file() and place.read_bytes() in (b"", b"blat")


TRIAL = re.compile(r"[a-z0-9_]{8}")


def processes_of(root: Path) -> list[str]:
    """Living processes of a project: what kernels started, by the mark of their attempt, and our own, by a variable."""
    return [f"{name} (pid {process.pid})" for process, name in living(root)]


def living(root: Path) -> Iterator[tuple[psutil.Process, str]]:
    """The processes of a project that live, each with what it is: engine, server, worker, zygote, kernel."""
    inside = str(root.resolve())
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            if environment.get(OWNER_MARK, "").startswith(inside) or environment.get(PROJECT) == inside:
                yield process, kind_of(process)
        except (psutil.Error, OSError):
            continue  # another user's, or just gone


PROJECT = "NBFLOW_TEST_PROJECT"
"""Set in the environment of the commands of a test: all their processes inherit it."""


def kind_of(process: psutil.Process) -> str:
    """What a process of ours does, by what it was started with and where it comes from."""
    words = process.cmdline()
    command = " ".join(words)
    if "nbflow.worker" in words:
        parent = process.parent()
        is_forked = parent is not None and "--serve" in parent.cmdline()
        return "worker" if is_forked or "--serve" not in words else "server"
    if "nbflow" in words:
        return "engine"
    if "zygote" in command:
        parent = process.parent()
        return "kernel" if parent is not None and "zygote" in " ".join(parent.cmdline()) else "zygote"
    return "kernel" if "ipykernel_launcher" in command else process.name()


if __name__ == "__main__":  # for a project that only some processes can see
    check_project(*map(Path, sys.argv[1:]))
