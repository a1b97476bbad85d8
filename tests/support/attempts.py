"""Attempts on real kernels: notebooks and orders in a few words, an executor that waits, and a look at what is left."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from nbflow.core.attempt import Outcome, WorkOrder
from nbflow.core.messages import Finished, Lost, Report
from nbflow.core.spec import Limits, Preload
from nbflow.core.values import encode
from nbflow.executors.local import LocalExecutor
from nbflow.kernels.environ import OWNER_MARK
from support.consistent import assert_consistent
from support.waiting import until

LONGEST = 60.0


def code(source: str, *tags: str, **fields: Any) -> dict[str, Any]:
    """A code cell."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
        "source": source,
        **fields,
    }


def notebook(*cells: str | dict[str, Any], kernel: str = "python3", minor: int = 5) -> dict[str, Any]:
    """A notebook document; a text is a code cell."""
    found = [code(cell) if isinstance(cell, str) else cell for cell in cells]
    if minor >= 5:
        found = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(found)]
    spec = {"name": kernel, "display_name": "Some kernel", "language": "python"}
    return {"cells": found, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": minor}


def order(
    folder: Path,
    *cells: str | dict[str, Any],
    params: Mapping[str, object] | None = None,
    limits: Limits | None = None,
    document: Mapping[str, Any] | None = None,
    **fields: Any,
) -> WorkOrder:
    """An order to run the cells, in a project in `folder` with its archive beside it."""
    root = folder / "project"
    root.mkdir(exist_ok=True)
    (folder / "outputs").mkdir(exist_ok=True)
    source = root / "source.ipynb"
    source.write_text(json.dumps(document or notebook(*cells)), "utf-8")
    made = WorkOrder(
        run="sales-1",
        pipeline="sales",
        task="clean",
        attempt=1,
        slug="clean",
        notebook=str(source),
        root=str(root),
        outputs=str(folder / "outputs"),
        folder="sales/sales-1",
        journal=str(folder / "outputs/.nbflow/journals/sales-1/clean.1.jsonl"),
        params={name: encode(value) for name, value in (params or {}).items()},
        limits=limits or Limits(),
        logical_date="2026-01-31T05:00:00+00:00",
    )
    return replace(made, **fields)


def archived(done: WorkOrder, path: str | None = None) -> dict[str, Any]:
    """The archived notebook of an attempt."""
    place = Path(done.outputs) / (path or f"{done.folder}/{done.slug}.ipynb")
    found: dict[str, Any] = json.loads(place.read_text("utf-8"))
    return found


def states(document: Mapping[str, Any]) -> list[str]:
    """The end states of the code cells."""
    return [cell["metadata"]["nbflow"]["state"] for cell in document["cells"] if cell["cell_type"] == "code"]


def text(cell: Mapping[str, Any]) -> str:
    """All that a cell printed or showed as plain text."""
    parts: list[str] = []
    for output in cell["outputs"]:
        parts += output["text"] if output["output_type"] == "stream" else output.get("data", {}).get("text/plain", [])
    return "".join(parts)


@dataclass
class Watched:
    """An attempt that was submitted. `started` is set by its first cell, `printed` once what one prints is told."""

    order: WorkOrder
    reports: list[Report] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    printed: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def hear(self, report: Report) -> None:
        """Note a report."""
        self.reports.append(report)
        if type(report).__name__ == "CellStart":
            self.started.set()
        if type(report).__name__ == "CellOutput":
            self.printed.set()
        if isinstance(report, Finished | Lost):
            self.ended.set()

    def outcome(self) -> Outcome:
        """Wait for the last report."""
        assert self.ended.wait(LONGEST), f"no end after {LONGEST} s: {self.reports}"
        last = self.reports[-1]
        assert isinstance(last, Finished), last
        return last.outcome


class Bench:
    """A local executor for tests; `temporary` is where its workers and kernels put temporary files."""

    def __init__(self, temporary: Path, grace: float, *, ahead: bool) -> None:
        self.temporary = temporary
        self.is_ahead = ahead
        self.executor = LocalExecutor(grace=grace)
        self._watched: dict[tuple[str, int], Watched] = {}
        self.executor.open(self._hear)
        if ahead:
            self.executor.prepare({"python3": Preload()}, "/")

    def submit(self, one: WorkOrder) -> Watched:
        """Begin an attempt."""
        self._watched[one.task, one.attempt] = Watched(one)
        self.executor.submit(one)
        return self._watched[one.task, one.attempt]

    def run(self, one: WorkOrder) -> tuple[Outcome, dict[str, Any]]:
        """Run an attempt to its end: its outcome and its archived notebook. Nothing of it may be left over.

        None of it may contradict the rest.
        """
        outcome = self.submit(one).outcome()
        self.assert_clean(one)
        document = archived(one)
        assert_consistent(outcome, document)
        return outcome, document

    def assert_clean(self, done: WorkOrder) -> None:
        """No process, socket or temporary file of an attempt is left; what a zygote has at hand is not of one."""
        assert not processes(done)
        if self.is_ahead:
            until(lambda: all(listens(one) for one in self.temporary.iterdir()))
        else:
            assert list(self.temporary.iterdir()) == []
        assert not list(Path(done.outputs).rglob("*.tmp"))

    def _hear(self, report: Report) -> None:
        self._watched[report.task, report.attempt].hear(report)


def listens(folder: Path) -> bool:
    """Whether there is a process that listens at a socket in a folder."""
    return f" {folder}/" in Path("/proc/net/unix").read_text("utf-8", "replace")


def processes(done: WorkOrder) -> list[str]:
    """What lives of an attempt's kernel and of all that it started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(OWNER_MARK) == done.journal and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.name()} ({process.pid})")
        except psutil.Error:
            continue
    return found


@contextmanager
def bench(grace: float = 2.0, *, ahead: bool = False) -> Iterator[Bench]:
    """An executor whose temporary files are its own; at the end no child of this process is left.

    Kernels for Python are forked `ahead` of their attempts, as for the runs of a project, or take the ordinary start.
    """
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    temporary = Path(tempfile.mkdtemp(prefix="nbt-", dir="/tmp"))
    saved = {name: os.environ.get(name) for name in ("TMPDIR", "XDG_RUNTIME_DIR")}
    os.environ["TMPDIR"] = str(temporary)
    os.environ.pop("XDG_RUNTIME_DIR", None)
    made = Bench(temporary, grace, ahead=ahead)
    try:
        yield made
        made.executor.close()
        after = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
        assert not after
        assert list(temporary.iterdir()) == []
    finally:
        made.executor.close()
        for name, value in saved.items():
            if value is not None:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)
        shutil.rmtree(temporary, ignore_errors=True)
