"""Who owns a run: a process, named so that others can tell whether it still lives. Must not know stores."""

from __future__ import annotations

import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")
"""Where pids mean what they mean to us: a container has its own, and may have the host's name."""


def this_process() -> str:
    """`host:pid:start@instant`, as `core.owners` reads it."""
    import psutil

    process = psutil.Process()
    space = f".{_space()}" if _space() else ""
    return f"{socket.gethostname()}:{process.pid}:{_start(process.pid)}{space}@{process.create_time():.0f}"


def is_alive(owner: str) -> bool | None:
    """Whether an owner may still be at work; None for one of another host or container: only that can tell."""
    import psutil

    host, pid, start = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return None
    named, _, space = start.partition("@")[0].rpartition(".")
    if "." not in named:  # an older nbflow does not name the space, nor a still older one the boot
        named, space = start.partition("@")[0], ""
    try:
        if space and space != _space() and named.endswith(_boot()):
            return None
        known = _start(int(pid))
        same = named in (known, known.partition(".")[0])
        return same and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OSError):
        return False


def _start(pid: int) -> str:
    """When a process began: in ticks since the boot, and which boot, where /proc tells; the wall clock may be set."""
    import psutil

    try:
        ticks = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
        return f"{ticks}.{_boot()}"
    except FileNotFoundError:
        return f"{psutil.Process(pid).create_time():.0f}"


def _boot() -> str:
    return _BOOT.read_text("ascii")[:8]


def _space() -> str:
    """The number of our pid namespace; empty where there are none."""
    try:
        return str(_SPACE.stat().st_ino)
    except OSError:
        return ""
