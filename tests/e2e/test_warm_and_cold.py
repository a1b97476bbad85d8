"""The same notebooks on forked kernels and on ordinary ones give the same outputs, save times and ids."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pandas")

ROOT = Path(__file__).parents[2]
NIGHT = (("flights_nightly", "day=2026-01-31"),)
ALL = (
    *NIGHT,
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


def carry_out(folder: Path, runs: Sequence[Sequence[str]], *, is_warm: bool) -> Done:
    """Run example pipelines in a copy of the project."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))
    settings = (ROOT / "pipelines.toml").read_text("utf-8")
    choice = "" if is_warm else "\n[kernels.python3]\npreload = false\n"
    (folder / "pipelines.toml").write_text(settings + choice, "utf-8")
    outputs: dict[str, list[Any]] = {}
    starts: dict[str, str] = {}
    for number, (pipeline, *values) in enumerate(runs):
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


def both(folder: Path, runs: Sequence[Sequence[str]]) -> tuple[Done, Done]:
    """The same runs on forked kernels and on ordinary ones, which have given the same."""
    warm, cold = (carry_out(folder / name, runs, is_warm=name == "warm") for name in ("warm", "cold"))
    assert set(warm.starts.values()) == {"forked"}
    assert set(cold.starts.values()) == {"ordinary"}
    assert warm.outputs.keys() == cold.outputs.keys()
    for name, cells in warm.outputs.items():
        for number, (mine, theirs) in enumerate(zip(cells, cold.outputs[name], strict=True), start=1):
            assert mine == theirs, f"{name}, code cell {number}"
    return warm, cold


def test_a_night_is_the_same(tmp_path: Path) -> None:
    warm, _ = both(tmp_path, NIGHT)
    assert len(warm.outputs) == 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_examples_are_the_same(tmp_path: Path) -> None:
    warm, _ = both(tmp_path, ALL)
    used = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {re.sub(r"\d+ |\[.*", "", name) for name in warm.outputs} >= used
