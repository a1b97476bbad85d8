"""Which queued task gets a slot next, and what waits for a pool alone. Pure; sees the state, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from nbflow.core.pools import ALONE, Turns
from nbflow.core.state import RunState
from nbflow.core.status import TaskState


def next_task(state: RunState, turns: Turns = ALONE) -> str | None:
    """The most urgent queued task for which there is room, or None.

    Urgent is what has the longest path of tasks behind it; among equals, the order of the plan. Room is: the
    run's `jobs` and `max_parallel`, the task's own `max_parallel`, and the slots of its pool that other runs leave.
    """
    if not _may_begin_more(state):
        return None
    heads = [head for head in _heads(state) if _fits(state, head[2], turns)]
    return min(heads)[2] if heads else None


def wanted(state: RunState) -> dict[str, int]:
    """Pool -> slots that its most urgent task would take now, were they free; without pools that nothing waits for."""
    if not _may_begin_more(state):
        return {}
    heads: dict[str, tuple[float, int, str]] = {}
    for head in _heads(state):
        task = state.tasks[head[2]]
        if (pool := task.planned.pool) is not None and task.state is TaskState.QUEUED:
            heads[pool] = min(heads.get(pool, head), head)
    return {pool: state.tasks[head[2]].planned.slots for pool, head in heads.items()}


def waits(state: RunState, turns: Turns) -> dict[str, str]:
    """What each queued task waits for, in words."""
    return {name: _wait(state, name, turns) for name, task in state.tasks.items() if task.state is TaskState.QUEUED}


def _wait(state: RunState, name: str, turns: Turns) -> str:
    pool = state.tasks[name].planned.pool
    if pool is None or _fits(state, name, turns):
        return "waits for a slot"
    return turns.reason(pool, state.created.settings.pools[pool], state.used["pool", pool])


def _may_begin_more(state: RunState) -> bool:
    settings = state.created.settings
    room = settings.jobs if settings.max_parallel is None else min(settings.jobs, settings.max_parallel)
    return state.used["run", ""] < room


def _heads(state: RunState) -> Iterator[tuple[float, int, str]]:
    """The first of each lane, where the task's own limit lets it begin."""
    for queue in state.lanes.values():
        if queue:
            planned = state.tasks[queue[0][2]].planned
            if planned.max_parallel is None or state.used["base", planned.base] < planned.max_parallel:
                yield queue[0]


def _fits(state: RunState, name: str, turns: Turns) -> bool:
    planned = state.tasks[name].planned
    if planned.pool is None:
        return True
    room = turns.room(planned.pool, state.created.settings.pools[planned.pool])
    return state.used["pool", planned.pool] + planned.slots <= room
