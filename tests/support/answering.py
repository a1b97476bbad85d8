"""A project of two notebooks, and an executor that only answers: for tests of how runs are made and carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pytest

from nbflow import plugins
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Finished, Report, Started
from nbflow.core.spec import Preload
from nbflow.engine.owner import this_process

TOML = """
[pipelines.sales.params]
region = { type = "str", default = "eu", options = ["eu", "us"] }

[pipelines.sales.tasks]
extract = { notebook = "extract.ipynb" }
report = { notebook = "report.ipynb", needs = ["extract"], params = { rows = "{{ tasks.extract.outputs.rows }}" } }
"""

_PROCESS, _, _START = this_process().rpartition(":")
GONE = f"{_PROCESS}:1{_START}"
"""A process of this machine that is not there: its pid is that of a younger one."""


class Answering:
    """An executor that answers at once: every attempt succeeds, but those of the tasks in `failing`.

    `prepared` are the kernels that it was told of, `closed` counts those that were closed.
    """

    failing: set[str]
    orders: list[WorkOrder]
    prepared: list[dict[str, Preload]]
    closed: list[object]

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        self.prepared.append(dict(kernels))

    def open(self, report: Callable[[Report], None]) -> None:
        self.report = report

    def submit(self, order: WorkOrder) -> None:
        self.orders.append(order)
        outcome = Outcome(verdict=Verdict.SUCCEEDED, outputs={"rows": 10})
        if order.task in self.failing:
            error = TaskError(kind=ErrorKind.EXCEPTION, message="no data", ename="ValueError")
            outcome = Outcome(verdict=Verdict.FAILED, error=error)
        self.report(Started(task=order.task, attempt=order.attempt))
        self.report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        assert task not in {order.task for order in self.orders}, "nothing of ours is cancelled here"

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        self.closed.append(self)


def use(monkeypatch: pytest.MonkeyPatch) -> type[Answering]:
    """Have all runs be carried out by a new kind of it."""

    class Mine(Answering):
        failing: set[str] = set()  # noqa: RUF012
        orders: list[WorkOrder] = []  # noqa: RUF012
        prepared: list[dict[str, Preload]] = []  # noqa: RUF012
        closed: list[object] = []  # noqa: RUF012

    monkeypatch.setattr(plugins, "factory", lambda group, name: Mine)
    return Mine


def notebook(*names: str) -> str:
    source = "\n".join(f"{name} = None" for name in names)
    tags = {"tags": ["parameters"]}
    code = {"cell_type": "code", "id": "p", "metadata": tags, "source": source, "outputs": [], "execution_count": None}
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"cells": [code], "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5})


def write_project(folder: Path) -> Path:
    """Write the project; its file."""
    (folder / "pipelines.toml").write_text(TOML)
    (folder / "extract.ipynb").write_text(notebook("region"))
    (folder / "report.ipynb").write_text(notebook("region", "rows"))
    return folder / "pipelines.toml"
