"""What becomes of the state where `for_each` has its list: copies take the place of their task.

Only `evolve` (`state.py`) calls this. Must not decide anything, nor know how copies are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from nbflow.core import events as ev
from nbflow.core.gates import Gate, put
from nbflow.core.runstate import RunState, judge, look_up
from nbflow.core.status import TaskState
from nbflow.core.taskrun import TaskRun

T = TypeVar("T")


def expand(state: RunState, event: ev.TaskExpanded) -> None:
    """Let copies take the place of their task; those of a list that is made anew stand beside the ones before."""
    base, made = event.task, state.made.setdefault(event.task, [])
    mark, first = (made[-1], made[0]) if made else (base, base)
    pattern, place = state.tasks[mark].planned, state.index[first]
    new = [copy for copy in event.copies if copy.name not in state.tasks]
    if not made:
        del state.tasks[base], state.index[base], state.open[base]
        state.touched.discard(base)
    for number, copy in enumerate(new, place + len(made)):
        planned = replace(pattern, name=copy.name, slug=copy.slug, item=copy.values)
        state.tasks[copy.name], state.index[copy.name] = TaskRun(planned=planned), number
        state.open[copy.name] = None
        state.touched.add(copy.name)
    for copy in event.copies:
        if state.tasks[copy.name].state is TaskState.SKIPPED:  # it was in the list no more, and is again
            state.tasks[copy.name].state, state.tasks[copy.name].ended = TaskState.PENDING, None
            state.open[copy.name] = None
            state.touched.add(copy.name)
    state.tasks = dict(sorted(state.tasks.items(), key=lambda one: state.index[one[0]]))
    names = [copy.name for copy in new]
    after = state.gates.replace(mark, names, keep=mark in state.tasks)
    _tell(state, after, mark, names)
    made += names
    state.copies[base] = [copy.name for copy in event.copies]
    state.dropped = state.dropped.difference(made) | set(made).difference(state.copies[base])
    state.stale.discard(base)
    judge(state, made)
    look_up(state, after)


def _tell(state: RunState, gates: Iterable[Gate], mark: str, new: Sequence[str]) -> None:
    """Have the tasks that wait for a list know its new copies."""
    keep = mark in state.tasks
    longer = shared(lambda names: put(names, mark, new, keep=keep))
    for gate in gates:
        for name in gate.behind:
            planned = state.tasks[name].planned
            state.tasks[name].planned = replace(planned, upstream=longer(planned.upstream), waits_for=gate.waits_for)
            state.touched.add(name)


def shared(make: Callable[[T], T]) -> Callable[[T], T]:
    """The same function, called once for each object: copies share what they know of their upstreams, so that lists of
    thousands of tasks that follow one another do not cost millions of steps.
    """
    made: dict[int, tuple[T, T]] = {}

    def get(known: T) -> T:
        if id(known) not in made:
            made[id(known)] = known, make(known)  # held, so that no other object gets its id
        return made[id(known)][1]

    return get


def lists_anew(state: RunState, reset: frozenset[str]) -> set[str]:
    """The tasks of whose list copies run again, and something upstream of them too, so that it may be another list."""
    if not state.made:
        return set()
    moved: dict[int, bool] = {}
    below: set[str] = set()
    for name in state.tasks:  # upstreams come first
        gate = state.gates.before[name]
        if id(gate) not in moved:
            moved[id(gate)] = any(up in reset or up in below for up in gate.waits_for)
        if moved[id(gate)]:
            below.add(name)
    return {base for base, made in state.made.items() if made[0] in below and not reset.isdisjoint(state.copies[base])}
