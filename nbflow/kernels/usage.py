"""What a kernel uses: CPU seconds and peak resident memory, of one cell and altogether.

On Linux it is read from /proc, in a fraction of a millisecond; elsewhere only CPU seconds are known. Must not know
cells: its caller says when something begins and ends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nbflow.kernels.proc import children, read

_MOST = 32
"""Processes of one kernel that are looked at: a notebook may have started thousands."""
_RESET_PEAK = b"5"
"""What is written to /proc/PID/clear_refs for the peak of resident memory to be counted anew (man 5 proc)."""
_FRESH = 0.005
"""Seconds for which what was read at the end of one cell serves for the beginning of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds (user and system), and the peak resident memory of the largest process in bytes; None: not known."""

    cpu: float | None = None
    memory: int | None = None


class Meter:
    """Measures the kernel with this process id, and what it has started: what lives, and what it has waited for.

    Where the system allows it, peaks are counted anew at each `begin`; what a notebook itself reads of its peak
    (`ru_maxrss`) then counts from there too. A peak from before that could not be reset is not given as a later one.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began: float | None = None
        self._old: dict[int, int] = {}
        self._whole = Usage()
        self._seen: dict[int, int] = {}
        self._seen_at = -_FRESH

    def begin(self) -> None:
        """Something begins."""
        peaks = self._seen
        if time.monotonic() - self._seen_at >= _FRESH:
            pids = _tree(self._pid)
            peaks = _peaks(pids)
            self._note(Usage(cpu=_cpu(self._pid, pids), memory=max(peaks.values(), default=None)))
        self._began = self._whole.cpu
        self._old = {pid: peak for pid, peak in peaks.items() if not _reset_peak(pid)}

    def end(self, final: Usage | None = None) -> Usage:
        """What was used since `begin`. `final` is all that a kernel used which has ended, as the system told it."""
        now = final or self._read()
        self._note(now)
        known = now.cpu is not None and self._began is not None
        cpu = round(max(0.0, (now.cpu or 0.0) - (self._began or 0.0)), 6) if known else None
        return Usage(cpu=cpu, memory=now.memory)

    def total(self, final: Usage | None = None) -> Usage:
        """What the kernel has used altogether; of one that has ended without a `final`, what was seen of it last."""
        self._note(final or self._read())
        return self._whole

    def _read(self) -> Usage:
        pids = _tree(self._pid)
        self._seen, self._seen_at = _peaks(pids), time.monotonic()
        peaks = [peak for pid, peak in self._seen.items() if peak != self._old.get(pid)]
        return Usage(cpu=_cpu(self._pid, pids), memory=max(peaks, default=None))

    def _note(self, now: Usage) -> None:
        peaks = [peak for peak in (now.memory, self._whole.memory) if peak is not None]
        cpu = self._whole.cpu if now.cpu is None else round(now.cpu, 6)
        self._whole = Usage(cpu=cpu, memory=max(peaks, default=None))


def _tree(pid: int) -> list[int]:
    """A process and its living descendants, the nearest first; empty where it is gone. Linux only, elsewhere itself."""
    if sys.platform != "linux":
        return [pid]
    found = [pid]
    for one in found:
        started = children(one)
        if started is None and one == pid:
            return []
        found += started or []
        if len(found) >= _MOST:
            return found[:_MOST]
    return found


def _cpu(pid: int, pids: Sequence[int]) -> float | None:
    """CPU seconds of the processes and of those that they have waited for; None where `pid` itself is gone."""
    if sys.platform != "linux":
        return _cpu_by_psutil(pid)
    total = 0.0
    for one in pids:
        try:
            # The clock of a process (clock_getcpuclockid) has nanoseconds; /proc only hundredths of a second.
            total += time.clock_gettime((~one << 3) | 2)
        except OSError:
            if one == pid:
                return None
            continue
        fields = read(f"/proc/{one}/stat").rpartition(b")")[2].split()
        if len(fields) > 14:
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime
    return total if pids else None


def _cpu_by_psutil(pid: int) -> float | None:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system + times.children_user + times.children_system)


def _peaks(pids: Sequence[int]) -> dict[int, int]:
    """The peak resident memory of each process in bytes, since it was last reset; of those where it is known."""
    peaks = {}
    for pid in pids:
        _, found, rest = read(f"/proc/{pid}/status").partition(b"VmHWM:")
        if found:
            peaks[pid] = int(rest.split(None, 1)[0]) * 1024
    return peaks


def _reset_peak(pid: int) -> bool:
    try:
        descriptor = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, _RESET_PEAK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
