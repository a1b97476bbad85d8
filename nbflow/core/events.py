"""What was decided, in the past tense: the only thing that is kept. Everything that anybody looks at is their fold.

Each class is one type of event; its name in snake case is the `type` of the JSON object. Must not decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from nbflow.core import codec
from nbflow.core.attempt import CellState, Outcome, TaskError
from nbflow.core.matrix import Copy
from nbflow.core.messages import StopMode
from nbflow.core.plan import Plan
from nbflow.core.spec import EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run is carried out, frozen when it is made.

    `outputs` is the archive root as users write it (from `root`, or a URL), `folder` the run's folder in it, `spool`
    the folder (from `root`) that stands for a URL on this machine, `journals` the absolute folder of the attempts'
    journals. `timeout` is in seconds. `env` holds the variables that expressions
    read, `withheld` the names of those that no kernel inherits. `facts` say where the run was made (git commit,
    versions, host); they are for people.
    """

    root: str
    outputs: str
    folder: str
    journals: str
    timezone: str = "UTC"
    jobs: int = 1
    fail_fast: bool = False
    max_parallel: int | None = None
    timeout: float | None = None
    pools: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    env: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    withheld: tuple[str, ...] = ()
    spool: str | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCreated:
    """A run exists; nothing of it has begun. `params` are encoded; `trigger` is manual, api, ..."""

    run: str
    pipeline: str
    logical_date: datetime
    plan: Plan
    settings: Settings
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    trigger: str = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """An engine has taken the run."""

    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """The tasks named are pending again; what succeeded stays."""

    tasks: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Somebody asked the run to stop."""

    mode: StopMode
    by: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """Every task has ended. `state` is what the tasks' states add up to, for those that only read events."""

    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQueued:
    """Its upstreams allow it to run; it waits for a slot. `params` are final (encoded), for all its attempts."""

    task: str
    reason: str
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExpanded:
    """Its `for_each` has a list: `copies` take its place, in the order of the items, each with its item (encoded).

    Without an item the task has succeeded, with nothing to run. Happens again where a resumed run makes the list anew:
    then copies that are not named here belong to the list no more.
    """

    task: str
    reason: str
    copies: tuple[Copy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSkipped:
    """It will not run, and that is all right."""

    task: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBlocked:
    """It will not run, because something that it needs failed."""

    task: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReused:
    """Its result is taken from an earlier run."""

    task: str
    reason: str
    reused_from: str
    outputs: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSucceeded:
    """Its last attempt succeeded."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """It failed and is not tried again."""

    task: str
    reason: str
    error: TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled:
    """It was stopped, or will never begin."""

    task: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSubmitted:
    """An attempt is handed to the executor: this event is the durable intent."""

    task: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """Its kernel is ready. `cells` counts the code cells."""

    task: str
    attempt: int
    pid: int | None = None
    host: str | None = None
    kernel: str | None = None
    cells: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted:
    """A code cell runs. `cell` counts all cells from 0, `number` code cells from 1."""

    task: str
    attempt: int
    cell: int
    number: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutput:
    """What a code cell has printed since its last event of this type, without colours and control characters.

    The texts of a cell follow each other as they are: a line may be in two of them, and of a line that was written
    again in place each state begins a new line. Of much at once only the end is given, below a line that says so.
    They become rarer as an attempt goes on, and a cell that ends within a second has none: `cell_ended` has its text.
    """

    task: str
    attempt: int
    cell: int
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnded:
    """A code cell has ended; `duration` is in seconds, `preview` the end of its text."""

    task: str
    attempt: int
    cell: int
    number: int
    state: CellState
    duration: float
    preview: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """This came of it."""

    task: str
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    """The attempt failed; the next one begins at `due`."""

    task: str
    attempt: int
    due: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRequested:
    """A running attempt is told to end (`force`: at once)."""

    task: str
    attempt: int
    force: bool = False


Event = (
    RunCreated
    | RunStarted
    | RunResumed
    | CancelRequested
    | RunFinished
    | TaskQueued
    | TaskExpanded
    | TaskSkipped
    | TaskBlocked
    | TaskReused
    | TaskSucceeded
    | TaskFailed
    | TaskCancelled
    | AttemptSubmitted
    | AttemptStarted
    | CellStarted
    | CellOutput
    | CellEnded
    | AttemptEnded
    | RetryScheduled
    | KillRequested
)

TYPES: dict[str, type[Event]] = {re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower(): cls for cls in get_args(Event)}
_NAMES = {cls: name for name, cls in TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """An event with its place in the run's history (`seq` from 1, without gaps) and its instant."""

    run: str
    seq: int
    at: datetime
    event: Event


def type_of(event: Event) -> str:
    """The `type` of an event: `task_queued` for TaskQueued."""
    return _NAMES[type(event)]


def dump(event: Event) -> dict[str, Any]:
    """The stored form of an event, without its type."""
    body: dict[str, Any] = codec.dump(event)
    return body


def load(kind: str, data: Mapping[str, Any]) -> Event:
    """The event of a stored form. Raises KeyError for a type that this version does not know."""
    return codec.load(TYPES[kind], data)
