"""What must hold of every attempt that has ended: outcome, notebook and cells never contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nbflow.core import codec
from nbflow.core.attempt import CellState, ErrorKind, Outcome, TaskError, Verdict

RAN = {CellState.OK, CellState.FAILED, CellState.KILLED}
BROKEN = {CellState.FAILED, CellState.KILLED}
OF_A_DEAD_KERNEL = {ErrorKind.KERNEL_DIED, ErrorKind.START_FAILED}


def assert_consistent(outcome: Outcome, document: Mapping[str, Any]) -> None:
    """The outcome of an attempt and its archived notebook tell the same, and both can be true."""
    facts = document["metadata"]["nbflow"]
    cells = [(index, cell) for index, cell in enumerate(document["cells"]) if cell["cell_type"] == "code"]
    states = {index: CellState(cell["metadata"]["nbflow"]["state"]) for index, cell in cells}
    assert facts["state"] == outcome.verdict.value
    assert facts["stopped_at"] == outcome.stopped_at
    assert (facts["cpu_seconds"], facts["peak_memory"]) == (outcome.cpu_seconds, outcome.peak_memory)
    assert (None if facts["error"] is None else codec.load(TaskError, facts["error"])) == outcome.error
    _assert_counted(outcome, list(states.values()))
    for index, cell in cells:
        _assert_cell(cell, states[index])
    _assert_order(outcome, states)
    _assert_end(outcome, states)


def _assert_counted(outcome: Outcome, states: list[CellState]) -> None:
    counts = outcome.cells
    assert counts.total == len(states)
    assert counts.ok == states.count(CellState.OK)
    assert counts.failed == sum(state in BROKEN for state in states)
    assert counts.skipped == states.count(CellState.SKIPPED)
    assert counts.not_run == states.count(CellState.NOT_RUN)


def _assert_cell(cell: Mapping[str, Any], state: CellState) -> None:
    """A cell that did not run shows nothing; one that did has times, in order."""
    facts = cell["metadata"]["nbflow"]
    if state not in RAN:
        assert facts == {"state": state.value}
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        return
    assert set(facts) == {"state", "start", "end", "duration", "cpu_seconds", "peak_memory"}
    assert facts["cpu_seconds"] is None or facts["cpu_seconds"] >= 0
    assert facts["peak_memory"] is None or facts["peak_memory"] > 0
    if facts["end"] is None:
        assert state is CellState.KILLED
        assert facts["duration"] is None
    else:
        assert datetime.fromisoformat(facts["start"]) <= datetime.fromisoformat(facts["end"])
        assert facts["duration"] >= 0


def _assert_order(outcome: Outcome, states: Mapping[int, CellState]) -> None:
    """Cells run from the first on; after one that broke, or that ended the notebook, none does."""
    stopped = False
    for index, state in states.items():
        assert not stopped or state is CellState.NOT_RUN
        stopped = stopped or state in BROKEN or state is CellState.NOT_RUN or index == outcome.stopped_at


def _assert_end(outcome: Outcome, states: Mapping[int, CellState]) -> None:
    """The verdict, the error and the states of the cells give one story."""
    broken = [index for index, state in states.items() if state in BROKEN]
    error = outcome.error
    assert (error is not None) == (outcome.verdict is Verdict.FAILED)
    if outcome.verdict is Verdict.SUCCEEDED:
        assert broken == []
        if outcome.stopped_at is None:
            assert CellState.NOT_RUN not in states.values()
        else:
            assert states[outcome.stopped_at] is CellState.OK
        return
    assert outcome.stopped_at is None
    if error is None:
        return
    assert error.message
    assert error.signal is None or error.kind in OF_A_DEAD_KERNEL
    if error.cell is not None:
        assert broken in ([error.cell], [])
    match error.kind:
        case ErrorKind.EXCEPTION | ErrorKind.EXITED:
            assert broken == [error.cell]
            assert states[broken[0]] is CellState.FAILED
        case ErrorKind.KERNEL_DIED:
            assert [states[index] for index in broken] in ([], [CellState.KILLED])
            assert (error.cell is None) == (broken == [])
        case ErrorKind.START_FAILED:
            assert set(states.values()) <= {CellState.NOT_RUN}
        case ErrorKind.TIMEOUT:
            assert broken == ([] if error.cell is None else [error.cell])
        case ErrorKind.LOST | ErrorKind.ARCHIVE:
            pass
