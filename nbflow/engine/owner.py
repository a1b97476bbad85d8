"""Who owns a run: a process, named so that others can tell whether it still lives. Must not know stores."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """`host:pid:start`: the start time tells a process from a later one that got its pid."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Whether an owner may still be at work. One of another host is taken for alive: only its host can tell."""
    import psutil

    host, pid, start = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        return _start(int(pid)) == start and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OSError):
        return False


def describe(owner: str) -> str:
    """An owner as a message names it."""
    host, pid, _ = owner.rsplit(":", 2)
    return f"process {pid} on {host}"


def _start(pid: int) -> str:
    """When a process began: in ticks since the boot where /proc tells it, since the wall clock may be set."""
    import psutil

    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return f"{psutil.Process(pid).create_time():.0f}"
