"""How much memory a tree of processes holds, cheaply enough to ask ten times a second. Linux only.

What several processes share counts once: a library's pages, or what a forked child has not changed yet. To know that
exactly (PSS) costs the system a walk over all pages, so it is asked only where the plain sum is above what matters.
Must not know kernels or limits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from nbflow.kernels.proc import children, read

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE = 100
"""A walk over all pages may take the hundredth part of the time."""
_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a tree holds: `size` in bytes; an upper bound where it is not `exact`."""

    size: int
    exact: bool


class Footprint:
    """The memory of all descendants of the process `top`, without its own. Amounts up to `enough` need not be exact."""

    def __init__(
        self,
        top: int,
        enough: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._top = top
        self._enough = enough
        self._clock = clock
        self._spent = spent
        self._known: tuple[int, int] | None = None
        self._again = 0.0

    def read(self) -> Reading:
        """What they hold now.

        Where all is shared as it was, the sum tells how much can have been added since it was last known exactly.
        """
        pids = descendants(self._top)
        plain = sum(map(resident, pids))
        if plain <= self._enough:
            return Reading(size=plain, exact=False)
        if self._known is not None and self._clock() < self._again:
            size, then = self._known
            if size + max(0, plain - then) <= self._enough:
                return Reading(size=size + max(0, plain - then), exact=False)
        began = self._spent()
        size = sum(map(_proportional, pids))
        self._known = size, plain
        self._again = self._clock() + _SHARE * (self._spent() - began)
        return Reading(size=size, exact=True)


def descendants(pid: int) -> list[int]:
    """All living descendants of a process, the nearest first."""
    found = [pid]
    for one in found:
        found += children(one) or []
        if len(found) > _MOST:
            break
    return found[1:]


def started(pid: int) -> bytes:
    """When a process began, as the system counts it: with it a number names one process only. Empty: it is gone."""
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return fields[19] if len(fields) > 19 else b""


def resident(pid: int) -> int:
    """The bytes that a process holds in memory; 0 of one that has ended."""
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _proportional(pid: int) -> int:
    """What is its own, and its share of what others have too; where that is not to be told, all of it."""
    _, found, rest = read(f"/proc/{pid}/smaps_rollup").partition(b"\nPss:")
    return int(rest.split(None, 1)[0]) * 1024 if found else resident(pid)
