"""Which queued task gets a slot next. Pure; sees the state, changes nothing."""

from __future__ import annotations

from nbflow.core.state import RunState


def next_task(state: RunState) -> str | None:
    """The most urgent queued task for which there is room, or None.

    Urgent is what has the longest path of tasks behind it; among equals, the order of the plan. Room is: the
    run's `jobs` and `max_parallel`, the task's own `max_parallel`, and the slots of its pool.
    """
    settings = state.created.settings
    room = settings.jobs if settings.max_parallel is None else min(settings.jobs, settings.max_parallel)
    if state.used["run", ""] >= room:
        return None
    heads = [queue[0] for queue in state.lanes.values() if queue and _has_room(state, queue[0][2])]
    return min(heads)[2] if heads else None


def _has_room(state: RunState, name: str) -> bool:
    planned = state.tasks[name].planned
    if planned.max_parallel is not None and state.used["base", planned.base] >= planned.max_parallel:
        return False
    if planned.pool is None:
        return True
    return state.used["pool", planned.pool] + planned.slots <= state.created.settings.pools[planned.pool]
