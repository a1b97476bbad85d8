"""Drafts of a store: files beside its place in which one is made whole before it is put there.

Whoever is killed meanwhile leaves one behind, which the next one who makes or opens the store sweeps. Its name says
who makes it. Must not know what is in it.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
import time
from contextlib import suppress
from functools import cache
from hashlib import blake2s
from pathlib import Path

from nbflow.store.access import COMPANIONS

OLD_SECONDS = 3600.0
"""It takes seconds to make a store: what is older is nobody's, also where its maker cannot be asked after."""

_BOOT, _PIDS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def make(path: Path) -> Path:
    """An empty draft of the store at `path`, which only its owner can read."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.{os.getpid()}_{_here()}_", suffix=".tmp", dir=path.parent)
    os.close(handle)
    return Path(name)


def drop(draft: Path) -> None:
    """Remove a draft, and what SQLite keeps beside it."""
    for part in ("", *COMPANIONS):
        Path(f"{draft}{part}").unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove our drafts of the store at `path` whose makers are gone. What cannot be removed now stays for later."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.(?:(\d+)_([0-9a-f]+)_)?\w+\.tmp(?:{'|'.join(COMPANIONS)})?")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            found = ours.fullmatch(entry.name)
            if found is not None and _is_left(entry, found[1], found[2]):
                Path(entry.path).unlink(missing_ok=True)


def _is_left(entry: os.DirEntry[str], pid: str | None, place: str | None) -> bool:
    """Whether nobody is at a draft any more. The processes of another machine, or container, cannot be looked at."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    is_gone = pid is not None and place == _here() and not _lives(int(pid))
    return is_gone or time.time() - status.st_mtime > OLD_SECONDS


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's, who has got the number
    return True


@cache
def _here() -> str:
    """Where process ids mean what they do here: a boot of a machine, and a container in it."""
    known = [socket.gethostname()]
    with suppress(OSError):
        known += [_BOOT.read_text("ascii"), str(_PIDS.stat().st_ino)]
    return blake2s("\n".join(known).encode(), digest_size=6).hexdigest()
