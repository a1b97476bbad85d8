"""The power is cut: what nbflow had told stays, archived files are whole, and nothing that succeeded runs again.

The disk is a real ext4, which is shut down between two instants: what reads it afterwards has only what had been
synced. Planted bugs show that this would be noticed. What ext4 does of itself is not relied on: that each name is
synced in its folder, as other file systems need it, is read from the system calls.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.state import RunState, fold
from nbflow.core.views import event_document
from nbflow.store.sqlite import SqliteStore
from support.disks import need_strace
from support.engine_process import RUN
from support.invariants import ask_oracle, check_log, check_project, processes_of
from support.power import PoweredDisk, powered_disk
from support.power_process import FOLDER, content
from support.projects import Project, project
from support.stored import projected, rebuilt
from support.waiting import until

TESTS = Path(__file__).parents[1]
TASKS = 60
Told = list[dict[str, Any]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PoweredDisk]:
    with powered_disk(tmp_path) as made:
        yield made


class Bench:
    """Engines on a disk, whose attempts are noted on another one."""

    def __init__(self, disk: PoweredDisk, seed: int) -> None:
        self.disk = disk
        self.ledger = disk.images / "ledger"
        self.chance = random.Random(seed)
        self.told: Told = []

    def start(self, careless: str = "") -> subprocess.Popen[str]:
        """An engine that begins the run or takes it up."""
        words = (self.disk.place, self.ledger, TASKS, self.chance.randrange(10**6), *filter(None, [careless]))
        command = [sys.executable, "-m", "support.power_process", *map(str, words)]
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}  # it may complain once the disk is gone
        return subprocess.Popen(command, cwd=TESTS, text=True, **quiet)

    def cut(self, careless: str = "", *, after: int) -> None:
        """Cut the power after so many events more, or at the end. What an engine has said by then has to stay."""
        with self.start(careless) as engine:
            assert engine.stdout is not None
            assert engine.stdout.readline() == "begun\n"
            for _ in range(after):
                self.hear(engine.stdout.readline())
            time.sleep(self.chance.random() * 0.01)  # somewhere between two of them
            self.disk.cut()
            engine.kill()
            for line in engine.stdout:
                self.hear(line)
        self.disk.start()

    def hear(self, line: str) -> None:
        """Note an event that was told; the last line may be half a one."""
        if line.endswith("\n"):
            self.told.append(json.loads(line))

    def finish(self) -> None:
        """Carry the run out to its end. An attempt that was lost may have been the last of its task."""
        for _ in range(4):
            with self.start() as engine:
                assert engine.stdout is not None
                for line in engine.stdout.readlines()[1:]:
                    self.hear(line)
            assert engine.returncode == 0
            if self.told[-1].get("state") == "succeeded":
                return
        raise AssertionError("it does not succeed")

    def check(self) -> RunState | None:
        """Everything that was told is there, and all that is there is whole; the run, as far as it has come."""
        outputs = self.disk.place / "outputs"
        with closing(SqliteStore(outputs / ".nbflow/state.db")) as store:
            events = list(store.events(RUN))
            kept = [event_document(one) for one in events]
            assert [one for one in self.told if one not in kept] == [], "told, and not there"
            if not events:
                return None
            assert [one.seq for one in events] == list(range(1, len(events) + 1))
            assert projected(store, RUN) == rebuilt(store, RUN)
        check_log([one.event for one in events])
        ask_oracle(events)
        state = fold(events)
        for task in state.tasks.values():
            for attempt in task.attempts:
                for file in attempt.outcome.files if attempt.outcome else ():
                    data = (outputs / file.path).read_bytes()
                    assert (len(data), sha256(data).hexdigest()) == (file.size, file.sha256), "recorded, and not whole"
        for place in (outputs / FOLDER).glob("*.ipynb"):
            assert place.read_bytes() == content(place.name), "not recorded, and not whole either"
        begun = Counter(self.ledger.read_text().splitlines())
        assert set(begun.values()) <= {1}, "an attempt was begun twice"
        assert begun.keys() <= {
            f"{name} {attempt.number}" for name, task in state.tasks.items() for attempt in task.attempts
        }
        return state


def cut_again_and_again(disk: PoweredDisk, seed: int, cuts: int) -> None:
    bench = Bench(disk, seed)
    for _ in range(cuts):
        bench.cut(after=bench.chance.randrange(4 * TASKS // cuts))
        bench.check()
    bench.finish()
    state = bench.check()
    assert state is not None
    assert state.status == "succeeded"


def test_what_was_told_stays(disk: PoweredDisk) -> None:
    """Also of a store, and of folders, that had just been made."""
    cut_again_and_again(disk, seed=1, cuts=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(30))
def test_what_was_told_stays_with_many_seeds(disk: PoweredDisk, seed: int) -> None:
    cut_again_and_again(disk, seed, cuts=6)


@pytest.mark.parametrize("careless", ["store", "files"])
def test_it_would_be_noticed(disk: PoweredDisk, careless: str) -> None:
    """Where one thing is not synced, the very same test fails."""
    bench = Bench(disk, 1)
    bench.cut(careless, after=TASKS)
    with pytest.raises(AssertionError, match={"store": "told, and not there", "files": "not whole"}[careless]):
        bench.check()


CALLS = "mkdir,mkdirat,open,openat,rename,renameat,renameat2,link,linkat,fsync,fdatasync,write"
STORE = (".nbflow/state.db", ".nbflow/state.db-wal")
"""Without these, below the archive, nothing that was told is there."""


def names_not_synced(log: Path, outputs: Path) -> set[str]:
    """Names that something which was told rested on, and whose folder had not been synced since they came there."""
    unsynced: set[Path] = set()
    known: set[Path] = set()
    begun: dict[str, str] = {}
    missing: set[str] = set()
    for line in log.read_text("utf-8").splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith("write(1<"):
            told = re.findall(r'\\"path\\": \\"([^"\\]+)\\"', call) if r"{\"seq\"" in call else []
            needed = {outputs / name for name in (*STORE, *told)} if r"{\"seq\"" in call else set()
            missing |= {str(one) for name in needed for one in (name, *name.parents) if one in unsynced}
        if call.endswith("<unfinished ...>"):
            begun[process] = call.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            call = begun.pop(process, "") + resumed[1]
        if re.search(r"\) += -1 ", call):
            continue
        paths = [Path(one) for one in re.findall(r'"(/[^"]*)"', call)]
        if call.startswith(("mkdir", "rename", "link")) or (call.startswith("open") and "O_CREAT" in call):
            if not call.startswith("open") or paths[-1] not in known:
                unsynced.add(paths[-1])
            known.add(paths[-1])
        elif folder := re.match(r"f(?:data)?sync\(\d+<([^>]*)>", call):
            unsynced = {one for one in unsynced if str(one.parent) != folder[1]}
    return missing


def test_every_name_is_synced_before_anything_rests_on_it(tmp_path: Path) -> None:
    """In a new project: the folders, the store and its log, and what attempts have left, when each is told."""
    need_strace()
    root, log = tmp_path / "project", tmp_path / "log"
    root.mkdir()
    trace = ("strace", "-f", "-y", "-qq", "--seccomp-bpf", "-s", "4000", "-o", str(log), "-e", f"trace={CALLS}")
    for careless, is_clean in (("", True), ("files", False)):
        place = root / (careless or "careful")
        place.mkdir()
        process = [sys.executable, "-m", "support.power_process", str(place), str(tmp_path / "ledger"), "4", "1"]
        told = subprocess.run(
            [*trace, *process, *filter(None, [careless])], cwd=TESTS, capture_output=True, text=True, check=True
        ).stdout
        assert '"path": "sales/run/' in told
        missing = names_not_synced(log, place / "outputs")
        assert (missing == set()) is is_clean, missing


TOML = f"""
[nbflow]
timezone = "UTC"

[pipelines.p]
max_parallel = 2
[pipelines.p.tasks]
t0 = {{ notebook = "work.ipynb" }}
{chr(10).join(f"t{n} = {{ notebook = 'work.ipynb', needs = ['t{(n - 1) // 2}'] }}" for n in range(1, 7))}
"""
WORK = "import os, time\nimport nbflow\nprint(os.urandom(20_000).hex())\ntime.sleep(0.2)\nnbflow.output('n', 1)"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_real_runs(disk: PoweredDisk, tmp_path: Path, seed: int) -> None:
    """With kernels, workers and journals: `run --json` has told nothing that `logs` does not tell afterwards."""
    chance = random.Random(seed)
    with project(disk.place / "project", TOML) as made:
        made.notebook("work", "1", WORK)
        subprocess.run(["sync", "-f", str(disk.place)], check=True)  # what a user wrote yesterday
        run = told_before_a_cut(made, disk, tmp_path / "told", chance.randrange(2, 12), "run", "p", "--json")
        for _ in range(2):
            told_before_a_cut(made, disk, tmp_path / "told", chance.randrange(2, 14), "resume", run, "--json")
        assert made.call("resume", run).code == 0
        made.until_nobody_lives()
        assert check_project(made.root)[run].status == "succeeded"


def told_before_a_cut(made: Project, disk: PoweredDisk, place: Path, after: int, *command: str) -> str:
    """Cut the power once a command has told so many events; all that it told is there. The run."""
    with place.open("wb") as output, made.start(*command, output=output) as engine:
        until(lambda: place.read_bytes().count(b"\n") >= after or engine.poll() is not None, 60)
        disk.cut()
        until(lambda: nobody_lives(made))
    disk.start()
    told: Told = [json.loads(line) for line in place.read_text("utf-8").splitlines(keepends=True) if is_event(line)]
    kept = made.call("logs", told[0]["run"], "--json").json["events"]
    assert [one for one in told if one not in kept] == [], "told, and not there"
    shown = made.call("show", told[0]["run"], "--json").json
    for task in shown["tasks"]:
        assert task["state"] != "succeeded" or (made.root / task["notebook"]).is_file()
    return str(told[0]["run"])


def nobody_lives(made: Project) -> bool:
    """End all that uses the disk; what was just being forked meanwhile, the next time."""
    made.end()
    return processes_of(made.root) == []


def is_event(line: str) -> bool:
    """Whether it is whole, and not what was said of the disk."""
    return line.startswith('{"seq"') and line.endswith("}\n")
