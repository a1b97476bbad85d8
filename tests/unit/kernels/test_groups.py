"""Control groups of our own: where one is made, what it says, and that it goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbflow.kernels import groups
from nbflow.kernels.groups import Group, NoGroupError

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /c rw - cgroup cgroup rw,cpu,cpuacct\n"
)
PLACE = "user.slice/app.slice/me.scope"


class Machine:
    """A /proc and a /sys of our own; this process is in `cgroup`."""

    def __init__(self, root: Path, *, cgroup: str, mounts: str) -> None:
        self.root = root
        self.write("proc/self/mountinfo", mounts)
        self.write(f"proc/{os.getpid()}/cgroup", cgroup)

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def group(self, folder: str, *, hands_on: str = "", **files: str) -> Path:
        """A group of version 2, and the controllers that it hands on."""
        self.write(f"{folder}/cgroup.procs", "")
        self.write(f"{folder}/cgroup.subtree_control", f"{hands_on}\n")
        for name, content in files.items():
            self.write(f"{folder}/{name.replace('_', '.')}", f"{content}\n")
        return self.root / folder


def made(parent: Path) -> dict[str, str]:
    """What is written in the one group of ours in a folder."""
    (folder,) = parent.glob(f"nbflow-{os.getpid()}-*")
    return {file.name: file.read_text().strip() for file in folder.iterdir()}


def test_version_2_goes_beside_the_group_of_this_process(tmp_path: Path) -> None:
    """A group with processes hands nothing on: the one above it, which is delegated, does."""
    machine = Machine(tmp_path, cgroup=f"0::/{PLACE}\n", mounts=V2)
    machine.group(f"sys/fs/cgroup/{PLACE}", memory_max="max", cpu_max="max 100000")
    above = machine.group("sys/fs/cgroup/user.slice/app.slice", hands_on="memory pids")
    group = Group.make(memory=3_000, cpu=1.5, root=tmp_path)
    assert group.bounds == {"memory"}
    assert made(above) == {"memory.max": "3000"}
    group.add([5])
    assert made(above)["cgroup.procs"] == "5"
    next(above.glob("nbflow-*")).joinpath("memory.events").write_text("oom 3\noom_kill 2\n")
    assert group.kills() == 2
    above = machine.group("sys/fs/cgroup/user.slice/app.slice", hands_on="cpu memory")
    subprocess.run(["rm", "-r", *above.glob("nbflow-*")], check=True)
    assert Group.make(memory=3_000, cpu=1.5, root=tmp_path).bounds == {"cpu", "memory"}
    assert made(above) == {"memory.max": "3000", "cpu.max": "150000 100000"}


def test_version_1_goes_below_the_group_of_this_process(tmp_path: Path) -> None:
    machine = Machine(tmp_path, cgroup="4:memory:/box\n2:cpu,cpuacct:/\n0::/\n", mounts=V1)
    for folder in ("sys/fs/cgroup/memory/box", "c"):
        machine.write(f"{folder}/cgroup.procs", "")
    assert Group.make(memory=3_000, cpu=0.001, root=tmp_path).bounds == {"cpu", "memory"}
    assert made(tmp_path / "sys/fs/cgroup/memory/box") == {"memory.limit_in_bytes": "3000"}
    assert made(tmp_path / "c") == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "1000"}


def test_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, cgroup=f"0::/{PLACE}\n", mounts=V2)
    own = f"sys/fs/cgroup/{PLACE}"

    def reason() -> str:
        with pytest.raises(NoGroupError) as caught:
            Group.make(memory=1, root=tmp_path)
        return str(caught.value)

    machine.group(own)
    assert reason() == "no control group for memory is delegated to this process"
    above = machine.group("sys/fs/cgroup/user.slice", hands_on="memory")
    machine.group(own, memory_high="5000")
    assert reason() == f"{tmp_path / own} has limits, which a group beside it would not have"
    machine.group(own, memory_high="max")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert reason() == f"{above} is not to be written to"
    machine.write("proc/self/mountinfo", "")
    assert reason() == "this system has no control groups for memory"
    assert not list(tmp_path.rglob("nbflow-*"))


def test_a_hierarchy_that_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(controller: str, root: Path) -> groups.Place:
        raise PermissionError(13, "Permission denied", str(root))

    monkeypatch.setattr(groups, "_parent", fail)
    with pytest.raises(NoGroupError, match=f"{tmp_path}: Permission denied"):
        Group.make(memory=1, root=tmp_path)


def test_what_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, cgroup="0::/\n", mounts=V2)
    top = machine.group("sys/fs/cgroup", hands_on="memory")
    (tmp_path / "proc/77").mkdir()
    for name in ("nbflow-77-1", "nbflow-78-1", "nbflow-mine"):
        (top / name).mkdir()
    groups.clear_away(tmp_path)
    assert {place.name for place in top.glob("nbflow-*")} == {"nbflow-77-1", "nbflow-mine"}
    (top / "nbflow-78-2").mkdir()
    assert Group.make(memory=1, root=tmp_path).bounds == {"memory"}
    assert not (top / "nbflow-78-2").exists()


def test_on_this_machine() -> None:
    """A process that takes more than its group may is ended by the system, and the group is removed."""
    try:
        group = Group.make(memory=60_000_000)
    except NoGroupError as error:
        pytest.skip(f"no control group can be made here: {error}")
    hog = subprocess.Popen([sys.executable, "-c", "input(); x = b'x' * 200_000_000"], stdin=subprocess.PIPE)
    group.add([hog.pid])
    hog.communicate(b"\n")
    assert (hog.returncode, group.kills()) == (-9, 1)
    group.add([hog.pid])
    group.remove()
    for place in groups.places("memory", os.getpid()):
        assert not list(place.folder.glob(f"nbflow-{os.getpid()}-*"))
