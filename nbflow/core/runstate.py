"""The state of one run: what its events add up to, and what `decide` needs to stay linear in tasks and edges.

That is: how far the upstreams of tasks have come (`gates.py`), which tasks have become worth judging, and queues of
tasks that wait for a slot. All of it follows from the events, and only `evolve` (`state.py`) changes it. Must not
decide anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from nbflow.core import events as ev
from nbflow.core.attempt import ErrorKind, TaskError
from nbflow.core.gates import Gate, Gates
from nbflow.core.messages import StopMode
from nbflow.core.plan import Action, PlannedTask
from nbflow.core.status import RunStatus, TaskState
from nbflow.core.taskrun import TaskRun
from nbflow.core.values import decode, plain

Lane = tuple[str | None, str | None, int]
"""Tasks that wait for the same limits: (pool, base where its copies have their own `max_parallel`, slots)."""

PLACES = 100_000
"""Places that a task with `for_each` has for its copies: all that a run and its resumes may ever make of it."""

_PLANNED = {Action.SKIP: TaskState.SKIPPED, Action.REUSE: TaskState.SUCCEEDED}
"""What the plan makes of a task, whatever its upstreams do."""


class InvalidTransition(AssertionError):
    """An event that cannot happen in this state: a bug of nbflow, or a store that was changed by hand."""


class RunState:
    """A run as its events tell it. Only `evolve` may change it.

    `open` holds the tasks that have not ended, `live` those with an attempt at the executor, `judged` the pending
    ones whose plan or upstreams have decided, with the verdict, `lanes` the queued ones, most urgent first, and
    `retrying` those that wait for their time. (A run that stops leaves cancelled tasks in the last two: nobody looks
    at them again before a resume makes them anew.) `used` counts what is taken: ("pool", name) in slots,
    ("base", name) and ("run", "") in task runs. `limit_from` is when the run's time limit began. `gates` are between
    tasks and those that wait for them.

    `index` is the place of a task in the order of the plan, which it keeps; `copies` are the tasks that a declared one
    has become. Of those with `for_each`, `made` holds all copies that there ever were, `dropped` those whose items are
    in the list no more (nothing waits for them), and `stale` are those whose list is to be made anew.
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
        self.index = _places(created.plan.tasks)
        self.made: dict[str, list[str]] = {}
        self.dropped: set[str] = set()
        self.stale: set[str] = set()
        self.copies: dict[str, list[str]] = {}
        self.gates = Gates.of(created.plan.tasks)
        for planned in created.plan.tasks:
            self.copies.setdefault(planned.base, []).append(planned.name)
        self.touched: set[str] = set(self.tasks)
        self.open: dict[str, None] = {}
        self.live: dict[str, None] = {}
        self.judged: dict[str, TaskState] = {}
        self.lanes: dict[Lane, list[tuple[float, int, str]]] = {}
        self.retrying: list[tuple[datetime, int, str]] = []
        self.used: Counter[tuple[str, str]] = Counter()
        reopen(self)

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
    def stop_error(self) -> TaskError | None:
        """What an attempt fails with that ends because the run is asked to stop; None where it is cancelled."""
        if self.stop is None or self.stop.mode is not StopMode.TIMEOUT:
            return None
        text = f"the run's time limit of {self.created.settings.timeout:g} s has passed"
        return TaskError(kind=ErrorKind.TIMEOUT, message=text)

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
    limited = planned.max_parallel is not None and planned.is_copy
    return (planned.pool, planned.base if limited else None, planned.slots)


def _places(tasks: Iterable[PlannedTask]) -> dict[str, int]:
    """Where each task stands: one after the other, with places between for copies that are not known yet."""
    found, place = {}, 0
    for planned in tasks:
        found[planned.name] = place
        place += PLACES if planned.is_list else 1
    return found


def reopen(state: RunState) -> None:
    """Set up anew what follows from the states of the tasks: for a new run, and for a resumed one."""
    state.open = {name: None for name, task in state.tasks.items() if not task.state.ended}
    state.live, state.judged, state.lanes, state.retrying = {}, {}, {}, []
    state.used = Counter()
    look_up(state, state.gates.all)


def look_up(state: RunState, gates: Iterable[Gate]) -> None:
    """Count how the upstreams of tasks have ended, and judge them."""
    for gate in gates:
        behind = [state.tasks[name] for name in gate.behind]
        gate.count(
            counted(state, gate.waits_for).values(),
            (task.planned for task in behind if task.state is TaskState.PENDING),
        )
        judge(state, gate.behind)


def counted(state: RunState, waits_for: Iterable[str]) -> dict[str, TaskState]:
    """The upstreams that are judged, of those that a task waits for, and their states: not what a list has dropped.

    A list that has become empty is one success by the name of its task, like one that was empty from the beginning.
    """
    found: dict[str, TaskState] = {}
    for name in waits_for:
        if name not in state.dropped:
            found[name] = state.tasks[name].state
        elif not state.copies[base := state.tasks[name].planned.base]:
            found[base] = TaskState.SUCCEEDED
    return found


def judge(state: RunState, names: Iterable[str]) -> None:
    """Note what the plan, or the upstreams by the task's rule, make of pending tasks, once they do."""
    for name in names:
        task = state.tasks[name]
        state.judged.pop(name, None)
        if task.state is TaskState.PENDING:
            verdict = _PLANNED.get(task.planned.action) or state.gates.before[name].verdict(task.planned)
            if verdict is not None:
                state.judged[name] = verdict


def end(state: RunState, name: str, task: TaskRun, at: datetime) -> None:
    """Note that a task has ended, for those that wait for it."""
    task.ended = at
    del state.open[name]
    if name in state.dropped:
        return
    for gate in state.gates.after[name]:
        judge(state, gate.ended(task.state))
