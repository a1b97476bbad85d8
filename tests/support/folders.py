"""A project folder made by hand: `pipelines.toml` and notebooks in a few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbflow.config.check import Checked, check
from nbflow.config.load import Loaded, load
from nbflow.errors import Problem

KERNELS = {"python3": "python", "ir": "R"}
"""What counts as installed in tests, whatever this machine has."""


def document(
    params: str | None = None, *code: str, kernel: str | None = "python3", language: str = "python"
) -> dict[str, Any]:
    """A notebook with a `parameters` cell, if `params` is given, and code cells."""
    spec = {"kernelspec": {"name": kernel, "display_name": kernel, "language": language}} if kernel else {}
    cells = [_cell(text) for text in code or ("print(1)",)]
    if params is not None:
        cells.insert(0, _cell(params, "parameters"))
    return {"cells": cells, "metadata": spec, "nbformat": 4, "nbformat_minor": 5}


def _cell(source: str, *tags: str) -> dict[str, Any]:
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


class Folder:
    """A project in `root`. `load` and `check` read its `pipelines.toml`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "pipelines.toml"

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file below the root."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def notebook(self, path: str, params: str | None = None, *code: str, **more: Any) -> Path:
        """Write a notebook, see `document`."""
        return self.write(path, json.dumps(document(params, *code, **more)))

    def load(self, text: str | bytes, profile: str | None = None) -> Loaded:
        """Write `pipelines.toml` and load it."""
        self.write("pipelines.toml", text)
        return load(self.file, profile=profile)

    def check(self, text: str | bytes, profile: str | None = None) -> Checked:
        """Write `pipelines.toml` and check it, with the kernels that count as installed in tests."""
        self.write("pipelines.toml", text)
        return check(self.file, profile=profile, kernels=lambda: KERNELS)


def brief(problems: list[Problem]) -> list[str]:
    """Problems as `LINE:COL key: message (hint)`; warnings begin with `warning`."""
    return [
        f"{'warning ' if problem.warning else ''}{problem.line}:{problem.col} {problem.key}: {problem.message}"
        + (f" ({problem.hint})" if problem.hint else "")
        for problem in problems
    ]
