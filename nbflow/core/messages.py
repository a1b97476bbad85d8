"""What the world tells a run: messages, in the imperative or as plain reports. Never persisted.

`decide` turns each, with the state, into events. Must not know who sent it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nbflow.core.attempt import CellState, Outcome


class StopMode(StrEnum):
    """Why a run is asked to stop: by `nbflow cancel`, by a signal to its engine, or by its own time limit."""

    CANCEL = "cancel"
    INTERRUPT = "interrupt"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Begin, or go on with, a run that has been created."""

    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Give every task that did not succeed another chance."""

    reason: str = "resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The worker of an attempt has its kernel ready. `attempt` is 1, 2, ...; `cells` counts code cells."""

    task: str
    attempt: int
    pid: int | None = None
    host: str | None = None
    kernel: str | None = None
    cells: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStart:
    """A code cell has been sent to the kernel. `cell` counts from 0 over all cells; `number` from 1 over code cells."""

    task: str
    attempt: int
    cell: int
    number: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutput:
    """What a cell has printed since the last such report: plain text, bounded. Comes about once a second at most."""

    task: str
    attempt: int
    cell: int
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDone:
    """A code cell has ended. `duration` is in seconds; `preview` is the end of its text output, bounded."""

    task: str
    attempt: int
    cell: int
    number: int
    state: CellState
    duration: float
    preview: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The worker of an attempt is gone and this came of it."""

    task: str
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Nobody knows what became of an attempt: its worker died, or the engine that had it did."""

    task: str
    attempt: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop the run. `force` kills kernels now instead of interrupting them."""

    mode: StopMode
    by: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed; nothing else happened."""


Report = Started | CellStart | CellOutput | CellDone | Finished | Lost
"""What executors say of attempts."""

Message = Start | Resume | Report | Cancel | Tick
