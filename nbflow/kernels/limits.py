"""Limits of memory and cores for one kernel and all that it starts, by what the system really offers. Linux only.

Memory is watched: whoever is above the limit is ended, at once and as a whole. Where a control group of our own can be
made, it is a wall behind that, for what grows faster than anybody can watch. Cores are bounded by such a group, else by
affinity to whole ones. Not a wall against ill will: a notebook is its user, and can undo it. Must not know notebooks.
"""

from __future__ import annotations

import math
import os
import random
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from nbflow.core.sizes import size
from nbflow.kernels.footprint import Footprint, Reading, descendants, resident, started
from nbflow.kernels.groups import Group, NoGroupError

_EVERY, _RARELY = 0.1, 1.0
"""Seconds between two looks, at least; and at most, where there are so many processes that a look takes long."""
_SHARE = 100
"""A look may take the hundredth part of the time."""
_ROOM, _LEAST_ROOM = 1 / 8, 64_000_000
"""How far the wall is behind the limit, as a part of it and in bytes: the watch, which knows the line, comes first."""
_DUMPED = 0.5
"""Seconds for a kernel to say where it was."""
_GONE = 2.0
_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("NUMEXPR_MAX_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "JULIA_NUM_THREADS"),
    *("LOKY_MAX_CPU_COUNT", "PYTHON_CPU_COUNT"),
)
"""Variables by which libraries know how many threads to start; they read them when they are loaded."""
NO_LIMITS = "resources are limits on Linux only: memory and cores of this kernel are not bounded"


def thread_variables(cpu: float | None, environment: Mapping[str, str]) -> dict[str, str]:
    """What a kernel's environment is to have besides, so that its libraries start as many threads as it has cores.

    Nothing where it may use all that there are. What is set already stays.
    """
    if cpu is None or cpu >= _cores():
        return {}
    return {name: str(math.ceil(cpu)) for name in _THREADS if name not in environment}


class Enforcer:
    """Keeps the kernel `pid` within its limits, from `begin` to `end`. `stacks`: it says where it is when it aborts.

    `excess` says in words how a limit was passed; then the kernel, with all that it had started, is ended or about to.
    """

    def __init__(self, pid: int, *, memory: int | None, cpu: float | None, stacks: bool = False) -> None:
        self.excess: str | None = None
        self._pid = pid
        self._memory = memory
        self._cpu = cpu if cpu is not None and cpu < _cores() else None
        self._stacks = stacks
        self._top = pid
        self._since = b""
        self._group: Group | None = None
        self._kills = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> str | None:
        """Bound what can be bounded, and watch the rest in a thread. What does not hold on this system, in words."""
        if self._memory is None and self._cpu is None:
            return None
        if sys.platform != "linux":
            return NO_LIMITS
        self._top = _parent(self._pid)
        self._since = started(self._top)
        self._enter_group()
        if self._cpu is not None and (self._group is None or "cpu" not in self._group.bounds):
            _bind(descendants(self._top), math.ceil(self._cpu))
        if self._memory is not None:
            self._thread = threading.Thread(target=self._watch, args=(self._memory,), name="limits", daemon=True)
            self._thread.start()
        return None

    def is_exceeded(self) -> bool:
        """Whether a limit was passed; looks for what the system has ended since the last look of the thread."""
        if self.excess is None and self._memory is not None:
            self._judge(None, self._memory)
        return self.excess is not None

    def end(self) -> None:
        """Watch no more, and give the group back. The kernel and what it has left behind have ended."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._group is not None:
            self._group.remove()
            self._group = None

    def _enter_group(self) -> None:
        wall = None if self._memory is None else self._memory + max(int(self._memory * _ROOM), _LEAST_ROOM)
        try:
            group = Group.make(memory=wall, cpu=self._cpu)
        except NoGroupError:
            return
        try:
            group.add([self._pid, *descendants(self._pid)])
        except NoGroupError:
            group.remove()
            return
        self._group = group

    def _watch(self, limit: int) -> None:
        footprint = Footprint(self._top, limit)
        pause = _EVERY
        while not self._over.wait(pause):
            began = time.thread_time()
            if started(self._top) != self._since:
                return  # all of it has ended, and its number may be that of another process by now
            reading = footprint.read()
            if not reading.exact:  # those care for their share of the time themselves
                pause = min(_RARELY, max(_EVERY, _SHARE * (time.thread_time() - began)))
            self._judge(reading, limit)
            if self.excess is not None:
                return

    def _judge(self, reading: Reading | None, limit: int) -> None:
        """Note it where there is too much, and end everything."""
        with self._lock:
            if self.excess is not None or self._over.is_set():
                return
            if self._group is not None and self._group.kills():
                self.excess = f"memory limit: the kernel and what it started needed more than the {size(limit)} allowed"
            elif reading is not None and reading.size > limit:
                used = f"{size(reading.size)} of the {size(limit)} allowed"
                self.excess = f"memory limit: the kernel and what it started used {used}"
        if self.excess is not None:
            self._end_all()

    def _end_all(self) -> None:
        """What the kernel has started is killed; the kernel itself may say where it was before."""
        _kill(one for one in descendants(self._top) if one != self._pid)
        if self._stacks:
            _abort(self._pid, _DUMPED)
        deadline = time.monotonic() + _GONE
        while started(self._top) == self._since and time.monotonic() < deadline:
            if not (left := list(filter(resident, descendants(self._top)))):
                return
            _kill(left)
            self._over.wait(0.01)  # a killed process may take a moment, and what it was about to start is next


def ways() -> str:
    """How limits hold on this system, in words. Makes a group to see whether that is possible, and removes it."""
    if sys.platform != "linux":
        return NO_LIMITS
    reason = ""
    bounds: Collection[str] = ()
    try:
        group = Group.make(memory=1 << 40, cpu=1.0)
    except NoGroupError as error:
        reason = f" ({error})"
    else:
        bounds = group.bounds
        group.remove()
    wall = "and a control group behind that" if "memory" in bounds else "without a control group behind that"
    cores = "by a control group" if "cpu" in bounds else "by affinity to whole cores"
    return f"memory is watched, {wall}; cores are bounded {cores}{reason}"


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _parent(pid: int) -> int:
    """The parent of a kernel: what loses its own parent becomes a child of that one too, or of one above it."""
    import psutil

    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return pid  # it has just ended, which is seen elsewhere


def _bind(pids: Iterable[int], wanted: int) -> None:
    """Let processes run on some cores only: those that fewest others were bound to."""
    allowed = os.sched_getaffinity(0)
    bound = dict.fromkeys(allowed, 0)
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208 - names, not paths
        with suppress(OSError):
            others = os.sched_getaffinity(pid)
            for core in others & allowed if others < allowed else ():
                bound[core] += 1
    chosen = sorted(allowed, key=lambda core: (bound[core], random.random()))[:wanted]  # noqa: S311 - no secret
    for pid in pids:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as above
                os.sched_setaffinity(int(thread), chosen)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _abort(pid: int, patience: float) -> None:
    """Have a process abort itself, which writes down the lines of its threads, and no file of its memory; wait."""
    with suppress(OSError):  # it has just ended
        _, most = resource.prlimit(pid, resource.RLIMIT_CORE)
        resource.prlimit(pid, resource.RLIMIT_CORE, (0 if most == 0 else 1, most))  # 1: not even through a pipe
        ending = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(ending, select.POLLIN)
            os.kill(pid, signal.SIGABRT)
            poll.poll(patience * 1000)
        finally:
            os.close(ending)
