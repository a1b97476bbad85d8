"""What a tree of processes holds: that of what is shared each page counts once, and that little time goes into it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nbflow.kernels import footprint
from nbflow.kernels.footprint import Footprint, Reading, descendants, resident, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
MB = 1_000_000
SHARING = """
import os, sys
x = b"x" * 100_000_000
any(os.fork() == 0 for _ in range(4))
print(flush=True)
sys.stdin.read()
"""


def test_what_forks_share_counts_once() -> None:
    """Five processes, and a hundred megabytes that none of them has changed."""
    process = subprocess.Popen([sys.executable, "-c", SHARING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    held = descendants(os.getpid())
    assert process.pid in held
    reading = Footprint(os.getpid(), 50 * MB).read()
    assert reading.exact
    assert 100 * MB < reading.size < 200 * MB
    plain = sum(map(resident, held))
    assert plain > 400 * MB
    assert Footprint(os.getpid(), 2 * plain).read().exact is False
    assert started(process.pid) == started(process.pid) != started(os.getpid())
    process.communicate()
    assert (resident(process.pid), started(process.pid)) == (0, b"")


def test_a_walk_over_the_pages_has_the_hundredth_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"plain": 150, "exact": 90}
    walks = []
    now = [1_000.0]
    spent = iter(range(100))

    def walk(pid: int) -> int:
        walks.append(now[0])
        return held["exact"]

    monkeypatch.setattr(footprint, "descendants", lambda top: [1])
    monkeypatch.setattr(footprint, "resident", lambda pid: held["plain"])
    monkeypatch.setattr(footprint, "_proportional", walk)
    watched = Footprint(1, 100, clock=lambda: now[0], spent=lambda: float(next(spent)))
    assert watched.read() == Reading(size=90, exact=True)
    now[0] += 50
    held["plain"] = 155
    assert watched.read() == Reading(size=95, exact=False), "what is new cannot be more than that"
    held["plain"] = 130
    assert watched.read() == Reading(size=90, exact=False)
    assert len(walks) == 1
    held.update(plain=165, exact=101)
    assert watched.read() == Reading(size=101, exact=True), "it may be too much, so it is looked at"
    now[0] += 101
    assert watched.read().exact
    assert walks == [1_000.0, 1_050.0, 1_151.0]
    held["plain"] = 100
    assert watched.read() == Reading(size=100, exact=False)
