"""How a task judges the states of its upstreams: the rules of `run_if`, as one pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from nbflow.core.spec import RunIf
from nbflow.core.status import TaskState

EARLY = frozenset({RunIf.ONE_SUCCESS, RunIf.ONE_FAILED, RunIf.ONE_DONE})
"""Rules that may let a task run before all its upstreams have ended."""

_BAD = (TaskState.FAILED, TaskState.UPSTREAM_FAILED, TaskState.CANCELLED)

_AGAINST: Mapping[RunIf, frozenset[TaskState]] = {
    RunIf.ALL_SUCCESS: frozenset({*_BAD, TaskState.SKIPPED}),
    RunIf.ALL_FAILED: frozenset({TaskState.SUCCEEDED, TaskState.SKIPPED}),
    RunIf.ONE_SUCCESS: frozenset({*_BAD, TaskState.SKIPPED}),
    RunIf.ONE_FAILED: frozenset({TaskState.SUCCEEDED, TaskState.SKIPPED}),
    RunIf.ONE_DONE: frozenset({TaskState.UPSTREAM_FAILED, TaskState.CANCELLED, TaskState.SKIPPED}),
    RunIf.NONE_FAILED: frozenset(_BAD),
    RunIf.NONE_SKIPPED: frozenset({TaskState.SKIPPED}),
    RunIf.ALL_DONE: frozenset(),
    RunIf.ALWAYS: frozenset(),
}


def stands_against(rule: RunIf, state: TaskState) -> bool:
    """Whether an upstream in this state is a reason why a task of this rule does not run."""
    return state in _AGAINST[rule]


@dataclass(frozen=True, slots=True)
class Tally:
    """Upstreams by how they ended; `waiting` have not. `bad` failed, were blocked or cancelled."""

    waiting: int
    succeeded: int
    bad: int
    skipped: int
    failed: int

    @classmethod
    def of(cls, states: Mapping[TaskState, int], waiting: int) -> Tally:
        """From a count of the states of those that have ended."""
        return cls(
            waiting,
            states.get(TaskState.SUCCEEDED, 0),
            sum(states.get(state, 0) for state in _BAD),
            states.get(TaskState.SKIPPED, 0),
            states.get(TaskState.FAILED, 0),
        )


def judge(rule: RunIf, tally: Tally) -> TaskState | None:
    """QUEUED where the task may run, SKIPPED or UPSTREAM_FAILED where it will not, None while it is open.

    A task without upstreams always runs. The rules are those of Airflow's trigger rules of the same names, but
    that `always` waits for the upstreams, since `needs` orders, and that a refusal waits for them too.
    """
    all_ended = tally.waiting == 0
    total = tally.waiting + tally.succeeded + tally.bad + tally.skipped
    if total == 0:
        return TaskState.QUEUED
    match rule:
        case RunIf.ONE_SUCCESS | RunIf.ONE_FAILED | RunIf.ONE_DONE:
            return _judge_one(rule, tally, all_ended)
        case _ if not all_ended:
            return None
        case RunIf.ALL_DONE | RunIf.ALWAYS:
            return TaskState.QUEUED
        case RunIf.ALL_SUCCESS:
            return TaskState.QUEUED if tally.succeeded == total else _blocked(tally)
        case RunIf.ALL_FAILED:
            return TaskState.QUEUED if tally.bad == total else TaskState.SKIPPED
        case RunIf.NONE_FAILED:
            return TaskState.UPSTREAM_FAILED if tally.bad else TaskState.QUEUED
        case RunIf.NONE_SKIPPED:
            return TaskState.SKIPPED if tally.skipped else TaskState.QUEUED
        case _:
            assert_never(rule)


def _judge_one(rule: RunIf, tally: Tally, all_ended: bool) -> TaskState | None:
    if rule is RunIf.ONE_FAILED:
        found, otherwise = tally.bad, TaskState.SKIPPED
    elif rule is RunIf.ONE_SUCCESS:
        found, otherwise = tally.succeeded, _blocked(tally)
    else:
        found, otherwise = tally.succeeded + tally.failed, TaskState.SKIPPED
    if found:
        return TaskState.QUEUED
    return otherwise if all_ended else None


def _blocked(tally: Tally) -> TaskState:
    return TaskState.UPSTREAM_FAILED if tally.bad else TaskState.SKIPPED
