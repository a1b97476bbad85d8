"""The state of one run, and `evolve`, the only code that changes it: a fold of the run's events.

Besides what people look at, a run keeps what `decide` needs to stay linear in tasks and edges: how many upstreams
of a task are still open, which tasks have become worth judging, and queues of tasks that wait for a slot. All of
it follows from the events. Must not decide anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from heapq import heappop, heappush
from typing import Any, assert_never

from nbflow.core import events as ev
from nbflow.core.attempt import CellCounts, Outcome, TaskError
from nbflow.core.messages import StopMode
from nbflow.core.plan import Action, PlannedTask
from nbflow.core.spec import EMPTY
from nbflow.core.status import TRANSITIONS, RunStatus, TaskState
from nbflow.core.trigger import EARLY, Tally, judge
from nbflow.core.values import decode, plain

Lane = tuple[str | None, str | None, int]
"""Tasks that wait for the same limits: (pool, base where its copies have their own `max_parallel`, slots)."""

EVENT_SIZE = 200
"""Characters that an event takes besides its text, about."""

_PLANNED = {Action.SKIP: TaskState.SKIPPED, Action.REUSE: TaskState.SUCCEEDED}
"""What the plan makes of a task, whatever its upstreams do."""


class InvalidTransition(AssertionError):
    """An event that cannot happen in this state: a bug of nbflow, or a store that was changed by hand."""


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
    """One task of the run. `waiting` counts upstreams that have not ended, `tally` the states of those that have.

    `tries` counts attempts since the task was last made pending: the retry policy looks at it, while the numbers
    of attempts go on for ever.
    """

    planned: PlannedTask
    state: TaskState = TaskState.PENDING
    reason: str = ""
    waiting: int = 0
    tally: Counter[TaskState] = field(default_factory=Counter)
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


class RunState:
    """A run as its events tell it. Only `evolve` may change it.

    `open` holds the tasks that have not ended, `live` those with an attempt at the executor, `judged` the pending
    ones whose plan or upstreams have decided, with the verdict, `lanes` the queued ones, most urgent first, and
    `retrying` those that wait for their time. (A run that stops leaves cancelled tasks in the last two: nobody looks
    at them again before a resume makes them anew.) `used` counts what is taken: ("pool", name) in slots,
    ("base", name) and ("run", "") in task runs. `limit_from` is when the run's time limit began.
    """

    def __init__(self, created: ev.RunCreated, at: datetime) -> None:
        self.created = created
        self.created_at = at
        self.started_at: datetime | None = None
        self.limit_from: datetime | None = None
        self.ended_at: datetime | None = None
        self.seq = 0
        self.stop: ev.CancelRequested | None = None
        self.failing: str | None = None
        self.tasks = {planned.name: TaskRun(planned=planned) for planned in created.plan.tasks}
        self.index = {name: position for position, name in enumerate(self.tasks)}
        self.copies: dict[str, list[str]] = {}
        self.downstream: dict[str, list[str]] = {name: [] for name in self.tasks}
        for planned in created.plan.tasks:
            self.copies.setdefault(planned.base, []).append(planned.name)
            for upstream in planned.waits_for:
                self.downstream[upstream].append(planned.name)
        self.touched: set[str] = set(self.tasks)
        self.open: dict[str, None] = {}
        self.live: dict[str, None] = {}
        self.judged: dict[str, TaskState] = {}
        self.lanes: dict[Lane, list[tuple[int, int, str]]] = {}
        self.retrying: list[tuple[datetime, int, str]] = []
        self.used: Counter[tuple[str, str]] = Counter()
        _reopen(self)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.created.run

    @cached_property
    def shown_params(self) -> Mapping[str, Any]:
        """The run's parameters as documents show them: they stay, so that they are made once."""
        return {name: plain(decode(value)) for name, value in self.created.params.items()}

    @property
    def status(self) -> RunStatus:
        """Where the run is."""
        if self.ended_at is None:
            return RunStatus.QUEUED if self.started_at is None else RunStatus.RUNNING
        return self.verdict

    @property
    def verdict(self) -> RunStatus:
        """What the states of the tasks add up to, once all have ended."""
        states = {task.state for task in self.tasks.values()}
        if TaskState.CANCELLED in states and self.stop is not None:
            if self.stop.mode is StopMode.CANCEL:
                return RunStatus.CANCELLED
            if self.stop.mode is StopMode.INTERRUPT:
                return RunStatus.INTERRUPTED
        if states & {TaskState.FAILED, TaskState.UPSTREAM_FAILED, TaskState.CANCELLED}:
            return RunStatus.FAILED
        return RunStatus.SUCCEEDED


def lane_of(planned: PlannedTask) -> Lane:
    """The queue in which a task waits: tasks of one lane wait for the same limits."""
    limited = planned.max_parallel is not None and planned.matrix
    return (planned.pool, planned.base if limited else None, planned.slots)


def fold(history: Iterable[ev.Stamped]) -> RunState:
    """The state of a run from all its events. Raises ValueError where they do not begin with its creation."""
    state: RunState | None = None
    for stamped in history:
        if state is None:
            if not isinstance(stamped.event, ev.RunCreated):
                raise ValueError(f"the history of {stamped.run} does not begin with its creation")
            state = RunState(stamped.event, stamped.at)
            state.seq = stamped.seq
        else:
            evolve(state, stamped)
    if state is None:
        raise ValueError("an empty history is no run")
    return state


def evolve(state: RunState, stamped: ev.Stamped) -> None:
    """Change the state as one event says. Raises InvalidTransition for an event that cannot happen in it."""
    if stamped.seq != state.seq + 1:
        raise InvalidTransition(f"{state.run}: event {stamped.seq} follows {state.seq}")
    state.seq = stamped.seq
    event = stamped.event
    match event:
        case ev.RunCreated():
            raise InvalidTransition(f"{state.run} is created twice")
        case ev.RunStarted():
            state.started_at = state.started_at or stamped.at
            state.limit_from = state.limit_from or stamped.at
        case ev.RunResumed():
            _resumed(state, event)
            state.limit_from = stamped.at
        case ev.CancelRequested():
            state.stop = event
        case ev.RunFinished():
            if state.open or state.ended_at is not None:
                raise InvalidTransition(f"{state.run}: run_finished with {len(state.open)} tasks open")
            state.ended_at = stamped.at
        case ev.AttemptStarted() | ev.CellOutput() | ev.AttemptEnded():
            _attempt(state, event, stamped.at)
        case ev.CellStarted() | ev.CellEnded() | ev.KillRequested():
            pass
        case _:
            _task(state, event, stamped.at)


TaskEvent = (
    ev.TaskQueued
    | ev.TaskSkipped
    | ev.TaskBlocked
    | ev.TaskReused
    | ev.TaskSucceeded
    | ev.TaskFailed
    | ev.TaskCancelled
    | ev.AttemptSubmitted
    | ev.RetryScheduled
)


def _task(state: RunState, event: TaskEvent, at: datetime) -> None:
    task = state.tasks[event.task]
    before = _move(state, event.task, task, ev.type_of(event))
    match event:
        case ev.TaskQueued():
            if before is TaskState.RETRYING:
                _pop(state, state.retrying, event)
            task.reason, task.params, task.retry_due = event.reason, event.params, None
            entry = (-task.planned.weight, state.index[event.task], event.task)
            heappush(state.lanes.setdefault(lane_of(task.planned), []), entry)
        case ev.AttemptSubmitted():
            _submitted(state, task, event, at)
        case ev.RetryScheduled():
            task.reason, task.retry_due = event.reason, event.due
            heappush(state.retrying, (event.due, state.index[event.task], event.task))
        case ev.TaskReused():
            task.reason, task.outputs, task.reused_from = event.reason, event.outputs, event.reused_from
        case ev.TaskFailed():
            task.reason, task.error = event.reason, event.error
            state.failing = state.failing or event.task
        case ev.TaskSkipped() | ev.TaskBlocked() | ev.TaskCancelled():
            task.reason = event.reason
        case ev.TaskSucceeded():
            pass
        case _:
            assert_never(event)
    if task.state.ended:
        _ended(state, event.task, task, at)


def _move(state: RunState, name: str, task: TaskRun, kind: str) -> TaskState:
    """Change the state of a task as the table says, and return the state before."""
    before = task.state
    sources, target = TRANSITIONS[kind]
    if before not in sources or name in state.live:
        raise InvalidTransition(f"{state.run}/{name}: {kind} while {before.value}")
    task.state = target
    state.touched.add(name)
    state.judged.pop(name, None)
    return before


def _pop(state: RunState, waiting: list[tuple[Any, int, str]], event: ev.TaskQueued | ev.AttemptSubmitted) -> None:
    """Take a task from the head of a heap of tasks that wait."""
    first = heappop(waiting)[2]
    if first != event.task:
        raise InvalidTransition(f"{state.run}/{event.task}: {ev.type_of(event)} before {first}")


def _submitted(state: RunState, task: TaskRun, event: ev.AttemptSubmitted, at: datetime) -> None:
    if event.attempt != task.attempt + 1:
        raise InvalidTransition(f"{state.run}/{event.task}: attempt {event.attempt} follows {task.attempt}")
    lane = lane_of(task.planned)
    _pop(state, state.lanes[lane], event)
    if not state.lanes[lane]:
        del state.lanes[lane]
    task.attempts.append(Attempt(number=event.attempt, submitted=at))
    task.tries += 1
    task.started = task.started or at
    task.error = None
    state.live[event.task] = None
    _take(state, task.planned, 1)


def _take(state: RunState, planned: PlannedTask, sign: int) -> None:
    state.used["run", ""] += sign
    state.used["base", planned.base] += sign
    if planned.pool is not None:
        state.used["pool", planned.pool] += sign * planned.slots


def _attempt(state: RunState, event: ev.AttemptStarted | ev.CellOutput | ev.AttemptEnded, at: datetime) -> None:
    task = state.tasks[event.task]
    if event.task not in state.live or event.attempt != task.attempt:
        raise InvalidTransition(f"{state.run}/{event.task}: {ev.type_of(event)} of attempt {event.attempt}")
    attempt = task.attempts[-1]
    if isinstance(event, ev.CellOutput):
        attempt.told += EVENT_SIZE + len(event.text)
        return
    state.touched.add(event.task)
    if isinstance(event, ev.AttemptStarted):
        attempt.started, attempt.pid, attempt.host, attempt.kernel = at, event.pid, event.host, event.kernel
        return
    attempt.ended, attempt.outcome = at, event.outcome
    task.error = event.outcome.error
    task.outputs = event.outcome.outputs
    del state.live[event.task]
    _take(state, task.planned, -1)


def _ended(state: RunState, name: str, task: TaskRun, at: datetime) -> None:
    task.ended = at
    del state.open[name]
    for below in state.downstream[name]:
        other = state.tasks[below]
        other.waiting -= 1
        other.tally[task.state] += 1
        _judge(state, below)


def _resumed(state: RunState, event: ev.RunResumed) -> None:
    for name in event.tasks:
        task = state.tasks[name]
        _move(state, name, task, "task_reset")
        task.tries, task.error, task.ended, task.retry_due = 0, None, None, None
        task.reason = event.reason
        state.touched.add(name)
    state.stop, state.ended_at, state.failing = None, None, None
    _reopen(state)


def _reopen(state: RunState) -> None:
    """Set up anew what follows from the states of the tasks: for a new run, and for a resumed one."""
    state.open = {name: None for name, task in state.tasks.items() if not task.state.ended}
    state.live, state.judged, state.lanes, state.retrying = {}, {}, {}, []
    state.used = Counter()
    for name in state.open:
        task = state.tasks[name]
        ended = (state.tasks[up].state for up in task.planned.waits_for)
        task.tally = Counter(one for one in ended if one.ended)
        task.waiting = len(task.planned.waits_for) - task.tally.total()
        _judge(state, name)


def _judge(state: RunState, name: str) -> None:
    """Note what the plan, or the upstreams by the task's rule, make of a pending task, once they do."""
    task = state.tasks[name]
    planned = task.planned
    if task.state is not TaskState.PENDING:
        return
    verdict = _PLANNED.get(planned.action)
    if verdict is None and (task.waiting == 0 or planned.run_if in EARLY):
        verdict = judge(planned.run_if, Tally.of(task.tally, task.waiting))
    if verdict is not None:
        state.judged[name] = verdict
