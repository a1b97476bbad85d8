"""Real notebooks on real kernels, in few words: valid archived notebooks, commands in a project, kernels of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from nbflow.core.attempt import Outcome, WorkOrder
from support.attempts import Bench, archived

NBFLOW = (sys.executable, "-m", "nbflow")


def ran(runs: Bench, one: WorkOrder) -> tuple[Outcome, dict[str, Any]]:
    """Run an attempt; its outcome, and its archived notebook, which is a valid one."""
    outcome, _ = runs.run(one)
    return outcome, valid(archived(one))


def valid(document: dict[str, Any]) -> dict[str, Any]:
    """A document that nbformat takes for valid."""
    nbformat.validate(document)
    return document


def command(root: Path, *arguments: str, code: int = 0, with_errors: bool = False) -> str:
    """What a command of nbflow prints in a project, on standard error too if asked; it has to end with a code."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
    done = subprocess.run(
        [*NBFLOW, *arguments], cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr if with_errors else done.stdout


def problems(root: Path) -> dict[str, list[str]]:
    """What `validate` says, by the key that it is said of; each as `message (hint)`, a warning marked as such."""
    done = subprocess.run([*NBFLOW, "validate", "--json"], cwd=root, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    found: dict[str, list[str]] = {}
    for mark, part in (("", "problems"), ("warning: ", "warnings")):
        for one in said[part]:
            hint = f" ({one['hint']})" if one["hint"] else ""
            found.setdefault(one["key"], []).append(f"{mark}{one['message']}{hint}")
    return found


def finished(root: Path, text: str) -> dict[str, Any]:
    """The run document, from what `run --json` printed."""
    document: dict[str, Any] = json.loads(text.splitlines()[-1])
    assert document["schema"] == "nbflow.run/1"
    assert (root / "pipelines.toml").exists()
    return document


def notebook_of(root: Path, document: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The archived notebook of a task of a run document, which is a valid one."""
    (place,) = (one["notebook"] for one in document["tasks"] if one["task"] == task)
    return valid(json.loads((root / place).read_text("utf-8")))


def install_kernel(folder: Path, name: str, *, language: str = "python", argv: list[str] | None = None) -> Path:
    """A kernelspec in a folder for JUPYTER_PATH, the usual Python kernel unless `argv` says another."""
    place = folder / "kernels" / name
    place.mkdir(parents=True)
    command_line = argv or [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command_line, "display_name": f"Our {name}", "language": language}
    (place / "kernel.json").write_text(json.dumps(spec))
    return folder
