"""Who owns a run, and whether it lives."""

from __future__ import annotations

import os
import subprocess
import sys

from nbflow.engine.owner import describe, is_alive, this_process


def test_this_process_lives() -> None:
    assert is_alive(this_process())
    assert describe(this_process()).startswith(f"process {os.getpid()} on ")


def test_a_dead_process_does_not() -> None:
    code = "from nbflow.engine.owner import this_process; print(this_process())"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert not is_alive(owner)


def test_a_zombie_does_not() -> None:
    code = "from nbflow.engine.owner import this_process; print(this_process(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        owner = child.stdout.read().strip()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(owner)


def test_a_process_that_got_the_same_pid_is_another() -> None:
    host, pid, start = this_process().rsplit(":", 2)
    assert not is_alive(f"{host}:{pid}:{start}1")


def test_another_host_is_taken_for_alive() -> None:
    assert is_alive("elsewhere:1:2")
