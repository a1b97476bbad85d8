"""What becomes of the state where `for_each` has its list: copies take the place of their task.

Only `evolve` (`state.py`) calls this. Must not decide anything, nor know how copies are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nbflow.core import events as ev
from nbflow.core.runstate import RunState, look_up, shared
from nbflow.core.status import TaskState
from nbflow.core.taskrun import TaskRun


def expand(state: RunState, event: ev.TaskExpanded) -> None:
    """Let copies take the place of their task; those of a list that is made anew stand beside the ones before."""
    base, made = event.task, state.made.setdefault(event.task, [])
    mark, first = (made[-1], made[0]) if made else (base, base)
    pattern, place, below = state.tasks[mark].planned, state.index[first], state.downstream[mark]
    new = [copy for copy in event.copies if copy.name not in state.tasks]
    if not made:
        del state.tasks[base], state.index[base], state.downstream[base], state.open[base]
        state.touched.discard(base)
    for number, copy in enumerate(new, place + len(made)):
        planned = replace(pattern, name=copy.name, slug=copy.slug, item=copy.values)
        state.tasks[copy.name], state.index[copy.name] = TaskRun(planned=planned), number
        state.downstream[copy.name], state.open[copy.name] = below, None
        state.touched.add(copy.name)
    for copy in event.copies:
        if state.tasks[copy.name].state is TaskState.SKIPPED:  # it was in the list no more, and is again
            state.tasks[copy.name].state, state.tasks[copy.name].ended = TaskState.PENDING, None
            state.open[copy.name] = None
            state.touched.add(copy.name)
    made += [copy.name for copy in new]
    state.tasks = dict(sorted(state.tasks.items(), key=lambda one: state.index[one[0]]))
    _connect(state, pattern.waits_for, mark, [copy.name for copy in new], below)
    state.copies[base] = [copy.name for copy in event.copies]
    state.dropped = state.dropped.difference(made) | set(made).difference(state.copies[base])
    state.stale.discard(base)
    look_up(state, (*made, *below))


def _connect(state: RunState, above: Iterable[str], mark: str, new: Sequence[str], below: Iterable[str]) -> None:
    """Put new copies between what their task waits for and what waits for it: in its place, or behind the last one."""

    def grown(names: Sequence[str]) -> tuple[str, ...]:
        if mark not in names:
            return tuple(names)
        at = names.index(mark)
        return (*names[:at], *([mark] if mark in state.tasks else []), *new, *names[at + 1 :])

    longer, behind = shared(grown), shared(lambda names: list(grown(names)))
    for name in above:
        state.downstream[name] = behind(state.downstream[name])
    for name in below:
        planned = state.tasks[name].planned
        state.tasks[name].planned = replace(
            planned, upstream=longer(planned.upstream), waits_for=longer(planned.waits_for)
        )
        state.touched.add(name)


def lists_anew(state: RunState, reset: frozenset[str]) -> set[str]:
    """The tasks of whose list copies run again, and something upstream of them too, so that it may be another list."""
    return {
        base
        for base, made in state.made.items()
        if not reset.isdisjoint(state.copies[base]) and not reset.isdisjoint(_upstream(state, made[0]))
    }


def _upstream(state: RunState, name: str) -> set[str]:
    """Everything that a task waits for, however far."""
    seen: set[str] = set()
    passed: set[int] = set()
    border = [state.tasks[name].planned.waits_for]
    while border:
        if id(names := border.pop()) not in passed:
            passed.add(id(names))  # copies share theirs
            border += [state.tasks[one].planned.waits_for for one in names if one not in seen]
            seen.update(names)
    return seen
