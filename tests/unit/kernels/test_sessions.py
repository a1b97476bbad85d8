"""What is in a session whose leader is dead: found by its number, as long as that can be nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from nbflow.kernels import sessions
from nbflow.kernels.sessions import Session, members, session_of
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system tells it on Linux only")

LEADER = """
import subprocess, sys
bare = subprocess.Popen(["env", "-i", "sleep", "1003"], stdout=subprocess.DEVNULL)
away = subprocess.Popen(["sleep", "1004"], stdout=subprocess.DEVNULL, start_new_session=True)
print(bare.pid, away.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def left() -> Iterator[tuple[Session, psutil.Process]]:
    """A session whose leader was killed, and the one process that is left in it."""
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    bare, away = (psutil.Process(int(pid)) for pid in leader.stdout.readline().split())
    try:
        session = session_of(leader.pid)
        assert session is not None
        assert members(session, time.time()) == [bare], "its leader lives, and is not among them"
        leader.kill()
        leader.communicate()
        yield session, bare
    finally:
        for process in (bare, away):
            process.kill()


def test_what_is_left_is_found(left: tuple[Session, psutil.Process]) -> None:
    session, bare = left
    assert members(session, time.time()) == [bare]
    bare.kill()
    until(lambda: not members(session, time.time()))


def test_what_began_before_the_leader_or_too_late_is_another_ones(left: tuple[Session, psutil.Process]) -> None:
    session, _ = left
    assert members(session, time.time() - 3600) == []
    assert members(replace(session, began=session.began + 10**9), time.time()) == []


def test_a_number_that_was_given_anew_is_another_session() -> None:
    program = [sys.executable, "-c", LEADER]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        bare, away = (psutil.Process(int(pid)) for pid in leader.stdout.readline().split())
        try:
            session = session_of(leader.pid)
            assert session is not None
            assert members(session, time.time()) == [bare]
            assert members(replace(session, began=session.began - 1), time.time()) == []
        finally:
            for process in (bare, away):
                process.kill()


@pytest.mark.parametrize("leader", [0, 1])
def test_the_sessions_of_the_system_are_no_kernels(leader: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number 0 is told of whoever was begun outside a container, and of the threads of the system itself."""
    everybody = sessions._Process(b"S", leader, 5)
    monkeypatch.setattr(sessions, "_process", lambda pid: everybody)
    assert members(Session(leader=leader, began=5), time.time()) == []
    monkeypatch.setattr(sessions, "_process", lambda pid: replace(everybody, session=2))
    assert members(Session(leader=2, began=5), time.time()) != [], "the test is one of what it says"


def test_what_may_not_be_ended_is_left_out(
    left: tuple[Session, psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 10**9)
    assert members(left[0], time.time()) == []


def test_who_leads_no_session_has_none() -> None:
    with subprocess.Popen(["sleep", "1005"]) as child:
        assert session_of(child.pid) is None
        child.kill()
    assert session_of(child.pid) is None
