"""Who owns a run, and whether it lives."""

from __future__ import annotations

import os
import subprocess
import sys

from nbflow.core.owners import describe
from nbflow.engine.owner import is_alive, this_process


def test_this_process_lives() -> None:
    assert is_alive(this_process())
    assert describe(this_process()).startswith(f"process {os.getpid()} on ")
    assert ", since 20" in describe(this_process())


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
    ticks, boot, space = start.partition("@")[0].split(".")
    for other in (f"{ticks}1.{boot}.{space}@0", f"{ticks}.another1.{space}@0", f"{ticks}1.{boot}@0", f"{ticks}1"):
        assert is_alive(f"{host}:{pid}:{other}") is False


def test_the_clock_on_the_wall_and_the_version_of_nbflow_do_not_matter() -> None:
    host, pid, start = this_process().rsplit(":", 2)
    assert is_alive(f"{host}:{pid}:{start.partition('@')[0]}@0")
    assert is_alive(f"{host}:{pid}:{start.partition('.')[0]}")
    assert is_alive(f"{host}:{pid}:{'.'.join(start.partition('@')[0].split('.')[:2])}@0")


def test_of_a_container_with_the_name_of_its_host_nothing_is_known() -> None:
    host, _, start = this_process().rsplit(":", 2)
    ticks, boot, space = start.partition("@")[0].split(".")
    assert is_alive(f"{host}:999999999:{ticks}.{boot}.{int(space) + 1}@0") is None
    assert is_alive(f"{host}:999999999:{ticks}.{boot}.{space}@0") is False


def test_of_another_host_nothing_is_known() -> None:
    assert is_alive("elsewhere:1:2") is None


def test_what_is_no_owner_is_not_alive() -> None:
    host = this_process().rsplit(":", 2)[0]
    assert is_alive(f"{host}:x:1") is False
