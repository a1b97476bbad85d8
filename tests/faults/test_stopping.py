"""A run is stopped, by whatever stops programs: it ends, saves its notebooks and leaves nothing running."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

import nbflow
from nbflow.core.attempt import ErrorKind
from nbflow.core.spec import Limits
from support.attempts import bench, order, states
from support.invariants import PROJECT
from support.projects import Project, project
from support.waiting import allowed, until

TOML = """
[pipelines.three]
max_parallel = 2
[pipelines.three.tasks]
sleeps = { notebook = "sleeps.ipynb", retries = 3 }
stubborn = { notebook = "stubborn.ipynb" }
next = { notebook = "quick.ipynb" }

[pipelines.quick.tasks]
a = { notebook = "quick.ipynb" }
"""
SLEEPS = "import time\nfor _ in range(1000):\n    time.sleep(0.1)"
DAEMON = """
import pathlib, subprocess
forever = "trap : INT TERM HUP; touch daemon; while :; do sleep 1; done"
subprocess.run(f"setsid sh -c '{forever}' >/dev/null 2>&1 &", shell=True)
while not pathlib.Path("daemon").exists():
    pass
"""
"""A process that has left session and parent, and listens to nothing."""
DEADLOCK = """
import ctypes, pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
mutex, lock = ctypes.create_string_buffer(64), ctypes.PyDLL(None).pthread_mutex_lock
lock(mutex)
pathlib.Path("stuck").touch()
lock(mutex)
"""
"""In C, with the interpreter's lock: neither an interrupt nor SIGTERM is heard."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("stopping"), TOML) as found:
        found.notebook("sleeps", "1", "import pathlib; pathlib.Path('asleep').touch()", SLEEPS, "2")
        found.notebook("stubborn", DAEMON, DEADLOCK, "2")
        found.notebook("quick", "print('quick')")
        yield found


def begun(made: Project) -> str:
    """Wait until both notebooks of the newest run are where they stay; the run's id."""
    until(lambda: (made.root / "asleep").exists() and (made.root / "stuck").exists())
    for name in ("asleep", "stuck", "daemon"):
        (made.root / name).unlink()
    with nbflow.Project.open(made.root / "pipelines.toml") as opened:
        return str(opened.runs.rows(limit=1)[0].run)


def assert_stopped(made: Project, run: str, state: str) -> None:
    """Both have partial notebooks, nothing new was begun, no process lives."""
    found = made.check()[run]
    assert found.status == state
    assert {name: task.state.value for name, task in found.tasks.items()} == dict.fromkeys(found.tasks, "cancelled")
    assert [len(found.tasks[name].attempts) for name in ("sleeps", "stubborn", "next")] == [1, 1, 0]
    cells = {}
    for name in ("sleeps", "stubborn"):
        document = json.loads((made.root / "outputs/three" / run / f"{name}.ipynb").read_text("utf-8"))
        cells[name] = states(document)
    assert cells["sleeps"][:2] == ["ok", "ok"]
    assert cells["sleeps"][2:] in (["failed", "not_run"], ["killed", "not_run"])
    assert cells["stubborn"] == ["ok", "killed", "not_run"]


def test_three_signals(made: Project) -> None:
    """The second one, whichever it is, kills the kernels, and does not wait for what hangs; more change nothing."""
    engine = made.start("run", "three")
    run = begun(made)
    engine.send_signal(signal.SIGTERM)
    until(lambda: task_state(made, run, "sleeps") == "cancelled")
    began = time.monotonic()
    engine.send_signal(signal.SIGHUP)
    engine.send_signal(signal.SIGINT)
    out, err = engine.communicate(timeout=30)
    assert time.monotonic() - began < allowed(8)
    assert (engine.returncode, err) == (130, "")
    assert "stopping now: the kernels are killed" in out
    assert re.search(r"! stubborn +left behind, and was ended: .*sh \(pid \d+\)", out), out
    assert_stopped(made, run, "interrupted")


def test_ctrl_c_three_times_on_a_terminal(made: Project) -> None:
    """As twice: the kernels are killed, what they leave is ended, and the store is right."""
    own = {"TMPDIR": str(made.temporary), PROJECT: str(made.root.resolve()), "TERM": "xterm"}
    command = [sys.executable, "-m", "nbflow", "run", "three"]
    terminal = pexpect.spawn(
        command[0], command[1:], cwd=made.root, env={**os.environ, **own}, encoding="utf-8", dimensions=(30, 120)
    )
    run = begun(made)
    terminal.send("\x03")
    terminal.expect("stopping", timeout=30)
    began = time.monotonic()
    terminal.send("\x03\x03")
    terminal.expect(pexpect.EOF, timeout=30)
    terminal.close()
    assert time.monotonic() - began < allowed(8)
    assert terminal.exitstatus == 130
    assert_stopped(made, run, "interrupted")


def test_cancel_of_a_run_in_the_background(made: Project) -> None:
    """From another shell, first in good order, then by force."""
    began = made.call("run", "three", "--detach")
    run = begun(made)
    assert began.out.strip() == run
    asked = made.call("cancel", run)
    assert (asked.code, asked.out.strip()) == (0, f"run {run} is asked to stop; it is running")
    until(lambda: task_state(made, run, "sleeps") == "cancelled")
    forced = made.call("cancel", run, "--force", "--wait")
    assert (forced.code, forced.out.strip()) == (0, f"run {run} is cancelled")
    assert_stopped(made, run, "cancelled")


def test_nobody_is_left_to_read(made: Project) -> None:
    """A closed pipe, of both streams; a terminal that is gone, of somebody else, and of one who does not listen."""
    command = [sys.executable, "-m", "nbflow", "run", "quick"]
    pipe = f"{shlex.join(command)} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"
    how: dict[str, Any] = {"cwd": made.root, "env": {**os.environ, "NO_COLOR": "1"}, "stdin": subprocess.DEVNULL}
    piped = subprocess.Popen(["bash", "-c", pipe], stdout=subprocess.PIPE, text=True, **how)
    terminals = []
    for ignores in (False, True):
        ours, theirs = pty.openpty()
        hush = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_IGN) if ignores else os.getpid
        own = {"stdout": theirs, "stderr": theirs, "start_new_session": True, "preexec_fn": hush}
        terminals.append(subprocess.Popen(command, **how, **own))
        os.close(theirs)
        os.read(ours, 1)
        os.close(ours)
    assert piped.communicate(timeout=60)[0].count("\n") == 1
    assert [piped.returncode, *(one.wait(60) for one in terminals)] == [0, 0, 0]
    assert [row["state"] for row in made.runs() if row["pipeline"] == "quick"] == ["succeeded"] * 3
    made.check()


def task_state(made: Project, run: str, task: str) -> str:
    with nbflow.Project.open(made.root / "pipelines.toml") as opened:
        return str(opened.runs.document(opened.runs.find(run)).task(task)["state"])


def test_a_deadlock_at_a_limit_of_time(tmp_path: Path) -> None:
    """Interrupt, SIGTERM, SIGKILL, each to the whole group; what has left the group is ended and named."""
    with bench(grace=1.0) as runs:
        outcome, document = runs.run(order(tmp_path, DAEMON, DEADLOCK, "1", limits=Limits(cell_timeout=1)))
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.cell) == (ErrorKind.TIMEOUT, 1)
    assert "its kernel was killed" in outcome.error.message
    assert states(document) == ["ok", "killed", "not_run"]
    (name,) = (one for one in outcome.left_behind if re.fullmatch(r"sh \(pid \d+\)", one))
    warning = f"a process that the notebook had left behind was ended: {name}"
    assert warning in document["metadata"]["nbflow"]["warnings"]
