"""What the parts of a zygote ask of the system: threads, parents, children, messages with descriptors. Linux only.

Standard library only. Must not know kernels.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import os
import signal
import socket
import time
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FORK_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})
"""Names of threads of libraries that take care of a fork themselves (jemalloc by pthread_atfork)."""
_OWN_END = 0.3
"""Seconds that left-over processes get to end by themselves: many only wait for their parent's end."""
_TERMINATED = 1.0
_KILLED = 0.5
_KILLS = 6
"""How often what is left is killed: it may have started something just before."""


def unsafe_threads() -> list[str]:
    """Names of the threads of this process, beside the one that calls, that a fork would leave behind."""
    own = str(_thread_id())
    found = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as file:
            name = file.read().strip()
            if thread != own and name not in _FORK_SAFE_THREADS:
                found.append(name)
    return found


def _thread_id() -> int:
    import threading

    return threading.get_native_id()


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent`, which has just forked this one, ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> list[str]:
    """End all descendants and reap them; what had to be ended, as `name (pid 12)`. Takes seconds where there are any.

    One that could not be ended, as of another user, comes last, as `name (pid 12, still running)`. SIGCHLD has to be
    blocked.
    """
    if not _await_children(_OWN_END):
        return []
    ended = {pid: name for pid in _descendants() if (name := _name(pid))}
    for number, patience in ((signal.SIGTERM, _TERMINATED), *((signal.SIGKILL, _KILLED),) * _KILLS):
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if not _await_children(patience):
            break
    staying = {pid: name for pid in _descendants() if (name := _name(pid))}
    return [
        *(f"{name} (pid {pid})" for pid, name in ended.items() if pid not in staying),
        *(f"{name} (pid {pid}, still running)" for pid, name in staying.items()),
    ]


def _await_children(patience: float) -> bool:
    """Reap until there are no children any more, or it is too late. True where some are left."""
    deadline = time.monotonic() + patience
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            signal.sigtimedwait({signal.SIGCHLD}, left)


def _descendants() -> list[int]:
    """Without those that have ended and that nobody has reaped yet: they have no children."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state != b"Z":
                    parents.setdefault(int(parent), []).append(int(entry))
    found, rest = [], [os.getpid()]
    while rest:
        children = parents.get(rest.pop(), [])
        found += children
        rest += children
    return found


def _name(pid: int) -> str:
    """What a process is called; empty where it has ended by itself."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def send(channel: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Send one line of JSON, descriptors with its first byte. Raises OSError."""
    data = json.dumps(message).encode("ascii") + b"\n"
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sent = channel.sendmsg([data], ancillary)
    channel.sendall(data[sent:])


def receive_line(channel: socket.socket) -> bytes:
    """One line from a blocking socket, without reading beyond a message; empty where the other side is gone."""
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        part = channel.recv(65_536)
        if not part:
            return b""
        parts.append(part)
    return b"".join(parts)
