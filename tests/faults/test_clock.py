"""Somebody sets the clock while a run goes on: nothing is cut short, waits longer, or seems to have taken years."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from support.disks import cannot
from support.projects import Project, project

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, at);
    const char *name = getenv("CLOCK_IS_OFF_BY");
    FILE *file = id == CLOCK_REALTIME && name ? fopen(name, "r") : NULL;
    if (file) {
        long seconds = 0;
        if (fscanf(file, "%ld", &seconds) == 1) at->tv_sec += seconds;
        fclose(file);
    }
    return code;
}
"""
"""What a process loads so that its clock on the wall is off by the number in a file; other clocks go on as they are."""

TOML = """
[pipelines.p]
timeout = "10m"
[pipelines.p.tasks]
sets = { notebook = "sets.ipynb", timeout = "5m" }
again = { notebook = "again.ipynb", needs = ["sets"], retries = 1, retry_delay = "1s" }
last = { notebook = "last.ipynb", needs = ["again"] }
"""
SETS = """
import os, time
before = time.time()
with open(os.environ["CLOCK_IS_OFF_BY"], "w") as file:
    file.write(os.environ["SET_IT_BY"])
print(round(time.time() - before))
time.sleep(0.3)
"""
AGAIN = "import os\nassert os.path.exists('once') or open('once', 'w').close()"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as found:
        found.notebook("sets", SETS)
        found.notebook("again", AGAIN)
        found.notebook("last", "print('last')")
        yield found


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        cannot("what sets a clock for some processes only is written in C, and there is no compiler")
    place = tmp_path_factory.mktemp("shim")
    (place / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", place / "shim.so", place / "shim.c", "-ldl"], check=True)
    return place / "shim.so"


@pytest.mark.parametrize("seconds", [3600, 366 * 86400, -3600], ids=["an-hour", "a-year", "back"])
def test_the_clock_is_set_during_a_run(made: Project, shim: Path, tmp_path: Path, seconds: int) -> None:
    off = tmp_path / "off"
    off.write_text("0")
    clock = {"LD_PRELOAD": str(shim), "CLOCK_IS_OFF_BY": str(off), "SET_IT_BY": str(seconds)}
    said = made.call("run", "p", "--json", **clock)
    assert said.code == 0, said.out + said.err
    *events, document = said.lines
    notebook = json.loads((made.root / document["tasks"][0]["notebook"]).read_text("utf-8"))
    assert notebook["cells"][0]["outputs"][0]["text"] == [f"{seconds}\n"], "the clock was not set"
    instants = [datetime.fromisoformat(event["at"]) for event in events]
    assert instants == sorted(instants)
    assert (instants[-1] - instants[0]).total_seconds() < 300
    for task in document["tasks"]:
        took = datetime.fromisoformat(task["ended"]) - datetime.fromisoformat(task["started"])
        assert 0 < took.total_seconds() < 300
    ended = [event["outcome"] for event in events if event["type"] == "attempt_ended"]
    assert [one["verdict"] for one in ended] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert 0.3 < ended[0]["duration"] < 300
    assert 0.3 < notebook["cells"][0]["metadata"]["nbflow"]["duration"] < 300
    made.check()
