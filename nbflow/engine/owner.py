"""Who owns a run: a process, named so that others can tell whether it still lives. Must not know stores.

Only where its pid means the same as to us can that be told: since the same start of one machine, in one namespace of
pids. Names do not tell machines apart, nor does `/etc/machine-id`: containers and copies of machines share them.
"""

from __future__ import annotations

import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")


def this_process() -> str:
    """`host:pid:start@instant`, as `core.owners` reads it."""
    import psutil

    process = psutil.Process()
    start = f"{_start(process.pid)}.{here()}"
    return f"{socket.gethostname()}:{process.pid}:{start}@{process.create_time():.0f}"


def is_alive(owner: str) -> bool | None:
    """Whether an owner may still be at work.

    None where nobody here can tell: it is of another host, of a container, or of a time before this machine was
    started, unless it was another one of the same name. Then its lease decides.
    """
    import psutil

    process, _, start = owner.rpartition(":")
    host, _, pid = process.rpartition(":")
    began, _, place = start.partition("@")[0].partition(".")
    if (host, place) != (socket.gethostname(), here()):
        return None
    try:
        return began == _start(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OSError):
        return False


def here() -> str:
    """Where numbers of processes mean what they mean to us: which start of which machine, which namespace of them."""
    return f"{_boot()}.{_space()}"


def _start(pid: int) -> str:
    """When a process began: in ticks since the boot, where /proc tells, since the wall clock may be set."""
    import psutil

    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return f"{psutil.Process(pid).create_time():.0f}"


def _boot() -> str:
    """Which start of which machine this is."""
    import psutil

    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _space() -> str:
    """The number of our pid namespace; empty where there are none."""
    try:
        return str(_SPACE.stat().st_ino)
    except OSError:
        return ""
