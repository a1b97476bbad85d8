"""The fold of events: what it keeps, what follows from it, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nbflow.core import events as ev
from nbflow.core.attempt import CellCounts, ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.messages import StopMode
from nbflow.core.plan import Action
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import InvalidTransition, RunState, evolve, fold, lane_of
from nbflow.core.status import RunStatus, TaskState
from support.build import NOON, RUN, Story, after, created, planned, stamp

OK = Outcome(verdict=Verdict.SUCCEEDED)
BROKEN = TaskError(kind=ErrorKind.EXCEPTION, message="it broke")
FAILED = Outcome(verdict=Verdict.FAILED, error=BROKEN)


def queued(task: str) -> ev.TaskQueued:
    return ev.TaskQueued(task=task, reason="no upstream")


def submitted(task: str, attempt: int = 1) -> ev.AttemptSubmitted:
    return ev.AttemptSubmitted(task=task, attempt=attempt)


def ended(task: str, outcome: Outcome = OK, attempt: int = 1) -> ev.AttemptEnded:
    return ev.AttemptEnded(task=task, attempt=attempt, outcome=outcome)


def run_of(*events: ev.Event, tasks: Any = None) -> RunState:
    """The state after some events of a run of `a` and `b`, which needs it."""
    first = created([planned("a"), planned("b", "a")] if tasks is None else tasks)
    return fold([*stamp([first], seq=1), *stamp(events)])


class TestFold:
    def test_a_history_begins_with_its_creation(self) -> None:
        with pytest.raises(ValueError, match="does not begin"):
            fold(stamp([ev.RunStarted(owner="me")], seq=1))
        with pytest.raises(ValueError, match="empty"):
            fold([])

    def test_a_gap_is_refused(self) -> None:
        state = run_of()
        with pytest.raises(InvalidTransition, match="event 3 follows 1"):
            evolve(state, stamp([ev.RunStarted(owner="me")], seq=3)[0])
        with pytest.raises(InvalidTransition, match="event 1 follows 1"):
            evolve(state, stamp([ev.RunStarted(owner="me")], seq=1)[0])

    def test_the_times_of_a_run(self) -> None:
        state = run_of()
        assert (state.created_at, state.started_at, state.status) == (NOON, None, RunStatus.QUEUED)
        evolve(state, ev.Stamped(run=RUN, seq=2, at=after(1), event=ev.RunStarted(owner="me")))
        evolve(state, ev.Stamped(run=RUN, seq=3, at=after(9), event=ev.RunStarted(owner="another")))
        assert (state.started_at, state.status) == (after(1), RunStatus.RUNNING)

    def test_the_times_of_a_task_and_its_attempts(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1)))
        story.send("start", at=1)
        story.send("started a/1", at=2)
        story.send("failed a/1", at=3)
        story.send("started a/2", at=4)
        story.send("succeeded a/2 rows=3", at=5)
        task = story.state.tasks["a"]
        assert (task.started, task.ended, task.attempt, task.tries) == (after(1), after(5), 2, 2)
        first, second = task.attempts
        assert (first.submitted, first.started, first.ended) == (after(1), after(2), after(3))
        assert (second.submitted, second.started, second.ended) == (after(3), after(4), after(5))
        assert (second.pid, second.host, second.kernel) == (102, "here", "python3")
        assert (task.error, task.outputs) == (None, {"rows": 3})

    def test_cells_are_those_of_the_newest_attempt_that_has_ended(self) -> None:
        counts = CellCounts(total=3, ok=2, failed=1)
        failed = Outcome(verdict=Verdict.FAILED, error=BROKEN, cells=counts)
        retry = ev.RetryScheduled(task="a", attempt=1, due=NOON, reason="again")
        state = run_of(queued("a"), submitted("a"), ended("a", failed), retry, queued("a"), submitted("a", 2))
        assert state.tasks["a"].cells == counts
        assert run_of().tasks["a"].cells == CellCounts()


class TestRefused:
    """Events that cannot happen: a bug, or a store changed by hand."""

    @pytest.mark.parametrize(
        ("events", "message"),
        [
            ([created([])], "created twice"),
            ([submitted("a")], "a: attempt_submitted while pending"),
            ([queued("a"), queued("a")], "a: task_queued while queued"),
            ([queued("a"), submitted("a", 2)], "a: attempt 2 follows 0"),
            ([ended("a")], "a: attempt_ended of attempt 1"),
            ([queued("a"), submitted("a"), ended("a", attempt=2)], "a: attempt_ended of attempt 2"),
            ([queued("a"), submitted("a"), ended("a"), ended("a")], "a: attempt_ended of attempt 1"),
            ([queued("a"), submitted("a"), ev.TaskSucceeded(task="a")], "a: task_succeeded while running"),
            ([queued("a"), submitted("a"), ev.TaskCancelled(task="a", reason="x")], "a: task_cancelled while running"),
            ([ev.TaskSkipped(task="a", reason="x")] * 2, "a: task_skipped while skipped"),
            ([ev.TaskSucceeded(task="a")], "a: task_succeeded while pending"),
            ([ev.RunFinished(state="succeeded")], "run_finished with 2 tasks open"),
            ([ev.RunResumed(tasks=("a",), reason="x"), queued("a"), submitted("a"),
              ev.RunResumed(tasks=("a",), reason="x")], "a: task_reset while running"),
        ],
    )  # fmt: skip
    def test_in_this_state(self, events: list[ev.Event], message: str) -> None:
        with pytest.raises(InvalidTransition, match=message):
            run_of(*events)

    def test_a_success_is_never_reset(self) -> None:
        story = Story(planned("a"), planned("b", "a"))
        story.send("start")
        story.send("succeeded a/1")
        with pytest.raises(InvalidTransition, match="task_reset while succeeded"):
            evolve(story.state, stamp([ev.RunResumed(tasks=("a",), reason="x")], seq=story.state.seq + 1)[0])

    def test_a_run_ends_once(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        story.send("succeeded a/1")
        with pytest.raises(InvalidTransition, match="run_finished"):
            evolve(story.state, stamp([ev.RunFinished(state="succeeded")], seq=story.state.seq + 1)[0])

    def test_not_the_most_urgent_of_a_lane(self) -> None:
        tasks = [planned("a"), planned("b", weight=2)]
        with pytest.raises(InvalidTransition, match="a: attempt_submitted before b"):
            run_of(queued("a"), queued("b"), submitted("a"), tasks=tasks)

    def test_not_the_retry_that_is_due_first(self) -> None:
        story = Story(
            *(planned(name, retry=RetryPolicy(retries=1, delay=delay)) for name, delay in (("a", 9), ("b", 1)))
        )
        story.send("start")
        story.send("failed a/1", "failed b/1")
        with pytest.raises(InvalidTransition, match="a: task_queued before b"):
            evolve(story.state, stamp([queued("a")], seq=story.state.seq + 1)[0])


class TestWhatFollows:
    def test_judged_holds_pending_tasks_whose_rule_has_a_verdict(self) -> None:
        early = planned("early", "a", "b", run_if="one_success")
        tasks = [planned("a"), planned("b"), early, planned("late", "a", "b")]
        state = run_of(queued("a"), queued("b"), submitted("a"), submitted("b"), tasks=tasks)
        assert state.judged == {}
        for stamped in stamp([ended("a"), ev.TaskSucceeded(task="a")], seq=state.seq + 1):
            evolve(state, stamped)
        assert state.judged == {"early": TaskState.QUEUED}

    def test_judged_holds_what_the_plan_settles_from_the_first(self) -> None:
        tasks = [
            planned("a"),
            planned("s", "a", action=Action.SKIP),
            planned("r", "a", action=Action.REUSE, reused_from="old"),
        ]
        assert run_of(tasks=tasks).judged == {
            "a": TaskState.QUEUED,
            "s": TaskState.SKIPPED,
            "r": TaskState.SUCCEEDED,
        }

    def test_slots_are_taken_by_attempts_and_given_back(self) -> None:
        task = planned("a[1]", pool="warehouse", slots=2, max_parallel=3, matrix={"n": 1})
        state = run_of(queued("a[1]"), submitted("a[1]"), tasks=[task])
        assert state.used == {("run", ""): 1, ("base", "a"): 1, ("pool", "warehouse"): 2}
        evolve(state, stamp([ended("a[1]", FAILED)], seq=state.seq + 1)[0])
        assert set(state.used.values()) == {0}
        assert state.live == {}

    def test_lanes(self) -> None:
        assert lane_of(planned("a")) == lane_of(planned("b", max_parallel=1)) == (None, None, 1)
        assert lane_of(planned("a[1]", max_parallel=1, matrix={"n": 1})) == (None, "a", 1)
        assert lane_of(planned("a", pool="p", slots=2)) == ("p", None, 2)

    def test_empty_lanes_are_forgotten(self) -> None:
        assert run_of(queued("a"), submitted("a")).lanes == {}

    def test_the_first_failure_is_remembered(self) -> None:
        story = Story(planned("a"), planned("b"))
        story.send("start")
        story.send("failed b/1")
        story.send("failed a/1")
        assert story.state.failing == "b"

    def test_touched_tells_what_changed_since_it_was_cleared(self) -> None:
        story = Story(planned("a"), planned("b", "a"), planned("c", "b"))
        assert story.state.touched == {"a", "b", "c"}
        story.send("start")
        story.state.touched.clear()
        story.send("succeeded a/1")
        assert story.state.touched == {"a", "b"}


class TestVerdict:
    @pytest.mark.parametrize(
        ("states", "mode", "verdict"),
        [
            ([], None, "succeeded"),
            (["succeeded", "skipped"], None, "succeeded"),
            (["succeeded", "failed"], None, "failed"),
            (["skipped", "upstream_failed"], None, "failed"),
            (["failed", "cancelled"], None, "failed"),
            (["succeeded", "succeeded"], "cancel", "succeeded"),
            (["succeeded", "cancelled"], "cancel", "cancelled"),
            (["failed", "cancelled"], "cancel", "cancelled"),
            (["succeeded", "failed"], "cancel", "failed"),
            (["succeeded", "cancelled"], "interrupt", "interrupted"),
            (["succeeded", "succeeded"], "interrupt", "succeeded"),
            (["succeeded", "cancelled"], "timeout", "failed"),
            (["failed", "cancelled"], "timeout", "failed"),
            (["succeeded", "succeeded"], "timeout", "succeeded"),
        ],
    )
    def test_what_the_tasks_add_up_to(self, states: list[str], mode: str | None, verdict: str) -> None:
        state = run_of(tasks=[planned(f"t{place}") for place in range(len(states))])
        for task, name in zip(state.tasks.values(), states, strict=True):
            task.state = TaskState(name)
        if mode is not None:
            state.stop = ev.CancelRequested(mode=StopMode(mode), by="somebody")
        assert state.verdict == verdict


def resumed(story: Story, *tasks: str, at: float = 0) -> RunState:
    """The state right after a resume, before anything follows from it."""
    event = ev.RunResumed(tasks=tasks, reason="again")
    evolve(story.state, stamp([event], seq=story.state.seq + 1, at=after(at))[0])
    return story.state


class TestResumed:
    def test_a_task_begins_anew_but_keeps_its_history(self) -> None:
        story = Story(planned("a"), planned("b", "a"))
        story.send("start", at=1)
        story.send("failed a/1", at=2)
        task = resumed(story, "a", "b", at=3).tasks["a"]
        assert (task.state, task.tries, task.error, task.ended, task.retry_due) == (
            TaskState.PENDING,
            0,
            None,
            None,
            None,
        )
        assert (task.attempt, task.started) == (1, after(1))
        assert (story.state.ended_at, story.state.failing, story.state.stop) == (None, None, None)
        assert story.state.gates.before["b"].waiting == 1
        assert story.state.limit_from == after(3)

    def test_upstreams_are_counted_anew(self) -> None:
        story = Story(planned("a"), planned("b"), planned("c", "a", "b", run_if="all_done"), jobs=3)
        story.send("start")
        story.send("succeeded a/1")
        story.send("cancel", "stopped b/1")
        gate = resumed(story, "b", "c").gates.before["c"]
        assert (gate.waiting, dict(gate.tally)) == (1, {TaskState.SUCCEEDED: 1})

    def test_entries_that_a_stop_left_behind_are_gone(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1, delay=5)), planned("b"), planned("c"), jobs=1)
        story.send("start")
        story.send("failed a/1")
        story.send("cancel", "stopped b/1")
        state = resumed(story, "a", "b", "c")
        assert (state.lanes, state.retrying) == ({}, [])


def test_time_that_runs_backwards_changes_no_order() -> None:
    """The wall clock may be set back; the sequence decides."""
    story = Story(planned("a"))
    story.send("start", at=10)
    story.now = NOON - timedelta(hours=1)
    assert story.send("succeeded a/1")[-1] == "run_finished succeeded"
