"""A project whose archive is on a real S3 server, with real kernels: it goes away in the middle, and comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from support.projects import Project, project
from support.storage import KEYS, Harm, Storage, serving
from support.waiting import until

PIPELINES = """
[nbflow]
outputs = "s3://bucket/team"

[pipelines.sales.tasks]
extract = { notebook = "extract.py", kernel = "python3" }
clean = { notebook = "clean.ipynb", needs = ["extract"], retries = 1 }
report = { notebook = "report.ipynb", needs = ["clean"] }

[pipelines.short.tasks]
extract = { notebook = "extract.py", kernel = "python3" }
"""
CLEAN = """
import time
from pathlib import Path
while not Path("go").exists():
    time.sleep(0.02)
if not Path("second").exists():
    Path("second").touch()
    raise ValueError("the first time")
print("cleaned")
"""


@pytest.fixture
def storage() -> Iterator[Storage]:
    with serving() as found:
        yield found


@pytest.fixture
def sales(tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in {**storage.environment, "NBFLOW_ARCHIVE_WAIT": "1"}.items():
        monkeypatch.setenv(name, value)
    with project(tmp_path / "project", PIPELINES) as made:
        # It is read while what leads to the storage is loaded: both are heavy imports.
        (made.root / "extract.py").write_text("# %%\nprint('extracted')\n", "utf-8")
        made.notebook("clean", CLEAN)
        made.notebook("report", "print('a line of a report\\n' * 100_000)")
        yield made


def names(storage: Storage, run: str) -> set[str]:
    """What can be seen of a run."""
    start = f"/{run}/"
    return {key.partition(start)[2] for key in storage.keys("bucket") if start in key}


def begun(process: subprocess.Popen[str]) -> str:
    """The run that a process tells of in its first line."""
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["run"])


def test_storage_that_goes_away_in_the_middle_of_a_run(sales: Project, storage: Storage) -> None:
    said = sales.call("run", "sales")
    assert (said.code, said.out) == (6, ""), "a bucket that is missing is found before anything runs"
    assert "there is no such bucket" in said.err
    storage.put("bucket")
    assert sales.runs() == []

    with sales.start("run", "sales", "--json") as process:
        run = begun(process)
        until(lambda: sales.call("show", f"{run}/extract", "--json").json["archived"] == "done")
        storage.proxy.down()
        (sales.root / "go").touch()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, "the results stand"
    document = json.loads(out.splitlines()[-1])
    assert (document["state"], document["archived"]) == ("succeeded", "pending")
    assert [task["archived"] for task in document["tasks"]] == ["done", "pending", "pending"]
    assert "warning: not archived yet" in err
    assert "cannot be reached" in err
    assert names(storage, run) == {"extract.ipynb", "extract.html"}
    assert sales.call("show", run, "--json").json == document
    assert "cleaned" in sales.call("logs", f"{run}/clean").out, "what waits is read here"
    said = sales.call("report", run)
    assert said.code == 6
    assert Path(said.out.strip()).is_file()

    storage.proxy.up()
    assert sales.call("report", run, NBFLOW_ARCHIVE_WAIT="60").code == 0
    spool = sales.root / "outputs/.nbflow/spool/sales" / run
    here = {path.relative_to(spool).as_posix(): path.read_bytes() for path in spool.rglob("*") if path.is_file()}
    assert {"clean.ipynb", "attempts/clean.1.ipynb", "report.html", "run.json", "index.html"} <= set(here)
    assert names(storage, run) == set(here)
    assert all(storage.get(f"bucket/team/sales/{run}/{name}") == data for name, data in here.items())
    manifest = json.loads(here["run.json"])
    assert all(
        sha256(here[file["path"].rpartition("/")[2]]).hexdigest() == file["sha256"] for file in manifest["files"]
    )
    assert sales.call("show", run, "--json").json["archived"] == "done"

    shutil.rmtree(spool.parents[1])
    shutil.rmtree(sales.root / "outputs/.nbflow/uploads")
    page = Path(sales.call("open", run, "--print").out.strip())
    assert page.read_bytes() == here["index.html"]
    assert (spool / "clean.html").read_bytes() == here["clean.html"], "the page leads to it"
    whole = sales.call("logs", f"{run}/report").out
    assert whole.count("a line of a report") == 100_001, "what lies beside it is fetched too"
    assert "the first time" in sales.call("logs", f"{run}/clean", "--attempt", "1").out
    sales.until_nobody_lives()
    for place in [*sales.root.rglob("*"), *sales.temporary.rglob("*")]:
        if place.is_file():
            assert KEYS["AWS_SECRET_ACCESS_KEY"].encode() not in place.read_bytes(), place


def test_a_kill_between_spool_and_upload(sales: Project, storage: Storage) -> None:
    """Whatever has been uploaded by then: the next start of nbflow here completes it."""
    storage.put("bucket")
    (sales.root / "go").touch()
    (sales.root / "second").touch()
    storage.proxy.hurt(Harm(on="PUT .*(clean|report|run.json|index)", delay=60))
    with sales.start("run", "sales", "--json", NBFLOW_ARCHIVE_WAIT="60") as process:
        run = begun(process)
        until(lambda: sales.runs()[0]["state"] == "succeeded", 90)
        until(lambda: {"extract.ipynb", "extract.html"} <= names(storage, run))
        os.kill(process.pid, signal.SIGKILL)
    storage.proxy.hurt(None)
    assert "run.json" not in names(storage, run)
    assert sales.runs()[0]["archived"] == "pending"
    assert sales.call("run", "short", NBFLOW_ARCHIVE_WAIT="60").code == 0
    assert {"clean.ipynb", "report.ipynb", "run.json", "index.html"} <= names(storage, run)
    assert [one["archived"] for one in sales.runs()] == ["done", "done"]
    sales.until_nobody_lives()


def test_a_run_of_a_later_nbflow_that_waits_stops_no_other(sales: Project, storage: Storage) -> None:
    storage.put("bucket")
    first = sales.call("run", "short", "--json").lines[-1]["run"]
    uploads = sales.root / "outputs/.nbflow/uploads"
    (uploads / "done" / f"{first}.jsonl").rename(uploads / "waiting" / f"{first}.jsonl")
    with closing(sqlite3.connect(sales.root / "outputs/.nbflow/state.db")) as store, store:
        store.execute("UPDATE events SET type = 'task_teleported' WHERE type = 'task_queued'")
    said = sales.call("run", "short", "--json")
    assert (said.code, said.err) == (0, "")
    assert (said.lines[-1]["state"], said.lines[-1]["archived"]) == ("succeeded", "done")
    assert first in sales.call("doctor").out, "what waits is named"
    said = sales.call("report", first)
    assert said.code == 6
    assert "cannot read" in said.err
