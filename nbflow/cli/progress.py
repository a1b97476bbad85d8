"""A run as somebody watches it: a small fold of its events, for the live table and the lines.

Knows cells, which the state of the run does not keep. Must not know a terminal, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from nbflow.cli.text import one_line
from nbflow.core import events as ev
from nbflow.core.attempt import CellCounts, ErrorKind, TaskError, fate
from nbflow.core.plan import Action
from nbflow.core.state import RunState, TaskRun
from nbflow.core.status import TRANSITIONS, TaskState

LONGEST_LINE = 500
"""Characters that are kept of a line that a cell prints."""

Waits = Callable[[], Mapping[str, str]]
"""By pool, what the next task of it waits for, in words; any thread may ask."""


@dataclass(slots=True, kw_only=True)
class TaskProgress:
    """One task. `cell` is the number of the code cell that runs, or ran last, of `cells`; 0 before the first.

    `said` is the last line that this cell has printed, `line` what there is of the one that it has not ended.

    `began` is when its first attempt here was submitted, `seconds` how long it took once it has ended.
    `is_left_out`: the plan does not select it, so there is nothing to watch.
    """

    name: str
    waits_for: tuple[str, ...] = ()
    pool: str | None = None
    is_left_out: bool = False
    state: TaskState = TaskState.PENDING
    reason: str = ""
    attempt: int = 0
    began: datetime | None = None
    seconds: float | None = None
    cell: int = 0
    cells: int = 0
    title: str = ""
    said: str = ""
    line: str = ""
    counts: CellCounts = field(default_factory=CellCounts)
    error: TaskError | None = None
    due: datetime | None = None
    left_behind: tuple[str, ...] = ()

    def hear(self, event: ev.CellStarted | ev.CellOutput) -> None:
        """A cell has begun, or has printed something; what comes late of an earlier cell is not of interest here."""
        if isinstance(event, ev.CellStarted):
            self.cell, self.title, self.said, self.line = event.number, event.title, "", ""
        elif event.number == self.cell:
            lines = [line[-LONGEST_LINE:] for line in (self.line + event.text).split("\n")]
            self.line = lines[-1]
            self.said = next((line for line in reversed(lines) if line.strip()), self.said)

    def left_text(self) -> str:
        """What the newest attempt had left behind, in words; empty where nothing."""
        return describe_left(self.left_behind)

    def error_text(self) -> str:
        """What went wrong, on one line, with the cell; empty where nothing did."""
        if self.error is None:
            return ""
        where = f" (cell {self.cell})" if self.error.cell is not None and self.cell else ""
        return describe_error(self.error) + where


class Progress:
    """The tasks of a run in the order of its plan; those that are not left out also by state.

    `take` the events that come after `state`.
    """

    def __init__(self, state: RunState) -> None:
        self.created = state.created
        self.started = state.started_at
        self.ended = state.ended_at
        self.stopping: ev.CancelRequested | None = None
        self.tasks = {name: _task(task) for name, task in state.tasks.items()}
        self.by_state: dict[TaskState, dict[str, None]] = {one: {} for one in TaskState}
        self.watched = [task.name for task in self.tasks.values() if not task.is_left_out]
        for name in self.watched:
            self.by_state[self.tasks[name].state][name] = None

    def count(self, *states: TaskState) -> int:
        """Watched tasks in any of these states."""
        return sum(len(self.by_state[state]) for state in states)

    def take(self, stamped: ev.Stamped) -> None:
        """Go on by one event."""
        event = stamped.event
        match event:
            case ev.RunCreated():
                return
            case ev.RunStarted():
                self.started = self.started or stamped.at
            case ev.RunResumed():
                self._reset(event)
            case ev.RunFinished():
                self.ended = stamped.at
            case ev.CancelRequested():
                self.stopping = event
            case ev.TaskExpanded() if event.copies or event.task not in self.tasks:  # it has its copies already
                self._expand(event)
            case _:
                self._take(self.tasks[event.task], stamped, event)

    def _reset(self, event: ev.RunResumed) -> None:
        self.ended, self.stopping = None, None
        for name in event.tasks:
            task = self.tasks[name]
            task.error, task.seconds, task.began, task.reason, task.cell = None, None, None, event.reason, 0
            self._move(task, TaskState.PENDING)

    def _expand(self, event: ev.TaskExpanded) -> None:
        """Put copies in the place of their task; of a list that is made anew, those that are new behind the others.

        Such a list may be empty; its copies stay where they are.
        """
        last = [name for name in self.tasks if name.partition("[")[0] == event.task][-1]
        ups, pool = self.tasks[last].waits_for, self.tasks[last].pool
        names = [copy.name for copy in event.copies if copy.name not in self.tasks]
        new = [TaskProgress(name=name, waits_for=ups, pool=pool) for name in names]
        found: dict[str, TaskProgress] = {}
        for name, task in self.tasks.items():
            if last in task.waits_for:
                task.waits_for = (*(up for up in task.waits_for if up != event.task), *(one.name for one in new))
            if name != event.task:
                found[name] = task
            if name == last:
                found.update((one.name, one) for one in new)
        self.tasks = found
        self.watched = [task.name for task in found.values() if not task.is_left_out]
        self.by_state[TaskState.PENDING].pop(event.task, None)
        self.by_state[TaskState.PENDING].update((one.name, None) for one in new)
        for task in (found[copy.name] for copy in event.copies):
            if task.state is TaskState.SKIPPED:  # it was in the list no more, and is again
                self._move(task, TaskState.PENDING)

    def _take(self, task: TaskProgress, stamped: ev.Stamped, event: ev.Event) -> None:
        match event:
            case ev.AttemptSubmitted():
                task.attempt, task.cell, task.cells, task.title, task.error = event.attempt, 0, 0, "", None
                task.began = task.began or stamped.at
            case ev.AttemptStarted():
                task.cells = event.cells
            case ev.CellStarted() | ev.CellOutput():
                task.hear(event)
            case ev.AttemptEnded():
                task.counts, task.error = event.outcome.cells, event.outcome.error
                task.left_behind = event.outcome.left_behind
            case ev.RetryScheduled():
                task.due, task.reason = event.due, event.reason
            case ev.TaskFailed():
                task.error, task.reason = event.error, event.reason
            case (
                ev.TaskSkipped()
                | ev.TaskBlocked()
                | ev.TaskReused()
                | ev.TaskCancelled()
                | ev.TaskQueued()
                | ev.TaskExpanded()
            ):
                task.reason = event.reason
            case _:
                pass
        if (change := TRANSITIONS.get(ev.type_of(event))) is not None:
            self._move(task, change[1])
            if task.state.ended and task.began is not None:
                task.seconds = (stamped.at - task.began).total_seconds()

    def _move(self, task: TaskProgress, state: TaskState) -> None:
        self.by_state[task.state].pop(task.name, None)
        task.state = state
        if not task.is_left_out:
            self.by_state[state][task.name] = None


def describe_error(error: TaskError) -> str:
    """`ValueError: bad input`, `timeout: the cell ran longer than 30 s`, on one line."""
    message = one_line(error.message)
    if error.kind is ErrorKind.EXCEPTION and error.ename:
        name = one_line(error.ename)
        return message if message.startswith(name) else f"{name}: {message}"
    return f"{error.kind.value}: {message}"


def describe_left(names: Sequence[str]) -> str:
    """What an attempt had left behind, in words; empty where nothing."""
    parts = []
    for what, some in groupby(sorted(names, key=fate, reverse=True), fate):
        shown = list(some)
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        parts.append(f"{what}: {', '.join(shown[:3])}{more}")
    return one_line(f"left behind, and {'; '.join(parts)}") if parts else ""


def _task(task: TaskRun) -> TaskProgress:
    known = task.started is not None and task.ended is not None
    return TaskProgress(
        name=task.planned.name,
        waits_for=task.planned.waits_for,
        pool=task.planned.pool,
        is_left_out=task.planned.action is Action.SKIP,
        state=task.state,
        reason=task.reason,
        attempt=task.attempt,
        began=task.started,
        seconds=(task.ended - task.started).total_seconds() if known and task.ended and task.started else None,
        counts=task.cells,
        error=task.error,
    )
