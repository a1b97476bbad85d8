"""Control groups of Linux, version 2 and 1: where a process is in them, and groups of our own that bound a kernel.

A group of our own needs the right to make one: as root, in a container that may write to /sys/fs/cgroup, or where
systemd has delegated a subtree to the user. Must not know kernels, nor what a limit means for an attempt.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

_PREFIX = "nbflow-"
_NUMBERS = count(1)
"""One process may have several groups."""
_PERIOD = 100_000
"""Microseconds over which the system counts the time of the cores; its own default."""
_LEAST_QUOTA = 1_000
"""Microseconds of such a period; the system takes no less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process is in one hierarchy of groups: its folder, where the hierarchy is mounted, its version."""

    folder: Path
    mount: Path
    version: int

    def line(self) -> list[Path]:
        """The group and all above it, the nearest first."""
        return [self.folder, *(folder for folder in self.folder.parents if folder.is_relative_to(self.mount))]


class NoGroupError(Exception):
    """No group of our own can be made; the message says why."""


def places(controller: str, pid: int, root: Path = Path("/")) -> Iterator[Place]:
    """Where a process may be in the hierarchy of a controller, such as "memory"; the likeliest first.

    In a container the path of a process may be that of the host: then its group is what is mounted. Whether a folder
    is there, and whether version 2 has the controller, is to be looked at.
    """
    mounts = _mounts(controller, root)
    for line in text(root / f"proc/{pid}/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and controller not in controllers.split(","):
            continue
        for inside, mount in mounts.get(version, ()):
            below = PurePosixPath(path)
            relative = below.relative_to(inside) if below.is_relative_to(inside) else PurePosixPath()
            top = root / mount.lstrip("/")
            yield from (Place(folder=folder, mount=top, version=version) for folder in (top / relative, top))


class Group:
    """A group of our own: one folder for each hierarchy that bounds something. Use `make`, and `remove` at the end."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    @classmethod
    def make(cls, *, memory: int | None = None, cpu: float | None = None, root: Path = Path("/")) -> Group:
        """A new group, below that of this process, which bounds memory (bytes) and cores. Raises NoGroupError.

        What cannot be bounded is left out, as long as something is left: see `bounds`.
        """
        clear_away(root)
        folders: dict[str, Path] = {}
        reasons: list[str] = []
        name = f"{_PREFIX}{os.getpid()}-{next(_NUMBERS)}"
        for controller, settings in _settings(memory, cpu).items():
            folder: Path | None = None
            try:
                parent = _parent(controller, root)
                folder = parent.folder / name
                folder.mkdir(exist_ok=folder in folders.values())  # version 2: one folder has all controllers
                _set(folder, settings[parent.version])
                folders[controller] = folder
            except OSError as error:
                reasons.append(f"{error.filename or controller}: {error.strerror}")
                if folder is not None and folder not in folders.values():
                    _remove([folder])
            except NoGroupError as error:
                reasons.append(str(error))
        if not folders:
            raise NoGroupError("; ".join(dict.fromkeys(reasons)))
        return cls(folders)

    @property
    def bounds(self) -> frozenset[str]:
        """The controllers that bound something: "memory", "cpu"."""
        return frozenset(self._folders)

    def add(self, pids: Iterable[int]) -> None:
        """Take processes in; what they start from then on is in too. One that has just ended is no error.

        Raises NoGroupError where the system does not allow it.
        """
        for pid in pids:
            for folder in dict.fromkeys(self._folders.values()):
                try:
                    (folder / "cgroup.procs").write_text(f"{pid}\n", "ascii")
                except ProcessLookupError:
                    continue
                except OSError as error:
                    raise NoGroupError(f"{folder}: {error.strerror}") from error

    def kills(self) -> int:
        """How many processes of the group the system has ended for lack of memory."""
        folder = self._folders.get("memory")
        return 0 if folder is None else max(0, *(kill_count(folder / name) or 0 for name in COUNTERS.values()))

    def remove(self) -> None:
        """Take the group away; its processes have ended. One that a process is still in is left to the next `make`."""
        _remove(self._folders.values())


COUNTERS = {2: "memory.events", 1: "memory.oom_control"}
"""The file of a group that says how many of its processes were ended for lack of memory, by version."""


def kill_count(file: Path) -> int | None:
    """The line `oom_kill N` of a file; None where it has none."""
    for line in text(file).splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.strip().isdigit():
            return int(number)
    return None


def clear_away(root: Path = Path("/")) -> None:
    """Remove groups of processes that were killed before they could do so."""
    for controller in ("memory", "cpu"):
        for place in places(controller, os.getpid(), root):
            for folder in {one for above in place.line() for one in above.glob(f"{_PREFIX}*")}:
                owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
                if owner.isdigit() and not (root / "proc" / owner).exists():
                    _remove([folder])


def text(path: Path) -> str:
    """A small file of the system; empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _mounts(controller: str, root: Path) -> dict[int, list[tuple[str, str]]]:
    """Where the hierarchies of a controller are mounted, by version: which group is at the top there, and the place."""
    found: dict[int, list[tuple[str, str]]] = {}
    for line in text(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.setdefault(2, []).append((fields[3], fields[4]))
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            found.setdefault(1, []).append((fields[3], fields[4]))
    return found


_Files = tuple[tuple[str, str, bool], ...]
"""Names and contents of files, and whether it does without the file."""


def _settings(memory: int | None, cpu: float | None) -> dict[str, dict[int, _Files]]:
    """What is written to a new group, by controller and version."""
    found: dict[str, dict[int, _Files]] = {}
    if memory is not None:
        most = str(memory)
        found["memory"] = {
            2: (("memory.max", most, False), ("memory.swap.max", "0", True), ("memory.oom.group", "1", True)),
            1: (("memory.limit_in_bytes", most, False), ("memory.memsw.limit_in_bytes", most, True)),
        }
    if cpu is not None:
        quota = str(max(_LEAST_QUOTA, int(cpu * _PERIOD)))
        found["cpu"] = {
            2: (("cpu.max", f"{quota} {_PERIOD}", False),),
            1: (("cpu.cfs_period_us", str(_PERIOD), False), ("cpu.cfs_quota_us", quota, False)),
        }
    return found


def _set(folder: Path, files: _Files) -> None:
    for name, content, is_optional in files:
        if is_optional and not (folder / name).exists():
            continue
        (folder / name).write_text(f"{content}\n", "ascii")


def _parent(controller: str, root: Path) -> Place:
    """The group in which one of our own can be made: that of this process. Raises NoGroupError.

    Version 2 allows no groups below one that has processes: there it is the nearest above that hands the controller
    on. Whoever owns that has decided so; and nothing is left on the way that bounds this process.
    """
    place = next((place for place in places(controller, os.getpid(), root) if place.folder.is_dir()), None)
    if place is None:
        raise NoGroupError(f"this system has no control groups for {controller}")
    for folder in place.line() if place.version == 2 else [place.folder]:
        if place.version == 1 or controller in text(folder / "cgroup.subtree_control").split():
            if not _is_writable(folder):
                raise NoGroupError(f"{folder} is not to be written to")
            return Place(folder=folder, mount=place.mount, version=place.version)
        if _has_limits(folder):
            raise NoGroupError(f"{folder} has limits, which a group beside it would not have")
    raise NoGroupError(f"no control group for {controller} is delegated to this process")


def _has_limits(folder: Path) -> bool:
    found = [text(folder / name).split() for name in ("memory.max", "memory.high", "cpu.max")]
    return any(words[:1] not in ([], ["max"]) for words in found)


def _is_writable(folder: Path) -> bool:
    """Whether groups can be made in it and processes moved to them; also root may be refused, by a mount."""
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _remove(folders: Iterable[Path]) -> None:
    for folder in dict.fromkeys(folders):
        with suppress(OSError):  # not empty yet, or removed by somebody else just now
            folder.rmdir()
