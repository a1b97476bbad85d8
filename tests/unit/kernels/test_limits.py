"""Limits of memory and cores on real processes that are no kernels, with and without a control group."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from nbflow.kernels import footprint, limits
from nbflow.kernels.footprint import descendants
from nbflow.kernels.groups import Group, NoGroupError
from nbflow.kernels.limits import Enforcer, thread_variables, ways
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits hold on Linux")

GROWING = """
import faulthandler, time
faulthandler.enable()
kept = []
while True:
    kept.append(bytearray(2_000_000))
    time.sleep(0.01)
"""
WITH_A_CHILD = """
import subprocess, sys, time
child = "import os, time; os.setsid(); x = b'x' * 150_000_000; time.sleep(100)"
subprocess.run([sys.executable, "-c", child])
time.sleep(100)
"""


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has no other children than its kernel; the process of the tests may have some."""
    before = set(descendants(os.getpid()))
    for module in (limits, footprint):
        monkeypatch.setattr(module, "descendants", lambda top: [pid for pid in descendants(top) if pid not in before])


@pytest.fixture
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> Group:
        raise NoGroupError("not delegated")

    monkeypatch.setattr(Group, "make", refuse)


def start(source: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.PIPE, start_new_session=True)


def test_growing_slowly_is_seen_and_says_where(no_group: None) -> None:
    process = start(GROWING)
    enforcer = Enforcer(process.pid, memory=60_000_000, cpu=None, stacks=True)
    assert enforcer.begin() is None
    assert not enforcer.is_exceeded()
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGABRT
    assert b'File "<string>", line' in said
    until(enforcer.is_exceeded)
    told = r"memory limit: the kernel and what it started used (\d+) MB of the 60 MB allowed"
    assert enforcer.excess is not None
    assert (match := re.fullmatch(told, enforcer.excess))
    assert int(match[1]) >= 60
    enforcer.end()
    assert "limits" not in {thread.name for thread in threading.enumerate()}


def test_what_was_started_counts_too_and_is_ended_wherever_it_went(no_group: None) -> None:
    process = start(WITH_A_CHILD)
    enforcer = Enforcer(process.pid, memory=120_000_000, cpu=None)
    enforcer.begin()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    until(enforcer.is_exceeded)
    enforcer.end()


def test_the_wall_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks in time: the system ends it, and that is told where somebody asks."""
    monkeypatch.setattr(limits, "_EVERY", 100.0)
    process = start("import time; time.sleep(0.5); x = b'x' * 500_000_000")
    enforcer = Enforcer(process.pid, memory=60_000_000, cpu=None)
    enforcer.begin()
    process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip(f"no control group can be made here: {ways()}")
    assert enforcer.is_exceeded()
    assert enforcer.excess == "memory limit: the kernel and what it started needed more than the 60 MB allowed"
    enforcer.end()


def test_cores(no_group: None, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("there is one core only")
    processes = [start("import time; time.sleep(100)") for _ in allowed]
    for process in processes:
        enforcer = Enforcer(process.pid, memory=None, cpu=0.5)
        assert enforcer.begin() is None
        enforcer.end()
    chosen = [os.sched_getaffinity(process.pid) for process in processes]
    assert {len(cores) for cores in chosen} == {1}
    whole = Enforcer(processes[0].pid, memory=None, cpu=float(len(allowed)))
    assert whole.begin() is None
    for process in processes:
        process.kill()
        process.communicate()


def test_variables_for_threads() -> None:
    cores = len(os.sched_getaffinity(0))
    assert thread_variables(None, {}) == {}
    assert thread_variables(cores, {}) == {}
    found = thread_variables(0.5, {"MKL_NUM_THREADS": "7"})
    assert found["OMP_NUM_THREADS"] == "1"
    assert "MKL_NUM_THREADS" not in found


def test_elsewhere_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Enforcer(1, memory=1, cpu=None).begin() == limits.NO_LIMITS
    assert Enforcer(1, memory=None, cpu=None).begin() is None
    assert ways() == limits.NO_LIMITS


def test_ways(no_group: None) -> None:
    assert ways() == (
        "memory is watched, without a control group behind that; cores are bounded by affinity to whole cores "
        "(not delegated)"
    )
