"""Whatever was started and not ended is ended: descendants, orphans, and what only a mark leads to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbflow.kernels.environ import OWNER_MARK
from nbflow.kernels.sweep import end_marked, group_members

WORKER = """
import subprocess, sys, time
from nbflow.kernels.sweep import adopt_orphans, end_descendants
adopt_orphans()
child = "import time; print('up', flush=True); time.sleep(1000)"
stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + child
for text in (child, stubborn):
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, start_new_session=True)
    process.stdout.readline()
subprocess.run("setsid sh -c 'trap : TERM; while :; do sleep 0.02; done' >/dev/null 2>&1 &", shell=True)
time.sleep(0.2)
print(*sorted({name.split(" (pid")[0][:6] for name in end_descendants()} - {"sleep"}))
import psutil
print(len(psutil.Process().children(recursive=True)))
print(end_descendants())
"""


DENIED = """
import psutil, subprocess
from nbflow.kernels import sweep
def deny(process):
    if process.pid == foreign.pid:
        raise psutil.AccessDenied(process.pid)
    signal(process)
signal, psutil.Process.terminate = psutil.Process.terminate, deny
psutil.Process.kill = deny
sweep._TERMINATED = sweep._KILLED = 0.1
foreign = subprocess.Popen(["sleep", "1001"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
other = subprocess.Popen(["sleep", "1002"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(sweep.end_descendants() == [f"sleep (pid {other.pid})", f"sleep (pid {foreign.pid}, still running)"])
print(foreign.poll())
foreign.kill()
"""
MANY = """
import os, sys
from nbflow.kernels.sweep import end_descendants
for _ in range(100):
    if os.fork() == 0:
        os._exit(0)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
sys.setrecursionlimit(60)
print(end_descendants())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_descendants_orphans_included() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["python sh", "0", "[]"], done.stderr


def test_one_that_may_not_be_ended_is_named_as_such() -> None:
    """As one of another user: the others are ended all the same."""
    done = subprocess.run([sys.executable, "-c", DENIED], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["True", "None"], done.stderr
    assert done.returncode == 0, done.stderr


def test_many_that_have_ended_already() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]"], done.stderr


def test_processes_that_bear_the_mark(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    env = {**os.environ, OWNER_MARK: journal}
    ours = subprocess.Popen(["sleep", "1000"], env=env, start_new_session=True)
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, OWNER_MARK: f"{journal}2"})
    assert end_marked(journal) == [f"sleep (pid {ours.pid})"]
    assert not psutil.pid_exists(ours.pid) or psutil.Process(ours.pid).status() == psutil.STATUS_ZOMBIE
    assert other.poll() is None
    other.kill()
    other.wait()
    assert end_marked(journal) == []


def test_others_that_bear_no_mark(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    ours = subprocess.Popen(["sleep", "1000"], env={**os.environ, OWNER_MARK: journal})
    other = subprocess.Popen(["env", "-i", "sleep", "1000"])
    found = [psutil.Process(ours.pid), psutil.Process(other.pid)]
    assert sorted(end_marked(journal, lambda: found)) == sorted(f"sleep (pid {one.pid})" for one in found)
    assert not any(one.is_running() for one in found)
    ours.wait()
    other.wait()


def test_members_of_a_group_but_its_leader_and_what_libraries_keep() -> None:
    helper = [sys.executable, "-c", "print('up', flush=True); input()", "resource_tracker"]
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, *helper], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    member = int(leader.stdout.readline())
    assert leader.stdout.readline() == b"up\n"
    try:
        assert group_members(leader.pid) == [f"sleep (pid {member})"]
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.communicate()


LEADER = """
import subprocess, sys
print(subprocess.Popen(["sleep", "1000"]).pid, flush=True)
subprocess.run(sys.argv[1:])
"""
