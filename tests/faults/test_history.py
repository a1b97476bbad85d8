"""A history of thousands of runs, and a notebook of 100 MB: looking at them costs what is shown, not what is there."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pytest

from support.projects import Project, project

TOML = """
[pipelines.p.tasks]
first = { notebook = "quick.ipynb" }
second = { notebook = "quick.ipynb", needs = ["first"] }
"""
COPIES = """
CREATE TEMP TABLE copies AS
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
SELECT i, 'p-20200101T000000-' || printf('%05x', i) AS id,
  strftime('%Y-%m-%dT%H:%M:%S', 1577836800 + i * 600, 'unixepoch') || '.000000+00:00' AS at FROM n;
"""
COPY_RUNS = """
INSERT INTO runs
SELECT id, pipeline, state, at, seq, replace(document, run, id), owner, fence, heartbeat FROM runs, copies
"""
COPY = (
    COPY_RUNS,
    "INSERT INTO tasks SELECT id, position, task, state, replace(document, run, id), outputs FROM tasks, copies",
    "INSERT INTO events SELECT id, seq, at, type, replace(body, run, id) FROM events, (SELECT id FROM copies)",
)


@dataclass(frozen=True)
class Cost:
    """What a command has taken: seconds of CPU, and bytes of memory at most."""

    seconds: float
    peak: int


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("history") / "project", TOML) as found:
        found.notebook("quick", "print('quick')")
        assert found.call("run", "p").code == 0
        found.until_nobody_lives()
        yield found


MEASURE = """
import json, resource, subprocess, sys
code = subprocess.run([sys.executable, "-m", "nbflow", *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""
"""By a small process: what a large one starts counts as large as that, from before it is another program."""


def cost(made: Project, *command: str) -> Cost:
    """Carry a command out, which succeeds."""
    process = [sys.executable, "-S", "-c", MEASURE, *command]
    done = subprocess.run(process, cwd=made.root, capture_output=True, text=True, check=True)
    code, seconds, peak = json.loads(done.stdout)
    assert code == 0, done.stderr
    return Cost(seconds, peak)


def copy_runs(made: Project, many: int) -> None:
    """Have the store hold its one run so many times more."""
    with closing(sqlite3.connect(made.root / "outputs/.nbflow/state.db")) as store:
        store.executescript(COPIES.replace(":many", str(many)))
        for statement in COPY:
            store.execute(statement)
        store.commit()


def looks(run: str) -> Sequence[Sequence[str]]:
    """Commands that look at what there is."""
    return (
        ("runs", "--pipeline", "p", "--state", "failed", "--json"),
        ("show", run[:-2]),
        ("logs", run, "--json"),
        ("plan", "p"),
    )


@pytest.mark.parametrize("count", [2_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_many_runs(made: Project, count: int) -> None:
    run = made.runs()[0]["run"]
    few = [cost(made, *command) for command in looks(run)]
    copy_runs(made, count)
    many = [cost(made, *command) for command in looks(run)]
    for command, before, now in zip(looks(run), few, many, strict=True):
        assert now.seconds < before.seconds + 0.5, f"{command}: {before} became {now}"
        assert now.peak < before.peak + 20_000_000, f"{command}: {before} became {now}"
    listed = made.call("runs", "-n", "1000", "--json").json["runs"]
    assert len(listed) == 1000
    assert [one["run"] for one in listed[:2]] == [run, f"p-20200101T000000-{count:05x}"]
    assert made.call("run", "p").code == 0
    assert len(made.call("show", f"p-20200101T000000-{count:05x}", "--json").json["tasks"]) == 2


@pytest.mark.slow
def test_a_notebook_of_a_hundred_megabytes(made: Project) -> None:
    """Archived elsewhere, say: what is printed of it is printed as it is read, and its page is not made here."""
    shown = made.call("show", "@last", "--json").json["tasks"][0]
    place = made.root / shown["notebook"]
    document = json.loads(place.read_text("utf-8"))
    document["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": f"{'x' * 999}\n" * 100_000}]
    place.write_text(json.dumps(document), "utf-8")
    whole = cost(made, "logs", "@last/first")
    assert whole.seconds < 20
    assert whole.peak < 500_000_000
    opened = made.call("open", "@last/first", "--json")
    assert opened.code == 0, opened.err
    assert re.search(r"first\.html", opened.out)
    assert cost(made, "show", "@last/first", "--json").peak < 60_000_000
