"""`nbflow prune` as a process: killed at any moment, and two at once. What is left is whole; the next one finishes."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from nbflow.store.sqlite import SqliteStore
from support.build import NOON, planned
from support.folders import Folder
from support.stored import Kept, cells, projected, rebuilt

RUNS = [f"sales-202601{day:02}T120000-abcd" for day in range(1, 7)]
FILES = ("a.ipynb", "a.html", "attempts/a.1.ipynb", "index.html")
CALLS = "pwrite64,fdatasync,fsync,rename,unlink,unlinkat,rmdir,ftruncate"
KEEP = ("prune", "--keep", "2", "--yes", "--json")

can_trace = pytest.mark.skipif(
    shutil.which("strace") is None
    or subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="strace is not there, or may not trace",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with six runs, one a day, that have ended and are archived."""
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb")
    folder.write("pipelines.toml", '[pipelines.sales.tasks]\na = { notebook = "a.ipynb" }\n')
    archive = FileArchive(tmp_path / "outputs")
    archive.check()
    with closing(SqliteStore(tmp_path / "outputs" / ".nbflow" / "state.db")) as store:
        for day, run in enumerate(RUNS):
            made = Kept(store, planned("a"), run=run, at=NOON + timedelta(days=day))
            made.send("start")
            store.append(*cells(made.state, 200, "x" * 100), made.fence)
            made.send("succeeded a/1")
            store.release(run, made.fence)
            row = store.run(run)
            assert row is not None
            for name in FILES:
                archive.publish(f"sales/{run}/{name}", b"x" * 1000)
            manifest = json.dumps({"ended": row.document["ended"]}).encode()
            archive.publish(f"sales/{run}/run.json", manifest)
            archive.publish(f".nbflow/journals/{run}/a.1.jsonl", b"{}")
    return tmp_path


def start(root: Path, *arguments: str, wrap: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*wrap, sys.executable, "-m", "nbflow", *arguments]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, list[dict[str, str]]]:
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error + out
    found: dict[str, list[dict[str, str]]] = json.loads(out)
    return found


def folders(root: Path) -> list[str]:
    return sorted(one.name for one in (root / "outputs" / "sales").iterdir())


def check(root: Path) -> list[str]:
    """Every run that the store has is whole, with its files; the ids of those that there are."""
    path = root / "outputs" / ".nbflow" / "state.db"
    with closing(SqliteStore(path)) as store:
        left = sorted(row.run for row in store.runs())
        for run in left:
            assert projected(store, run) == rebuilt(store, run)
            for name in (*FILES, "run.json"):
                assert (root / "outputs" / "sales" / run / name).is_file()
        noted = {one.run for one in store.removals.removed()}
    assert set(folders(root)) <= {*left, *noted}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return left


def check_finished(root: Path) -> None:
    """Two runs are left, and of the others nothing."""
    assert check(root) == folders(root) == RUNS[-2:]
    own = root / "outputs" / ".nbflow"
    assert [one.name for one in (own / "journals").iterdir()] == RUNS[-2:]
    assert list((own / "removed").iterdir()) == []
    with closing(SqliteStore(own / "state.db")) as store:
        assert store.removals.removed() == []


@can_trace
@pytest.mark.parametrize("number", [1, 7, 12, 15, 18, 22, 45])
def test_killed_on_the_way(root: Path, number: int) -> None:
    strace = ("strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={CALLS}")
    with start(root, *KEEP, wrap=(*strace, "-e", f"inject={CALLS}:signal=KILL:when={number}")) as killed:
        killed.communicate(timeout=60)
    assert killed.returncode in (0, -signal.SIGKILL)
    left = check(root)
    assert set(RUNS[-2:]) <= set(left)
    with start(root, *KEEP) as second:
        done = ended(second)
    assert sorted(one["run"] for one in done["runs"]) == sorted(set(left) - set(RUNS[-2:]))
    check_finished(root)


def test_two_at_once(root: Path) -> None:
    with start(root, *KEEP) as one, start(root, *KEEP) as two:
        done = [ended(one), ended(two)]
    gone = [run["run"] for document in done for run in document["runs"]]
    assert sorted(gone) == RUNS[:-2]
    with start(root, "prune", "--yes", "--json") as last:
        ended(last)
    check_finished(root)
