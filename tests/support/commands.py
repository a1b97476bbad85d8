"""The command line as tests call it: in this process, with what it writes caught; and streams that are terminals."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nbflow import plugins
from nbflow.cli.main import call
from nbflow.core.attempt import ArchivedFile, Outcome, WorkOrder
from nbflow.core.messages import Finished, Report
from support.engines import FakeExecutor
from support.folders import Folder
from support.notation import parse_message

SALES = """
[nbflow]
timezone = "Europe/Prague"

[pipelines.sales]
description = "Daily sales"
tags = ["daily"]

[pipelines.sales.params]
region = "eu"
limit = { type = "int", default = 10, min = 1 }

[pipelines.sales.tasks]
extract = { notebook = "extract.ipynb", retries = 1 }
clean = { notebook = "clean.ipynb", needs = ["extract"] }
train = { notebook = "train.ipynb", needs = ["clean"], matrix = { model = ["ridge", "gbm"] } }

[pipelines.other.tasks]
only = { notebook = "clean.ipynb" }
"""


class TextFile(io.StringIO):
    """A text file in memory, in UTF-8."""

    encoding = "utf-8"


class Terminal(TextFile):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Said:
    """What one call came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Calls `nbflow` in a project folder; `script` says what becomes of attempts: "clean/1" -> lines of `notation`.

    An attempt without a script succeeds. With `notebooks`, each attempt leaves an archived notebook.
    """

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = Folder(root)
        self.script: dict[str, Sequence[str]] = {}
        self.notebooks: dict[str, Mapping[str, Any]] = {}
        self.executor = FakeExecutor(self._reports)
        self._capture = capture

    def __call__(self, *arguments: str) -> Said:
        self._capture.readouterr()
        code = call(arguments)
        return Said(code, *self._capture.readouterr())

    def run(self, *more: str) -> str:
        """Run `sales`, whatever comes of it, and return the run's id."""
        return str(self("run", "sales", "--json", *more).lines[-1]["run"])

    def _reports(self, order: WorkOrder) -> Sequence[Report]:
        attempt = f"{order.task}/{order.attempt}"
        lines = self.script.get(attempt, [f"succeeded {attempt}"])
        reports = [parse_message(line) for line in lines]
        return [self._archived(one, order) if isinstance(one, Finished) else one for one in reports]  # type: ignore[misc]

    def _archived(self, report: Finished, order: WorkOrder) -> Finished:
        document = self.notebooks.get(order.task)
        if document is None:
            return report
        data = json.dumps(document).encode()
        path = f"{order.folder}/{order.slug}.ipynb"
        place = Path(order.outputs, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        file = ArchivedFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        outcome: Outcome = replace(report.outcome, files=(file,))
        return replace(report, outcome=outcome)


def executed(*cells: tuple[str, str, list[dict[str, Any]]]) -> dict[str, Any]:
    """An executed notebook: (source, state, outputs) of its code cells."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "metadata": {"nbflow": {"state": state, "duration": 0.5}},
                "outputs": outputs,
                "source": source,
            }
            for source, state, outputs in cells
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def make_shell(
    root: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str = SALES
) -> Shell:
    """A shell in a new project of `text`, whose local executor is a fake."""
    shell = Shell(root, capture)
    for name in ("extract", "clean", "train"):
        shell.folder.notebook(f"{name}.ipynb", "region = 'eu'\nlimit = 1\nmodel = ''")
    shell.folder.write("pipelines.toml", text)
    monkeypatch.chdir(root)
    real = plugins.factory

    def factory(group: str, name: str) -> Callable[..., Any]:
        if (group, name) == (plugins.EXECUTORS, "local"):
            return lambda: shell.executor
        return real(group, name)

    monkeypatch.setattr(plugins, "factory", factory)
    return shell
