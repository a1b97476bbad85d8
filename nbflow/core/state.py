"""`evolve`, the only code that changes the state of a run, and `fold`: a run is what its events add up to.

Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, assert_never

from nbflow.core import events as ev
from nbflow.core.expansion import expand, lists_anew
from nbflow.core.plan import PlannedTask
from nbflow.core.runstate import InvalidTransition, RunState, end, lane_of, reopen
from nbflow.core.status import TRANSITIONS, TaskState
from nbflow.core.taskrun import Attempt, TaskRun

__all__ = ["Attempt", "InvalidTransition", "RunState", "TaskRun", "evolve", "fold", "lane_of"]

EVENT_SIZE = 200
"""Characters that an event takes besides its text, about."""


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
            _finished(state, stamped.at)
        case ev.AttemptStarted() | ev.CellOutput() | ev.AttemptEnded():
            _attempt(state, event, stamped.at)
        case ev.CellStarted() | ev.CellEnded() | ev.KillRequested():
            pass
        case ev.TaskExpanded():
            _expanded(state, event, stamped.at)
        case _:
            _task(state, event, stamped.at)


def _finished(state: RunState, at: datetime) -> None:
    if state.open or state.ended_at is not None:
        raise InvalidTransition(f"{state.run}: run_finished with {len(state.open)} tasks open")
    state.ended_at = at


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
        end(state, event.task, task, at)


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


def _expanded(state: RunState, event: ev.TaskExpanded, at: datetime) -> None:
    task = state.tasks.get(event.task)
    if task is not None:
        _move(state, event.task, task, ev.type_of(event))
        task.reason = event.reason
        if not event.copies:
            end(state, event.task, task, at)
            return
    elif event.task not in state.stale:
        raise InvalidTransition(f"{state.run}/{event.task} has its copies already")
    expand(state, event)


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


def _resumed(state: RunState, event: ev.RunResumed) -> None:
    for name in event.tasks:
        task = state.tasks[name]
        _move(state, name, task, "task_reset")
        task.tries, task.error, task.ended, task.retry_due = 0, None, None, None
        task.reason = event.reason
        state.touched.add(name)
    state.stop, state.ended_at, state.failing = None, None, None
    state.stale |= lists_anew(state, frozenset(event.tasks))
    reopen(state)
