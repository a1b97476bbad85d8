"""The same notebooks on forked kernels and on ordinary ones give the same outputs, save times and ids."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pandas")

ROOT = Path(__file__).parents[2]
RUNS = (
    ("flights_nightly", "day=2026-01-31"),
    ("flights_nightly", "day=2026-02-12"),
    ("delay_model",),
    ("housekeeping", "keep_days=1"),
)
_THESE_DAYS = "|".join(str(datetime.now(UTC).date() + timedelta(days=days)) for days in (-1, 0, 1))
_VARIES = re.compile(
    rf"({_THESE_DAYS})[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?"  # instants of the runs, not of data
    r"|\b[a-z_]+-\d{8}T\d{6}-\w{4}\b"  # runs
    r"|\b\d+(\.\d+)? ?(s|ms|seconds)\b"  # durations
    r"|0x[0-9a-f]+"
    r'|(?<=sk-container-id-)\d+|(?<="model_id": ")[0-9a-f]+|(?<=id="T_)\w+'
)


@dataclass(frozen=True, slots=True)
class Done:
    """The notebooks of all runs of one project: by number of the run and name of the task."""

    outputs: dict[str, list[Any]]
    starts: dict[str, str]


def carry_out(folder: Path, *, is_warm: bool) -> Done:
    """Run all example pipelines in a copy of the project."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))
    settings = (ROOT / "pipelines.toml").read_text("utf-8")
    choice = "" if is_warm else "\n[kernels.python3]\npreload = false\n"
    (folder / "pipelines.toml").write_text(settings + choice, "utf-8")
    outputs: dict[str, list[Any]] = {}
    starts: dict[str, str] = {}
    for number, (pipeline, *values) in enumerate(RUNS):
        words = [word for value in values for word in ("-p", value)]
        done = subprocess.run(
            [sys.executable, "-m", "nbflow", "run", pipeline, *words, "--json"],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.stdout, done.stderr
        for task in json.loads(done.stdout.splitlines()[-1])["tasks"]:
            if task.get("notebook"):
                document = json.loads((folder / task["notebook"]).read_text("utf-8"))
                name = f"{number} {task['task']}"
                outputs[name] = [settled(cell, folder) for cell in document["cells"] if cell["cell_type"] == "code"]
                starts[name] = document["metadata"]["nbflow"]["environment"]["kernel_start"]
    return Done(outputs, starts)


def settled(cell: dict[str, Any], folder: Path) -> Any:
    """What a cell has shown, without what differs between any two executions."""
    text = json.dumps([cell["metadata"]["nbflow"]["state"], cell["outputs"]], sort_keys=True)
    return json.loads(_VARIES.sub("*", text.replace(str(folder), "PROJECT")))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Done]:
    folder = tmp_path_factory.mktemp("runs")
    return carry_out(folder / "warm", is_warm=True), carry_out(folder / "cold", is_warm=False)


def test_one_was_forked_and_the_other_was_not(both: tuple[Done, Done]) -> None:
    warm, cold = both
    assert set(warm.starts.values()) == {"forked"}
    assert set(cold.starts.values()) == {"ordinary"}
    used = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {re.sub(r"\d+ |\[.*", "", name) for name in warm.outputs} >= used


def test_outputs_are_the_same(both: tuple[Done, Done]) -> None:
    warm, cold = both
    assert warm.outputs.keys() == cold.outputs.keys()
    for name, cells in warm.outputs.items():
        for number, (mine, theirs) in enumerate(zip(cells, cold.outputs[name], strict=True), start=1):
            assert mine == theirs, f"{name}, code cell {number}"
