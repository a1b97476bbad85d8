"""Nothing is left over: find and end what a notebook started and did not end itself.

A worker adopts the orphans of its kernel (Linux), so that also what left the kernel's process group is found. Where
the worker itself was killed, processes are known by the mark in their environment. Must not know notebooks.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from nbflow.core.attempt import STILL_RUNNING
from nbflow.kernels.environ import OWNER_MARK

_PR_SET_CHILD_SUBREAPER = 36
_HELPERS = ("resource_tracker", "forkserver", "loky")
"""What stands in the command of processes that libraries keep for themselves: no notebook could end them."""
_OWN_END = 0.3
"""Seconds that processes get to end by themselves: many only wait for their parent's end."""
_TERMINATED = 1.0
_KILLED = 3.0
_KILL_ROUND = 0.5
"""Seconds for killed processes to be gone, before it is looked for what they had still started."""


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends. Linux only; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> list[str]:
    """End every descendant of this process, and reap it; what had to be ended, as `name (pid 12)`.

    One that could not be ended, as of another user, comes last, as `name (pid 12, still running)`. Takes seconds where
    there are any.
    """
    import psutil

    if _reap():
        return []

    ended = _end(lambda: psutil.Process().children(recursive=True))
    _reap()
    return ended


def end_marked(journal: str, others: Callable[[], list[Any]] = list) -> list[str]:
    """End every process of the attempt with that journal; as `end_descendants`. For when its worker is dead.

    `others` finds processes of it that do not bear its mark.
    """
    import psutil

    def marked() -> list[Any]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(OWNER_MARK) == journal:
                    found.append(process)
            except (psutil.Error, OSError):
                continue  # another user's, or just gone
        return [*found, *(one for one in others() if one not in found)]

    return _end(marked)


def group_members(leader: int) -> list[str]:
    """The living processes of a process group, as `name (pid 12)`, without its leader and what libraries keep.

    Costs a millisecond: asked of the system for each process, without reading about any other.
    """
    import psutil

    found = []
    for pid in psutil.pids():
        try:
            if pid == leader or os.getpgid(pid) != leader:
                continue
            process = psutil.Process(pid)
            command = " ".join(process.cmdline())  # nothing, or an error, of one that is ending already
            if command and not any(helper in command for helper in _HELPERS):
                found.append(_shown(process))
        except (psutil.Error, OSError):
            continue  # just gone
    return found


def _end(find: Callable[[], list[Any]]) -> list[str]:
    """Wait, terminate, kill: each only for those that the one before did not end.

    What they start meanwhile is looked for until nothing is left, and killed with them.
    """
    import psutil

    _, alive = psutil.wait_procs(find(), timeout=_OWN_END)
    ended = {process.pid: _shown(process) for process in alive}
    if alive:
        _do("terminate", alive)
        psutil.wait_procs(alive, timeout=_TERMINATED)
    deadline = time.monotonic() + _KILLED
    while ended and (alive := list(filter(_is_alive, find()))) and time.monotonic() < deadline:
        _do("kill", alive)
        psutil.wait_procs(alive, timeout=_KILL_ROUND)
    staying = {process.pid: _shown(process).removesuffix(")") + STILL_RUNNING for process in alive} if ended else {}
    return [*(name for pid, name in ended.items() if pid not in staying), *staying.values()]


def _do(action: str, processes: Sequence[Any]) -> None:
    import psutil

    for process in processes:
        try:
            getattr(process, action)()
        except psutil.Error:
            continue  # just gone, or another user's: who is still there at the end is named


def _is_alive(process: Any) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _shown(process: Any) -> str:
    import psutil

    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"process (pid {process.pid})"


def _reap() -> bool:
    """Collect adopted orphans that have ended; True where there is no child any more. The caller waits for none itself.

    Asked of the system, without a search through all processes.
    """
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
