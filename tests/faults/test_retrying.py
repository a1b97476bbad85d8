"""Kernels that die in a real run: those whose policy says so get another attempt, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.projects import Project, project

TOML = """
[pipelines.p]
max_parallel = 4
[pipelines.p.tasks]
killed = { notebook = "killed.ipynb", retries = 2, retry_delay = 0, retry_on = ["kernel_died"] }
picky = { notebook = "killed.ipynb", params = { at = 9 }, retries = 2, retry_delay = 0, retry_on = ["timeout"] }
greedy = { notebook = "greedy.ipynb", resources = { memory = "300MB" } }
beside = { notebook = "beside.ipynb" }
"""
SAID = "import os, nbflow\nprint('attempt', nbflow.run.attempt)"
KILLED = "if nbflow.run.attempt < at:\n    os.kill(os.getpid(), 9)"
GREEDY = "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * 5_000_000)"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as found:
        found.notebook("killed", SAID, KILLED, params="at = 2")
        found.notebook("greedy", GREEDY)
        found.notebook("beside", "import time\ntime.sleep(1)\nprint('beside')")
        yield found


def test_kernels_die_by_a_signal_and_for_want_of_memory(made: Project) -> None:
    said = made.call("run", "p", "--json")
    assert said.code == 1, said.out + said.err
    tasks = {task["task"]: task for task in said.lines[-1]["tasks"]}
    assert {name: (task["state"], task["attempts"]) for name, task in tasks.items()} == {
        "killed": ("succeeded", 2),
        "picky": ("failed", 1),
        "greedy": ("failed", 1),
        "beside": ("succeeded", 1),
    }
    assert (tasks["picky"]["error"]["kind"], tasks["picky"]["error"]["signal"]) == ("kernel_died", 9)
    assert tasks["greedy"]["error"]["kind"] == "kernel_died"
    assert "memory limit" in tasks["greedy"]["error"]["message"]
    (first,) = (made.root / tasks["killed"]["notebook"]).parent.glob("attempts/killed.1.ipynb")
    cells = json.loads(first.read_text("utf-8"))["cells"]
    assert cells[-1]["metadata"]["nbflow"]["state"] == "killed"
    assert cells[-2]["outputs"][0]["text"] == ["attempt 1\n"]
    made.check()
