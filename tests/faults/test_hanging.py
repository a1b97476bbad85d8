"""A worker that hangs, here stopped by a signal: it reads nothing and writes nothing. Nobody waits for it for ever."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from support.invariants import living
from support.projects import Project, project
from support.waiting import until
from support.zygotes import is_gone

TOML = """
[pipelines.p.tasks]
a = { notebook = "waits.ipynb" }
b = { notebook = "waits.ipynb", needs = ["a"] }
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as found:
        found.notebook(
            "waits",
            "print('done')",
            "import os, time\nopen('begun', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.05)",
        )
        yield found


def stop_worker(made: Project) -> psutil.Process:
    """Have the worker of the one attempt that runs hang."""
    until((made.root / "begun").exists)
    (worker,) = [process for process, kind in living(made.root) if kind == "worker"]
    worker.send_signal(signal.SIGSTOP)
    return worker


def go_on(made: Project) -> None:
    (made.root / "go").touch()
    assert made.call("resume", "@last").code == 0
    state = next(iter(made.check().values()))
    assert [len(task.attempts) for task in state.tasks.values()] == [2, 1]


@pytest.mark.parametrize("how", ["signals", pytest.param("command", marks=pytest.mark.slow)])
def test_a_request_to_kill_ends_it(made: Project, how: str) -> None:
    """In the time that is given to one that answers, and a little."""
    with made.start("run", "p", "--json") as engine:
        worker = stop_worker(made)
        if how == "signals":
            assert engine.stdout is not None
            os.kill(engine.pid, signal.SIGTERM)
            next(line for line in engine.stdout if "cancel_requested" in line)
            os.kill(engine.pid, signal.SIGTERM)
        else:
            assert made.call("cancel", "@last", "--force", "--wait").code == 0
        engine.communicate(timeout=60)
    until(lambda: is_gone(worker.pid))  # nobody has to have reaped it
    (task, _) = made.call("show", "@last", "--json").json["tasks"]
    assert task["cells"]["ok"] == 1
    assert Path(made.root, task["notebook"]).is_file()
    go_on(made)


@pytest.mark.slow
def test_its_engine_is_killed_too(made: Project) -> None:
    """It might still be saving its notebook: so it is left alone for as long as a lease lasts."""
    with made.start("run", "p") as engine:
        worker = stop_worker(made)
        engine.kill()
    assert [run["state"] for run in made.runs()] == ["interrupted"]
    assert not is_gone(worker.pid)
    with closing(sqlite3.connect(made.root / "outputs/.nbflow/state.db")) as store:
        store.execute("UPDATE runs SET heartbeat = '2026-01-31T06:00:00.000000Z'")
        store.commit()
    assert [run["state"] for run in made.runs()] == ["interrupted"]
    until(lambda: is_gone(worker.pid))
    go_on(made)
