"""Disks that are full or fail, under real runs: what was there stays, the run says so, and it can be resumed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from support.disks import Disk, need_strace, small_disk
from support.projects import Project, project

TOML = """
[nbflow]
state = "records/state.db"

[pipelines.before.tasks]
only = { notebook = "small.ipynb" }

[pipelines.many.tasks]
small = { notebook = "small.ipynb" }
large = { notebook = "large.ipynb", needs = ["small"] }
next = { notebook = "small.ipynb", needs = ["small"] }
last = { notebook = "small.ipynb", needs = ["large", "next"], run_if = "all_done" }
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as made:
        made.notebook("small", "print('x')")
        made.notebook("large", "import os\nprint(os.urandom(600_000).hex())")
        yield made


@pytest.fixture
def archive(place: Project) -> Iterator[tuple[Project, Disk]]:
    """The archive is on a disk of 12 MB, the store is not."""
    with small_disk(place.root / "outputs", "12m") as disk:
        yield replace(place, wrap=disk.wrap), disk


@pytest.fixture
def records(place: Project) -> Iterator[tuple[Project, Disk]]:
    """The store is on a disk of 1 MB, the archive is not."""
    with small_disk(place.root / "records", "1m") as disk:
        yield replace(place, wrap=disk.wrap), disk


def hashes(disk: Disk, folder: str) -> str:
    return disk.do("sh", "-c", f"cd '{disk.place}/{folder}' && find . -type f -exec sha256sum {{}} + | sort")


def test_a_full_archive(archive: tuple[Project, Disk]) -> None:
    """No task starts any more, though one waits that needs nothing of what failed; the earlier archive is as it was."""
    place, disk = archive
    assert place.call("run", "before").code == 0
    before = hashes(disk, "before")
    disk.fill("ballast", leave=1_300_000)
    said = place.call("run", "many", "-j", "1")
    assert said.code == 6, said.out + said.err
    assert "No space left on device" in said.err
    assert "hint: the disk is full: free some space, then resume the run" in said.err
    document = place.call("show", "@last", "--json").json
    states = {task["task"]: task["state"] for task in document["tasks"]}
    assert states == {"small": "succeeded", "large": "failed", "next": "cancelled", "last": "cancelled"}
    errors = {task["task"]: task["error"] for task in document["tasks"]}
    assert errors["large"]["kind"] == "archive"
    again = place.call("resume", "@last")
    assert again.code == 6
    assert "No space left on device" in again.err
    disk.fill("rest", leave=4096)
    refused = place.call("resume", "@last")
    assert refused.code == 6
    assert "cannot use the archive" in refused.err
    disk.remove("rest")
    assert hashes(disk, "before") == before
    disk.remove("ballast")
    assert place.call("resume", "@last").code == 0
    assert hashes(disk, "before") == before
    place.check_from_within(place.root / "records/state.db")


def test_an_archive_of_64_kib(place: Project) -> None:
    """Journals are on it too. The run begins; the first task that does not fit fails; nothing is half there."""
    with small_disk(place.root / "outputs", "64k") as disk:
        place = replace(place, wrap=disk.wrap)
        said = place.call("run", "many", "-j", "1")
        assert said.code == 6, said.out + said.err
        assert "No space left on device" in said.err
        document = place.call("show", "@last", "--json").json
        errors = {task["task"]: task["error"]["kind"] for task in document["tasks"] if task["error"]}
        assert "archive" in errors.values()
        assert disk.do("find", "outputs", "-name", "*.tmp") == ""
        for kept in disk.do("find", "outputs", "-name", "*.ipynb").splitlines():
            json.loads(disk.do("cat", kept))


def test_a_full_store(records: tuple[Project, Disk]) -> None:
    """The engine stops at once; what was recorded stays; no task is shown as running that is not."""
    place, disk = records
    assert place.call("run", "before").code == 0
    disk.fill("ballast", leave=40_000)
    said = place.call("run", "many", "-j", "1")
    assert said.code == 6, said.out + said.err
    assert f"the disk of {place.root}/records is full" in said.err
    assert "hint: make room there, as `nbflow prune` does" in said.err
    place.until_nobody_lives()
    disk.remove("ballast")
    for run in place.runs():
        assert run["state"] in ("succeeded", "interrupted", "queued")
        tasks = place.call("show", run["run"], "--json").json["tasks"]
        assert [task["task"] for task in tasks if task["state"] == "running"] == []
        assert place.call("resume", run["run"]).code == 0
    place.check_from_within(place.root / "records/state.db")


def failing(place: Project, calls: str, number: int, *only: str) -> Project:
    """The same, whose system calls of a kind, for some files or for all, give EIO from some call of each thread on."""
    need_strace()
    paths = [part for one in only for part in ("-P", str(place.root / one))]
    fault = ("-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={number}+")
    return replace(place, wrap=("strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", *paths, *fault))


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder."""
    return {str(one): sha256(one.read_bytes()).hexdigest() for one in folder.rglob("*") if one.is_file()}


RENAMES = "rename,renameat,renameat2"
LINKS = "link,linkat"
LOG = "records/state.db-wal"


@pytest.mark.parametrize(
    ("calls", "only", "number"),
    [
        pytest.param("fsync", (), 3, id="the-archive-is-synced", marks=pytest.mark.slow),
        pytest.param(RENAMES, (), 1, id="the-archive-is-renamed"),
        pytest.param("fdatasync", (LOG,), 6, id="the-store-is-synced"),
        pytest.param("pwrite64", (LOG,), 40, id="the-store-is-written", marks=pytest.mark.slow),
    ],
)
def test_a_failing_disk(place: Project, calls: str, only: tuple[str, ...], number: int) -> None:
    """Nothing is taken for kept that is not, earlier archives stay, and the run goes on once the disk is well."""
    assert place.call("run", "before").code == 0
    before = digests(place.root / "outputs/before")
    said = failing(place, calls, number, *only).call("run", "many")
    assert said.code == 6, said.out + said.err
    assert re.search(r"error: .*(I/O|Input/output) error", said.err), said.err
    place.until_nobody_lives()
    assert digests(place.root / "outputs/before") == before
    run = place.runs()[0]
    assert run["pipeline"] == "many"
    tasks = place.call("show", run["run"], "--json").json["tasks"]
    for task in tasks:
        assert task["state"] != "running"
        assert task["state"] != "succeeded" or (place.root / task["notebook"]).is_file()
    if only:
        assert run["state"] in ("interrupted", "queued")
    else:
        assert "archive" in [task["error"]["kind"] for task in tasks if task["error"]]
        assert run["state"] in ("failed", "interrupted")
    assert place.call("resume", run["run"]).code == 0
    assert digests(place.root / "outputs/before") == before
    place.check_from_within(place.root / "records/state.db")


@pytest.mark.parametrize(
    "calls", [LINKS, *(pytest.param(one, marks=pytest.mark.slow) for one in ("pwrite64", "fdatasync"))]
)
def test_a_disk_that_fails_while_the_store_is_made(place: Project, calls: str) -> None:
    """Nothing of one is left: it is made by the next who needs it."""
    said = failing(place, calls, 1).call("run", "before")
    assert said.code == 6, said.out + said.err
    assert re.search(rf"error: {place.root}/records/state.db: .*(I/O|Input/output) error", said.err), said.err
    assert list((place.root / "records").iterdir()) == []
    assert place.call("run", "before").code == 0
    place.check_from_within(place.root / "records/state.db")


def test_a_disk_that_fails_while_an_archived_file_is_written(tmp_path: Path) -> None:
    """The earlier file is as it was, and nothing else is there. Only this is written by that process, on its own."""
    need_strace()
    archive = FileArchive(tmp_path / "outputs")
    archive.check()
    archive.publish("a/x.ipynb", b"before")
    source = (
        "import sys\n"
        "from pathlib import Path\n"
        "from nbflow.archive.files import FileArchive\n"
        "from nbflow.errors import UnreachableError\n"
        "try:\n"
        "    FileArchive(Path(sys.argv[1])).publish('a/x.ipynb', b'after')\n"
        "except UnreachableError as error:\n"
        "    sys.exit(7 if 'Input/output error' in error.message else str(error))\n"
    )
    fault = ("-e", "trace=write", "-e", "inject=write:error=EIO")
    command = ["strace", "-qq", "-o", "/dev/null", *fault, sys.executable, "-c", source, str(archive.root)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 7, done
    assert archive.read("a/x.ipynb") == b"before"
    assert [one.name for one in (archive.root / "a").iterdir()] == ["x.ipynb"]


READING = (
    ("runs", "--json"),
    ("show", "@last", "--json"),
    ("logs", "@last", "--json"),
    ("explain", "@last", "--json"),
    ("open", "@last", "--json"),
    ("open", "@last/only", "--json"),
    ("list", "--json"),
    ("graph", "before", "--json"),
    ("plan", "before", "--json"),
)


@pytest.fixture
def only_disk(place: Project) -> Iterator[tuple[Project, Disk]]:
    """Archive and store are on one disk, of 12 MB."""
    (place.root / "pipelines.toml").write_text(TOML.replace("records/", "outputs/.nbflow/"), "utf-8")
    with small_disk(place.root / "outputs", "12m") as disk:
        yield replace(place, wrap=disk.wrap), disk


def test_no_byte_is_left(only_disk: tuple[Project, Disk]) -> None:
    """All that was recorded can be read as ever; what would write says that the disk is full; then work goes on."""
    place, disk = only_disk
    for _ in range(3):
        assert place.call("run", "before").code == 0
    last, *others = (run["run"] for run in place.runs())
    before = hashes(disk, f"before/{last}")
    usual = [place.call(*command) for command in READING]
    assert {said.code for said in usual} == {0}, usual
    disk.fill("ballast", leave=0)
    assert [place.call(*command) for command in READING] == usual
    doctor = place.call("doctor", "--json")
    assert doctor.code == 6
    told = {(check["check"], check["state"]): check["message"] for check in doctor.json["checks"]}
    assert "whole; 3 runs," in told["store", "ok"]
    assert "No space left on device" in told["archive", "fail"]
    assert f"0 bytes are free at {place.root}/outputs/.nbflow" in told["store", "fail"]
    for command in (("run", "many"), ("resume", "@last")):
        said = place.call(*command)
        assert said.code == 6, said
        assert f"cannot use the archive {place.root}/outputs: No space left on device" in said.err
    pruned = place.call("prune", *others, "--yes", "--json")
    assert (pruned.code, [run["run"] for run in pruned.json["runs"]]) == (0, others), pruned
    assert [run["run"] for run in place.runs()] == [last]
    assert all(run not in disk.do("find", str(disk.place)) for run in others)
    disk.remove("ballast")
    assert place.call("run", "many").code == 0
    assert hashes(disk, f"before/{last}") == before
    place.check_from_within(place.root / "outputs/.nbflow/state.db")


def test_no_byte_is_left_for_a_dead_run(only_disk: tuple[Project, Disk]) -> None:
    """It is shown as what it is, with all that it has recorded, and ended once there is room.

    Its log is taken in before: on a disk that is full otherwise, that alone can make the room to end it.
    """
    place, disk = only_disk
    killed = place.call("run", "many", "--json", fault="committed:kill:9")
    assert killed.code == -9
    seen = [line["seq"] for line in killed.lines]
    place.until_nobody_lives()
    state = f"{place.root}/outputs/.nbflow/state.db"
    settle = f"import sqlite3; c = sqlite3.connect({state!r}); c.execute('PRAGMA wal_checkpoint(TRUNCATE)'); c.close()"
    disk.do(sys.executable, "-c", settle)
    disk.fill("ballast", leave=0)
    said = place.call("runs", "--json")
    (run,) = said.json["runs"]
    assert (said.code, run["state"]) == (0, "interrupted")
    assert said.err.startswith(f"warning: run {run['run']}, whose process has died, cannot be ended now: ")
    assert said.err.count("\n") == 1
    told = [event["seq"] for event in place.call("logs", "@last", "--json").json["events"]]
    assert told == list(range(1, len(told) + 1))
    assert seen == told[: len(seen)]
    for command in (("cancel", "@last"), ("resume", "@last"), ("open", "@last")):
        said = place.call(*command)
        assert said.code == 6, said
        assert "No space left on device" in said.err or f"the disk of {place.root}/outputs/.nbflow is full" in said.err
    disk.remove("ballast")
    assert place.call("resume", "@last").code == 0
    place.check_from_within(Path(state))


@pytest.mark.slow
def test_no_file_is_left_for_the_store(place: Project) -> None:
    """Its disk has room for bytes, but for no file more: the store is read, and named as whole."""
    with small_disk(place.root / "records", "4m,nr_inodes=20") as disk:
        here = replace(place, wrap=disk.wrap)
        assert here.call("run", "before").code == 0
        usual = [here.call(*command) for command in READING]
        disk.do("sh", "-c", f"cd '{disk.place}' && for n in $(seq 40); do touch ballast-$n 2>/dev/null; done; true")
        assert [here.call(*command) for command in READING] == usual
        told = [check["message"] for check in here.call("doctor", "--json").json["checks"] if check["check"] == "store"]
        assert "whole; 1 run, " in told[0]
        said = here.call("run", "before")
        assert said.code == 6, said
        assert f"state.db: the store cannot be used: the disk of {place.root}/records is full" in said.err
        disk.do("sh", "-c", f"rm '{disk.place}'/ballast-*")
        assert here.call("run", "before").code == 0
        here.check_from_within(place.root / "records/state.db")


def test_no_byte_is_left_for_the_store(records: tuple[Project, Disk]) -> None:
    """The archive is somewhere else: whatever would write names the store's folder."""
    place, disk = records
    assert place.call("run", "before").code == 0
    usual = [place.call(*command) for command in READING[:4]]
    disk.fill("ballast", leave=0)
    assert [place.call(*command) for command in READING[:4]] == usual
    for command, hint in (
        (("run", "many"), "make room there, as `nbflow prune` does"),
        (("prune", "@last", "--yes"), "the runs to remove have no files on that disk: make room there"),
    ):
        said = place.call(*command)
        assert said.code == 6, said
        assert f"state.db: the store cannot be used: the disk of {place.root}/records is full" in said.err
        assert f"hint: {hint}" in said.err
    assert [place.call(*command) for command in READING[:4]] == usual
    disk.remove("ballast")
    assert place.call("run", "many").code == 0
    place.check_from_within(place.root / "records/state.db")
