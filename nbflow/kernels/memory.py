"""Why a process may have died for lack of memory: what the system says about its control group and its limits.

Control groups of Linux, version 2 and 1; where neither can be read, the count of the whole machine. Must not know what
a process did, nor what its death means.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nbflow.kernels.groups import COUNTERS, Place, kill_count, places, text

_OF_THE_MACHINE = "proc/vmstat"
_UNLIMITED = 1 << 60
"""Version 1 writes "no limit" as a number of about this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How often the system had ended a process for lack of memory by some instant.

    `file` has the count, `boot` names the start of the machine since which it counts.
    """

    file: str
    kills: int
    boot: str

    @property
    def grouped(self) -> bool:
        """True where it is the count of a control group, not that of the machine."""
        return not self.file.endswith(_OF_THE_MACHINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known after a death; None is unknown. Sizes are in bytes.

    `kills`: processes ended for lack of memory since the mark, in the process's own control group (`grouped`) or on
    the machine. `limit`: the least that the group, those above it and the machine allow; `address_space` is RLIMIT_AS.
    """

    kills: int | None = None
    grouped: bool = False
    limit: int | None = None
    address_space: int | None = None


class MemoryWatch:
    """Watches what the system says about the memory of one process; `root` is where its /proc and /sys are."""

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self._pid = pid
        self._root = root
        self._group = _group_of(pid, root)
        self._counter = (root / _OF_THE_MACHINE) if self._group is None else _counter(self._group)
        self._boot = _boot(root)
        self._address_space: int | None = None
        self.mark: Mark | None = None
        self.set_mark()

    def set_mark(self) -> None:
        """Note the count of now, in some ten microseconds. Only while the process lives."""
        self._address_space = _address_space(self._pid)
        kills = kill_count(self._counter)
        self.mark = None if kills is None else Mark(file=str(self._counter), kills=kills, boot=self._boot)

    def look_back(self) -> Evidence:
        """What has happened since the mark; the process may have ended."""
        limits = [_machine(self._root), *([] if self._group is None else _limits(self._group))]
        return Evidence(
            kills=kills_since(self.mark, self._root),
            grouped=self._group is not None,
            limit=min((limit for limit in limits if limit is not None), default=None),
            address_space=self._address_space,
        )


def kills_since(mark: Mark | None, root: Path = Path("/")) -> int | None:
    """How many processes the system has ended for lack of memory since a mark; None where nobody can tell."""
    if mark is None or mark.boot != _boot(root):
        return None
    now = kill_count(Path(mark.file))
    return None if now is None else max(0, now - mark.kills)


def _group_of(pid: int, root: Path) -> Place | None:
    """The control group of a process that counts memory."""
    return next((place for place in places("memory", pid, root) if kill_count(_counter(place)) is not None), None)


def _counter(group: Place) -> Path:
    return group.folder / COUNTERS[group.version]


def _limits(group: Place) -> list[int | None]:
    """The limits of the group and of all above it."""
    name = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
    return [_number(folder / name) for folder in group.line()]


def _number(file: Path) -> int | None:
    found = text(file).strip()
    return int(found) if found.isdigit() and int(found) < _UNLIMITED else None


def _machine(root: Path) -> int | None:
    """The memory of the machine."""
    _, found, rest = text(root / "proc/meminfo").partition("MemTotal:")
    return int(rest.split(None, 1)[0]) * 1024 if found else None


def _boot(root: Path) -> str:
    return text(root / "proc/sys/kernel/random/boot_id").strip()


def _address_space(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    import resource

    try:
        soft, _ = resource.prlimit(pid, resource.RLIMIT_AS)
    except OSError:
        return None
    return None if soft == resource.RLIM_INFINITY else soft
