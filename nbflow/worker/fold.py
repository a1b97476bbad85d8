"""From the journal to the executed notebook and the outcome: a pure fold. Same journal, same bytes.

The notebook, its states, the counts, the error and the verdict all come from here, so they cannot contradict each
other. A cell that was started and has no end was killed. Must not read files, clocks or the environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbflow.core import codec
from nbflow.core.attempt import CellCounts, CellState, ErrorKind, Outcome, TaskError, Verdict, fate
from nbflow.core.values import decode, plain
from nbflow.worker import snapshot
from nbflow.worker.journal import VERSION, Record
from nbflow.worker.shown import Outputs, Surplus, TextFile, Widget

_START = {True: "forked", False: "ordinary"}
_MOST_LEFT = 20
"""Processes left behind that an outcome names; the notebook names all."""
WIDGETS = "application/vnd.jupyter.widget-state+json"


class FoldError(ValueError):
    """The records are not those of an attempt, or of a version that this nbflow does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a journal comes to. The outcome has no files yet.

    `running` is the cell that was started and has no end; `runtime` the folder of the kernel, where one was started;
    `memory_mark` what a lack of memory is told by since then (`kernels.memory.Mark`);
    `open_texts` files with whole texts, by cell, that were not brought to their end; `open_surplus` the same of files
    with outputs that were left out.
    """

    document: dict[str, Any]
    outcome: Outcome
    ended: bool
    running: int | None
    runtime: str | None
    memory_mark: Mapping[str, Any] | None
    open_texts: tuple[tuple[int, TextFile], ...] = ()
    open_surplus: tuple[tuple[int, Surplus], ...] = ()


@dataclass(slots=True)
class _Cell:
    state: CellState = CellState.NOT_RUN
    start: str | None = None
    end: str | None = None
    duration: float | None = None
    cpu: float | None = None
    memory: int | None = None
    count: int | None = None
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def facts(self) -> dict[str, Any]:
        """The `nbflow` metadata of the cell: times and what it used only where it ran."""
        if self.start is None:
            return {"state": self.state.value}
        times = {"start": self.start, "end": self.end, "duration": self.duration}
        return {"state": self.state.value, **times, "cpu_seconds": self.cpu, "peak_memory": self.memory}


class _Fold:
    """The state of one fold; one method for each type of record."""

    def __init__(self, header: Record) -> None:
        self.header = header
        self.cells = {index: _Cell() for index, _ in snapshot.code_cells(header["document"])}
        self.displays: dict[str, list[dict[str, Any]]] = {}
        self.widgets: dict[str, Widget] = {}
        self.values: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.left_behind: list[str] = []
        self.kernel: Record = {}
        self.ended: Record | None = None
        self.runtime: str | None = None
        self.start: Record = {}
        self.used: Record | None = None
        self.changed: dict[str, Any] = {}

    def apply(self, record: Record) -> None:
        match record:
            case {"type": "cell_started" | "cell_ended" | "count", "cell": cell}:
                self._apply_cell(record, self.cells[cell])
            case {"type": "value", "name": name, "value": value}:
                self.values[name] = value
            case {"type": "warning" | "left_behind"}:
                self._warn(record)
            case {"type": "kernel_started", "runtime": runtime}:
                self.runtime, self.start = runtime, record
            case {"type": "kernel_ready", "info": info}:
                self.kernel = info
            case {"type": "kernel_ended"}:
                self.used = record
            case {"type": "packages", "changed": changed}:
                self.changed = {"packages_changed": changed}
            case {"type": "ended"}:
                self.ended = record
            case {"type": "published"}:
                pass
            case _:
                self._apply_output(record)

    def _warn(self, record: Record) -> None:
        if (process := record.get("process")) is None:
            self.warnings.append(record["text"])
        else:
            self.left_behind.append(process)
            self.warnings.append(f"a process that the notebook had left behind {fate(process)}: {process}")

    def _apply_cell(self, record: Record, cell: _Cell) -> None:
        match record:
            case {"type": "cell_started", "at": at}:
                # The state stays `killed` unless the journal tells of another end.
                cell.state, cell.start = CellState.KILLED, at
            case {"type": "count", "count": count}:
                cell.count = count
            case _:
                cell.state = CellState(record["state"])
                cell.end, cell.duration = record["at"], record["duration"]
                cell.cpu, cell.memory = record.get("cpu"), record.get("memory")

    def _apply_output(self, record: Record) -> None:
        match record:
            case {"type": "output", "cell": cell, "output": output}:
                added = self.cells[cell].outputs.add(output, record.get("files", ()))
                if "display" in record:
                    self.displays.setdefault(record["display"], []).append(added)
            case {"type": "spool", "cell": cell, "name": name}:
                self.cells[cell].outputs.spool(name, record["file"], record["head"], record["tail"])
            case {"type": "tail", "cell": cell, "name": name, "text": text, "omitted": omitted}:
                self.cells[cell].outputs.add_tail(name, text, omitted, self.header["order"]["slug"])
            case {"type": "left_out", "cell": cell, "count": count, "open": is_open}:
                self.cells[cell].outputs.leave_out(self._surplus(record.get("file"), count, is_open=is_open))
            case {"type": "update", "display": display, "data": data, "metadata": metadata}:
                for shown in self.displays.get(display, []):
                    shown.update(data=data, metadata=metadata, files=record.get("files", []))
            case {"type": "clear", "cell": cell, "wait": wait}:
                self.cells[cell].outputs.clear(wait=wait)
            case _:
                self._apply_widget(record)

    def _surplus(self, file: str | None, count: int, *, is_open: bool) -> Surplus:
        return Surplus(count=count, file=file, published=f"{self.header['order']['slug']}.{file}", open=is_open)

    def _apply_widget(self, record: Record) -> None:
        match record:
            case {"type": "widget", "comm": comm, "state": state, "buffers": buffers}:
                self.widgets.setdefault(comm, Widget()).apply(state, buffers)
            case {"type": "widget_output", "comm": comm, "output": output}:
                self.widgets.setdefault(comm, Widget()).capturing().add(output)
            case {"type": "widget_clear", "comm": comm, "wait": wait}:
                self.widgets.setdefault(comm, Widget()).capturing().clear(wait=wait)
            case _:
                raise FoldError(
                    f"its journal has a record of a type that this nbflow does not know: {record.get('type')!r}"
                )

    def open_texts(self) -> tuple[tuple[int, TextFile], ...]:
        """Files whose end the journal does not tell, with their cells."""
        return tuple(
            (index, text) for index, cell in self.cells.items() for text in cell.outputs.texts.values() if text.open
        )

    def open_surplus(self) -> tuple[tuple[int, Surplus], ...]:
        """Files of outputs that were left out whose end the journal does not tell, with their cells."""
        found = [(index, cell.outputs.surplus) for index, cell in self.cells.items()]
        return tuple((index, one) for index, one in found if one is not None and one.file is not None and one.open)

    def document(self) -> dict[str, Any]:
        source = self.header["document"]
        metadata = {**source["metadata"], "nbflow": self._facts()}
        if self.header["kernel"]:
            metadata["kernelspec"] = self.header["kernel"]
        if "language_info" in self.kernel:
            metadata["language_info"] = self.kernel["language_info"]
        state = {comm: one.document for comm, one in self.widgets.items() if "_model_name" in one.state}
        if state:
            metadata["widgets"] = {WIDGETS: {"state": state, "version_major": 2, "version_minor": 0}}
        cells = [
            self._cell(cell, self.cells[index]) if index in self.cells else cell
            for index, cell in enumerate(source["cells"])
        ]
        return {**source, "cells": cells, "metadata": metadata}

    def _cell(self, source: Mapping[str, Any], cell: _Cell) -> dict[str, Any]:
        return {
            **source,
            "execution_count": cell.count,
            "metadata": {**source["metadata"], "nbflow": cell.facts},
            "outputs": cell.outputs.finished(),
        }

    def _facts(self) -> dict[str, Any]:
        ended = self.ended or {}
        error = self.error
        facts = ("run", "pipeline", "task", "attempt", "logical_date")
        language = self.kernel.get("language_info", {})
        is_python = language.get("name") == "python"
        parts = (self.kernel.get("implementation"), self.kernel.get("implementation_version"))
        return {
            **{key: self.header["order"].get(key) for key in facts},
            "state": self.verdict.value,
            "error": None if error is None else _error_document(error),
            "stopped_at": ended.get("stopped_at"),
            "parameters": self.header["parameters"],
            "outputs": {name: plain(decode(value)) for name, value in self.values.items()},
            **self._untold(),
            "started": self.header["at"],
            "ended": ended.get("at"),
            "duration": ended.get("duration"),
            "cpu_seconds": self.cpu,
            "peak_memory": self.memory,
            "source": self.header["source"],
            "environment": {
                **self.header["environment"],
                "kernel": self.header["kernel"].get("name"),
                "kernel_start": _START[bool(self.start["forked"])] if self.start else None,
                "kernel_start_reason": self.start.get("reason"),
                "kernel_version": " ".join(str(part) for part in parts if part) or None,
                "python": language.get("version") if is_python else None,
                **self.changed,
            },
            "warnings": self.warnings,
            "spooled": [
                {"cell": index, "output": output, "file": file}
                for index, cell in self.cells.items()
                for output, file in cell.outputs.files()
            ],
        }

    def _untold(self) -> dict[str, Any]:
        """What of the outcome the other facts do not tell, where there is any: exact values, and what was left behind.

        A notebook has its keys sorted, and JSON has fewer types than values have.
        """
        exact = {
            name: json.dumps(value, ensure_ascii=False)
            for name, value in self.values.items()
            if json.dumps(value) != json.dumps(plain(decode(value)), sort_keys=True)
        }
        found = {"outputs_exact": exact, "left_behind": self.left_behind[:_MOST_LEFT]}
        return {key: value for key, value in found.items() if value}

    @property
    def cpu(self) -> float | None:
        """CPU seconds of the kernel; where nobody has seen its end, those of the cells that ended."""
        known = [cell.cpu for cell in self.cells.values() if cell.cpu is not None]
        found: float | None = self.used["cpu"] if self.used else round(sum(known), 6) if known else None
        return found

    @property
    def memory(self) -> int | None:
        """The peak memory of the kernel in bytes, as far as it is known."""
        known = [cell.memory for cell in self.cells.values() if cell.memory is not None]
        found: int | None = self.used["memory"] if self.used else max(known, default=None)
        return found

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.ended["verdict"]) if self.ended else Verdict.FAILED

    @property
    def error(self) -> TaskError | None:
        if self.ended is None:
            return TaskError(kind=ErrorKind.LOST, message="the attempt has not ended")
        return codec.load(TaskError, self.ended["error"]) if self.ended["error"] else None

    def outcome(self) -> Outcome:
        ended = self.ended or {}
        return Outcome(
            verdict=self.verdict,
            error=self.error,
            cells=counted([cell.state for cell in self.cells.values()]),
            outputs=self.values,
            duration=ended.get("duration") or 0.0,
            stopped_at=ended.get("stopped_at"),
            kernel=self.header["kernel"].get("name"),
            cpu_seconds=self.cpu,
            peak_memory=self.memory,
            left_behind=tuple(self.left_behind[:_MOST_LEFT]),
        )


def fold(records: Iterable[Record]) -> Folded:
    """The notebook and the outcome of an attempt. Raises FoldError for records that are none of an attempt."""
    rest = iter(records)
    first = next(rest, {})
    if first.get("type") != "attempt":
        raise FoldError("its journal does not begin as one does")
    if first.get("version") != VERSION:
        raise FoldError(f"its journal is of version {first.get('version')}, and this nbflow reads version {VERSION}")
    try:
        folding = _Fold(first)
        for record in rest:
            folding.apply(record)
        return _folded(folding)
    except FoldError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FoldError(f"its journal holds what this nbflow cannot read: {error!r}") from error


def counted(states: Sequence[CellState]) -> CellCounts:
    """Code cells by end state."""
    return CellCounts(
        total=len(states),
        ok=states.count(CellState.OK),
        failed=states.count(CellState.FAILED) + states.count(CellState.KILLED),
        skipped=states.count(CellState.SKIPPED),
        not_run=states.count(CellState.NOT_RUN),
    )


def _folded(folding: _Fold) -> Folded:
    return Folded(
        document=folding.document(),
        outcome=folding.outcome(),
        ended=folding.ended is not None,
        running=next((index for index, cell in folding.cells.items() if cell.start and not cell.end), None),
        runtime=folding.runtime,
        memory_mark=folding.start.get("memory"),
        open_texts=folding.open_texts(),
        open_surplus=folding.open_surplus(),
    )


def _error_document(error: TaskError) -> dict[str, Any]:
    return {
        "kind": error.kind.value,
        "message": error.message,
        "cell": error.cell,
        "ename": error.ename,
        "signal": error.signal,
    }
