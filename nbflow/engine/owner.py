"""Who owns a run: a process, named so that others can tell whether it still lives. Must not know stores."""

from __future__ import annotations

import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """`host:pid:start@instant`, as `core.owners` reads it."""
    import psutil

    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{_start(process.pid)}@{process.create_time():.0f}"


def is_alive(owner: str) -> bool | None:
    """Whether an owner may still be at work; None for one of another host: only its host can tell."""
    import psutil

    host, pid, start = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return None
    try:
        known = _start(int(pid))
        same = start.partition("@")[0] in (known, known.partition(".")[0])  # an older nbflow does not name the boot
        return same and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OSError):
        return False


def _start(pid: int) -> str:
    """When a process began: in ticks since the boot, and which boot, where /proc tells; the wall clock may be set."""
    import psutil

    try:
        ticks = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
        return f"{ticks}.{_BOOT.read_text('ascii')[:8]}"
    except FileNotFoundError:
        return f"{psutil.Process(pid).create_time():.0f}"
