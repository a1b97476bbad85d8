"""States: the table of transitions is complete and leads nowhere it should not."""

from __future__ import annotations

from dataclasses import fields

from nbflow.core import events as ev
from nbflow.core.status import ENDED, TRANSITIONS, TaskState

NOT_OF_THE_STATE = {"attempt_started", "attempt_ended", "cell_started", "cell_output", "cell_ended", "kill_requested"}
"""Events of a task that say something of an attempt, but do not change the task's state."""


def test_every_event_of_a_task_is_in_the_table_or_leaves_the_state_alone() -> None:
    of_tasks = {kind for kind, cls in ev.TYPES.items() if "task" in {field.name for field in fields(cls)}}
    assert of_tasks == (TRANSITIONS.keys() - {"task_reset"}) | NOT_OF_THE_STATE


def test_every_state_is_reached_from_pending() -> None:
    reached, before = {TaskState.PENDING}, set[TaskState]()
    while reached != before:
        before = set(reached)
        reached |= {target for sources, target in TRANSITIONS.values() if sources & before}
    assert reached == set(TaskState)


def test_from_every_open_state_a_task_can_end_and_be_cancelled() -> None:
    cancellable, _ = TRANSITIONS["task_cancelled"]
    assert cancellable == set(TaskState) - ENDED


def test_what_has_ended_only_comes_back_by_a_resume_and_success_never() -> None:
    leaving = {kind for kind, (sources, _) in TRANSITIONS.items() if sources & ENDED}
    assert leaving == {"task_reset"}
    assert TaskState.SUCCEEDED not in TRANSITIONS["task_reset"][0]
    assert TaskState.RUNNING not in TRANSITIONS["task_reset"][0]


def test_an_attempt_begins_only_from_the_queue() -> None:
    assert TRANSITIONS["attempt_submitted"] == (frozenset({TaskState.QUEUED}), TaskState.RUNNING)


def test_ended_says_what_the_set_says() -> None:
    assert {state for state in TaskState if state.ended} == ENDED
