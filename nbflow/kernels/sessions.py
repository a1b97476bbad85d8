"""The session of a kernel: what the kernel starts is in it, whatever its environment, unless it makes one of its own.

A session is known by the number of its leader, which the system gives to no other process as long as anybody is in the
session. Linux only: elsewhere nothing is found. Must not know journals.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from nbflow.kernels.proc import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session by its leader: the number of that, and when it began, in ticks since the start of the machine."""

    leader: int
    began: int


@dataclass(frozen=True, slots=True)
class _Process:
    state: bytes
    session: int
    began: int


def session_of(pid: int) -> Session | None:
    """The session that a process leads; None where it leads none, or where nothing tells."""
    found = _process(pid)
    return Session(leader=pid, began=found.began) if found is not None and found.session == pid else None


def members(session: Session, until: float) -> list[Any]:
    """Living processes of this user in a session, but its leader, that had begun by an instant (seconds since the
    epoch), as psutil has them.

    No one where another process has the number of the leader by now: then the session may be that one's. Nor in the
    sessions of numbers 0 and 1, which are those of who was begun outside this container, of the system's own threads,
    and of the first process: no kernel leads them.
    """
    import psutil

    if session.leader <= 1:
        return []
    leader = _process(session.leader)
    if leader is not None and leader.began != session.began:
        return []
    last = _ticks(until)
    found = []
    for pid in psutil.pids():
        one = _process(pid)
        if one is None or one.session != session.leader or one.state in b"ZX" or pid in (session.leader, os.getpid()):
            continue
        try:
            if session.began <= one.began <= last and os.stat(f"/proc/{pid}").st_uid == os.geteuid():  # noqa: PTH116
                found.append(psutil.Process(pid))
        except (psutil.Error, OSError):
            continue  # just gone
    return found


def _process(pid: int) -> _Process | None:
    """What the system tells of a process; its name, in parentheses, may hold anything."""
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return _Process(fields[0], int(fields[3]), int(fields[19])) if fields else None


def _ticks(instant: float) -> float:
    """An instant of the clock on the wall in ticks since the start of the machine."""
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - instant)
    return since * os.sysconf("SC_CLK_TCK")
