"""One task of a run, and its attempts, as the state keeps them. Only `evolve` changes them; must not decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbflow.core.attempt import CellCounts, Outcome, TaskError
from nbflow.core.plan import PlannedTask
from nbflow.core.spec import EMPTY
from nbflow.core.status import TaskState


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try of a task run, as the run document's history tells it. `told`: characters of its cells that are kept."""

    number: int
    submitted: datetime
    started: datetime | None = None
    ended: datetime | None = None
    outcome: Outcome | None = None
    pid: int | None = None
    host: str | None = None
    kernel: str | None = None
    told: int = 0


@dataclass(slots=True, kw_only=True)
class TaskRun:
    """One task of the run.

    `tries` counts attempts since the task was last made pending: the retry policy looks at it, while the numbers
    of attempts go on for ever.
    """

    planned: PlannedTask
    state: TaskState = TaskState.PENDING
    reason: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    tries: int = 0
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    outputs: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    reused_from: str | None = None
    error: TaskError | None = None
    retry_due: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def attempt(self) -> int:
        """The number of the newest attempt; 0 where there is none."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def cells(self) -> CellCounts:
        """The cells of the newest attempt that has ended."""
        done = (attempt.outcome.cells for attempt in reversed(self.attempts) if attempt.outcome is not None)
        return next(done, CellCounts())
