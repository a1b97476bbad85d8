"""Why a process may have died for lack of memory: what the system says about its control group and its limits.

Control groups of Linux, version 2 and 1; where neither can be read, the count of the whole machine. Must not know what
a process did, nor what its death means.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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
        self._counter = (root / _OF_THE_MACHINE) if self._group is None else self._group.counter
        self._boot = _boot(root)
        self._address_space: int | None = None
        self.mark: Mark | None = None
        self.set_mark()

    def set_mark(self) -> None:
        """Note the count of now, in some ten microseconds. Only while the process lives."""
        self._address_space = _address_space(self._pid)
        kills = _count(self._counter)
        self.mark = None if kills is None else Mark(file=str(self._counter), kills=kills, boot=self._boot)

    def look_back(self) -> Evidence:
        """What has happened since the mark; the process may have ended."""
        limits = [_machine(self._root), *([] if self._group is None else self._group.limits())]
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
    now = _count(Path(mark.file))
    return None if now is None else max(0, now - mark.kills)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A control group that counts memory: its folder, where its hierarchy is mounted, its files' names."""

    folder: Path
    mount: Path
    version: int

    @property
    def counter(self) -> Path:
        return self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")

    def limits(self) -> list[int | None]:
        """The limits of the group and of all above it."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        above = [folder for folder in self.folder.parents if folder.is_relative_to(self.mount)]
        return [_number(folder / name) for folder in (self.folder, *above)]


def _group_of(pid: int, root: Path) -> _Group | None:
    """The control group of a process. In a container its path may be that of the host: then it is what is mounted."""
    mounts = _mounts(root)
    for line in _text(root / f"proc/{pid}/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and "memory" not in controllers.split(","):
            continue
        for inside, mount in mounts.get(version, ()):
            below = PurePosixPath(path)
            relative = below.relative_to(inside) if below.is_relative_to(inside) else PurePosixPath()
            for folder in (root / mount.lstrip("/") / relative, root / mount.lstrip("/")):
                group = _Group(folder=folder, mount=root / mount.lstrip("/"), version=version)
                if _count(group.counter) is not None:
                    return group
    return None


def _mounts(root: Path) -> dict[int, list[tuple[str, str]]]:
    """Where memory groups are mounted, by version: which group is at the top there, and the place."""
    found: dict[int, list[tuple[str, str]]] = {}
    for line in _text(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.setdefault(2, []).append((fields[3], fields[4]))
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            found.setdefault(1, []).append((fields[3], fields[4]))
    return found


def _count(file: Path) -> int | None:
    """The line `oom_kill N` of a file."""
    for line in _text(file).splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.strip().isdigit():
            return int(number)
    return None


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None


def _machine(root: Path) -> int | None:
    """The memory of the machine."""
    _, found, rest = _text(root / "proc/meminfo").partition("MemTotal:")
    return int(rest.split(None, 1)[0]) * 1024 if found else None


def _boot(root: Path) -> str:
    return _text(root / "proc/sys/kernel/random/boot_id").strip()


def _address_space(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    import resource

    try:
        soft, _ = resource.prlimit(pid, resource.RLIMIT_AS)
    except OSError:
        return None
    return None if soft == resource.RLIM_INFINITY else soft


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
