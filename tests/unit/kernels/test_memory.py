"""What the system says about memory: control groups of both versions, as Linux lays them out, and limits."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nbflow.kernels.memory import Evidence, MemoryWatch, kills_since

PID = 4_000_000
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
GB = 10**9


class Machine:
    """A /proc and a /sys of our own."""

    def __init__(self, root: Path, *, cgroup: str, mounts: str) -> None:
        self.root = root
        self.write("proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 5 kB\n")
        self.write("proc/sys/kernel/random/boot_id", "boot-1\n")
        self.write("proc/self/mountinfo", mounts)
        self.write("proc/vmstat", "nr_free 5\noom_kill 7\n")
        self.write(f"proc/{PID}/cgroup", cgroup)

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def group(self, folder: str, *, kills: int, limit: str) -> None:
        self.write(f"{folder}/memory.events", f"low 0\nhigh 0\nmax 9\noom 1\noom_kill {kills}\noom_group_kill 0\n")
        self.write(f"{folder}/memory.max", f"{limit}\n")


def test_version_2(tmp_path: Path) -> None:
    """A limit may be set above the group of the process; the top of all has none."""
    machine = Machine(tmp_path, cgroup="0::/user.slice/me\n", mounts=V2)
    machine.group("sys/fs/cgroup/user.slice/me", kills=2, limit="max")
    machine.write("sys/fs/cgroup/user.slice/memory.max", f"{2 * GB}\n")
    watch = MemoryWatch(PID, tmp_path)
    assert watch.look_back() == Evidence(kills=0, grouped=True, limit=2 * GB)
    machine.group("sys/fs/cgroup/user.slice/me", kills=3, limit=str(GB))
    assert watch.look_back() == Evidence(kills=1, grouped=True, limit=GB)
    watch.set_mark()
    assert watch.look_back().kills == 0


def test_version_1(tmp_path: Path) -> None:
    cgroup = "9:name=systemd:/\n4:memory:/jobs/a\n1:cpu:/x\n0::/\n"
    machine = Machine(tmp_path, cgroup=cgroup, mounts=V1)
    for folder, limit in (("memory/jobs/a", 9_223_372_036_854_771_712), ("memory/jobs", GB), ("memory", GB * 10**9)):
        machine.write(f"sys/fs/cgroup/{folder}/memory.limit_in_bytes", f"{limit}\n")
        machine.write(f"sys/fs/cgroup/{folder}/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert MemoryWatch(PID, tmp_path).look_back() == Evidence(kills=0, grouped=True, limit=GB)


@pytest.mark.parametrize("inside", ["/", "/docker/abc"])
def test_in_a_container_the_path_may_be_the_hosts(tmp_path: Path, inside: str) -> None:
    mounts = V2.replace("0:26 / ", f"0:26 {inside} ")
    machine = Machine(tmp_path, cgroup="0::/docker/abc\n", mounts=mounts)
    machine.group("sys/fs/cgroup", kills=0, limit=str(GB))
    assert MemoryWatch(PID, tmp_path).look_back() == Evidence(kills=0, grouped=True, limit=GB)


def test_without_a_group_the_machine_counts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, cgroup="", mounts="")
    watch = MemoryWatch(PID, tmp_path)
    machine.write("proc/vmstat", "nr_free 5\noom_kill 9\n")
    assert watch.look_back() == Evidence(kills=2, grouped=False, limit=16_384_000_000)


def test_where_nothing_can_be_read_nothing_is_known(tmp_path: Path) -> None:
    watch = MemoryWatch(PID, tmp_path)
    assert watch.mark is None
    assert watch.look_back() == Evidence()


def test_a_count_is_of_one_start_of_the_machine(tmp_path: Path) -> None:
    machine = Machine(tmp_path, cgroup="", mounts="")
    mark = MemoryWatch(PID, tmp_path).mark
    assert kills_since(mark, tmp_path) == 0
    machine.write("proc/sys/kernel/random/boot_id", "boot-2\n")
    assert kills_since(mark, tmp_path) is None
    assert kills_since(None, tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are of Linux")
def test_this_machine() -> None:
    watch = MemoryWatch(os.getpid())
    assert watch.mark is not None
    evidence = watch.look_back()
    assert evidence.limit is not None
    assert evidence.limit > 100_000_000
