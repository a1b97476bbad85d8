"""Several engines on one store: they share pools, none takes another's run, and the dead make room for the living."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.store.sqlite import SqliteStore
from support.projects import Project, project
from support.stored import dead
from support.waiting import until

QUICK = 8
TOML = f"""
[pools]
db = 2

[defaults]
pool = "db"
start_timeout = "120s"

[pipelines.quick.tasks]
{chr(10).join(f"t{number} = {{ notebook = 'quick.ipynb' }}" for number in range(QUICK))}

[pipelines.slow.tasks]
one = {{ notebook = "slow.ipynb" }}
two = {{ notebook = "slow.ipynb" }}
three = {{ notebook = "slow.ipynb" }}
"""
NOTE = """
import os
def note(word):
    with open('ledger', 'a') as file:
        file.write(f'{os.environ["NBFLOW_RUN"]} {word}\\n')
note('begin')
"""
QUICK_CELL = f"{NOTE}\nimport time; time.sleep(0.05)\nnote('end')"
SLOW_CELL = (
    f"{NOTE}\nimport time\nwhile os.path.exists('hold'): print('.', end='', flush=True); time.sleep(0.1)\nnote('end')"
)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as made:
        made.notebook("quick", QUICK_CELL)
        made.notebook("slow", SLOW_CELL)
        yield made


def ledger(shared: Project) -> list[list[str]]:
    """What notebooks have noted, in the order in which it happened: (run, word)."""
    place = shared.root / "ledger"
    return [line.split() for line in place.read_text().splitlines()] if place.exists() else []


def most_at_once(noted: list[list[str]]) -> int:
    at_once = most = 0
    for _, word in noted:
        at_once += 1 if word == "begin" else -1
        most = max(most, at_once)
    return most


def test_two_engines_share_a_pool(shared: Project) -> None:
    both = [shared.start("run", "quick", "-j", "8") for _ in range(2)]
    said = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert not any("locked" in text for one in said for text in one)
    noted = ledger(shared)
    assert len(noted) == 4 * QUICK
    assert most_at_once(noted) <= 2
    runs = {run for run, _ in noted}
    assert len(runs) == 2
    first_ends = [run for run, word in noted if word == "end"][: QUICK + 2]
    assert set(first_ends) == runs, "one had to wait for all of the other"
    shared.check()


def test_the_dead_make_room_and_their_run_goes_on(shared: Project) -> None:
    hold = shared.root / "hold"
    hold.touch()
    with shared.start("run", "slow") as slow:
        until(lambda: len(ledger(shared)) == 2, 60)
        with shared.start("run", "quick", "-j", "8") as quick:
            until(lambda: any(run["pipeline"] == "quick" and run["state"] == "running" for run in shared.runs()), 60)
            slow.send_signal(signal.SIGKILL)
            assert quick.wait(90) == 0, quick.communicate()
    runs = {run["pipeline"]: run for run in shared.runs()}
    assert (runs["slow"]["state"], runs["quick"]["state"]) == ("interrupted", "succeeded")
    shared.until_nobody_lives()
    shown = shared.call("show", runs["slow"]["run"], "--json").json
    assert {task["state"] for task in shown["tasks"]} == {"cancelled"}
    assert sorted(task["error"]["kind"] for task in shown["tasks"] if task["error"]) == ["lost", "lost"]
    assert len([task for task in shown["tasks"] if task["notebook"]]) == 2
    shared.check()

    run = runs["slow"]["run"]
    (shared.root / "ledger").unlink()
    with shared.start("resume", run) as first:
        until(lambda: len(ledger(shared)) == 2, 60)
        second = shared.call("resume", run)
        assert second.code == 4
        assert re.search(
            rf"process {first.pid} on {re.escape(socket.gethostname())}, since \d{{4}}-\d\d-\d\d", second.err
        )
        hold.unlink()
        assert first.wait(60) == 0
    assert most_at_once(ledger(shared)) == 2
    assert shared.check()[run].status == "succeeded"


def test_one_that_is_killed_with_all_its_processes_is_ended_by_a_look_at_the_runs(shared: Project) -> None:
    """Nothing of it is left that could save its notebooks: whoever looks next does."""
    (shared.root / "hold").touch()
    with shared.start("run", "slow"):
        until(lambda: len(ledger(shared)) == 2, 60)
        shared.end()
    left = list(shared.temporary.iterdir())
    assert left != [], "folders of kernels, with their sockets"
    for folder in left:  # they may still be in the making for some time
        os.utime(folder, (time.time() - 3600,) * 2)
    (run,) = shared.runs()
    assert run["state"] == "interrupted"
    (state,) = shared.check().values()
    assert {name: task.state.value for name, task in state.tasks.items()} == dict.fromkeys(state.tasks, "cancelled")
    attempts = [attempt for task in state.tasks.values() for attempt in task.attempts]
    assert [len(attempt.outcome.files) > 0 for attempt in attempts if attempt.outcome] == [True, True]
    events = shared.call("logs", run["run"], "--json").out
    shared.runs()
    assert shared.call("logs", run["run"], "--json").out == events, "it is ended once"


def test_an_engine_that_has_lost_its_run_stops_all_that_is_its_own(shared: Project) -> None:
    (shared.root / "hold").touch()
    with shared.start("run", "slow") as engine:
        until(lambda: len(ledger(shared)) == 2, 60)
        run = ledger(shared)[0][0]
        with closing(SqliteStore(shared.root / "outputs/.nbflow/state.db")) as store:
            store.claim(run, "elsewhere:77:1@1769860800", dead)
            seq = store.runs()[0].seq
            _, said = engine.communicate(timeout=60)
            assert engine.returncode == 4, said
            assert "taken over by process 77 on elsewhere, since 2026-01-31 12:00:00 UTC" in said
            assert store.runs()[0].seq == seq, "it has written after it has lost the run"
    shared.until_nobody_lives()
    assert [one["state"] for one in shared.runs()] == ["running"], "its owner is far away, and may live"
    refused = shared.call("resume", run)
    assert refused.code == 4
    assert "process 77 on elsewhere" in refused.err


def test_a_pid_that_somebody_else_has_by_now_holds_no_run(shared: Project) -> None:
    """A dead engine's number has been given out again: its run is not taken for one that goes on."""
    hold = shared.root / "hold"
    hold.touch()
    with shared.start("run", "slow") as engine:
        until(lambda: len(ledger(shared)) == 2, 60)
        engine.send_signal(signal.SIGKILL)
    shared.until_nobody_lives()
    with (
        subprocess.Popen(["sleep", "1000"]) as other,
        closing(sqlite3.connect(shared.root / "outputs/.nbflow/state.db", isolation_level=None)) as store,
    ):
        try:
            change = "UPDATE runs SET owner = replace(owner, ?, ?) WHERE owner LIKE ?"
            pids = f":{engine.pid}:", f":{other.pid}:", f"%:{engine.pid}:%"
            assert store.execute(change, pids).rowcount == 1
            (run,) = shared.runs()
            assert run["state"] == "interrupted"
            hold.unlink()
            assert shared.call("resume", run["run"]).code == 0
            assert other.poll() is None
        finally:
            other.kill()
    assert shared.check()[run["run"]].status == "succeeded"
