"""The state of one run: what its events add up to, and what `decide` needs to stay linear in tasks and edges.

That is: how many upstreams of a task are still open, which tasks have become worth judging, and queues of tasks that
wait for a slot. All of it follows from the events, and only `evolve` (`state.py`) changes it. Must not decide anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from nbflow.core import events as ev
from nbflow.core.messages import StopMode
from nbflow.core.plan import Action, PlannedTask
from nbflow.core.status import RunStatus, TaskState
from nbflow.core.taskrun import TaskRun
from nbflow.core.trigger import EARLY, Tally, judge
from nbflow.core.values import decode, plain

T = TypeVar("T")

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
    ("base", name) and ("run", "") in task runs. `limit_from` is when the run's time limit began. The lists in
    `downstream` are replaced, never changed: copies share them.

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
        self.downstream: dict[str, list[str]] = {name: [] for name in self.tasks}
        for planned in created.plan.tasks:
            self.copies.setdefault(planned.base, []).append(planned.name)
            for upstream in planned.waits_for:
                self.downstream[upstream].append(planned.name)
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
    look_up(state, state.open)


def look_up(state: RunState, names: Iterable[str]) -> None:
    """Count how the upstreams of tasks have ended, and judge them."""

    def count(waits_for: Iterable[str]) -> Counter[TaskState]:
        return Counter(state.tasks[up].state for up in waits_for if up not in state.dropped)

    counted = shared(count)
    for name in names:
        task = state.tasks[name]
        upstream = counted(task.planned.waits_for)
        task.tally = Counter({one: number for one, number in upstream.items() if one.ended})
        task.waiting = upstream.total() - task.tally.total()
        state.judged.pop(name, None)
        _judge(state, name)


def shared(make: Callable[[Sequence[str]], T]) -> Callable[[Sequence[str]], T]:
    """The same function, called once for each object: copies share what is above and below them, so that lists of
    thousands of tasks that follow one another do not cost millions of steps.
    """
    made: dict[int, tuple[Sequence[str], T]] = {}

    def get(names: Sequence[str]) -> T:
        if id(names) not in made:
            made[id(names)] = names, make(names)  # held, so that no other object gets its id
        return made[id(names)][1]

    return get


def _judge(state: RunState, name: str) -> None:
    """Note what the plan, or the upstreams by the task's rule, make of a pending task, once they do."""
    task = state.tasks[name]
    planned = task.planned
    if task.state is not TaskState.PENDING:
        return
    verdict = _PLANNED.get(planned.action)
    if verdict is None and (task.waiting == 0 or (planned.run_if in EARLY and planned.for_each is None)):
        verdict = judge(planned.run_if, Tally.of(task.tally, task.waiting))
    if verdict is not None:
        state.judged[name] = verdict


def end(state: RunState, name: str, task: TaskRun, at: datetime) -> None:
    """Note that a task has ended, for those that wait for it."""
    task.ended = at
    del state.open[name]
    if name in state.dropped:
        return
    for below in state.downstream[name]:
        other = state.tasks[below]
        other.waiting -= 1
        other.tally[task.state] += 1
        _judge(state, below)
