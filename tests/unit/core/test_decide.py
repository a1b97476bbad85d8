"""What follows from messages: order, retries, stops, resumes, and which reports count."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import CellState, ErrorKind, Outcome, Verdict
from nbflow.core.decide import JITTER, LONGEST_DELAY, MOST_TOLD, next_wakeup, retry_delay
from nbflow.core.plan import Action
from nbflow.core.spec import Backoff, RetryPolicy
from support.build import Story, after, planned

ONCE = RetryPolicy(retries=1, delay=10.0)


def chain(*names: str) -> list[str]:
    return [f"attempt_submitted {name}/1" for name in names]


class TestOrder:
    def test_nothing_begins_before_start(self) -> None:
        story = Story(planned("a"))
        assert story.send("tick") == []
        assert story.send("start") == ["run_started", "task_queued a", "attempt_submitted a/1"]

    def test_a_task_waits_for_all_that_it_needs(self) -> None:
        story = Story(planned("a"), planned("b"), planned("c", "a", "b"))
        story.send("start")
        assert story.send("succeeded a/1") == ["attempt_ended a/1 succeeded", "task_succeeded a"]
        assert story.send("succeeded b/1")[-2:] == ["task_queued c", "attempt_submitted c/1"]
        assert story.send("succeeded c/1")[-1] == "run_finished succeeded"

    def test_an_empty_run_succeeds_at_once(self) -> None:
        assert Story().send("start") == ["run_started", "run_finished succeeded"]

    def test_a_failure_blocks_what_is_downstream_and_nothing_else(self) -> None:
        story = Story(planned("a"), planned("b", "a"), planned("c", "b"), planned("d"))
        story.send("start")
        assert story.send("failed a/1") == [
            "attempt_ended a/1 failed exception",
            "task_failed a: failed: exception (it broke)",
            "task_blocked b: a failed",
            "task_blocked c: b could not run",
        ]
        assert story.send("succeeded d/1")[-1] == "run_finished failed"

    def test_a_rule_of_one_does_not_wait_for_the_others(self) -> None:
        story = Story(planned("a"), planned("b"), planned("alarm", "a", "b", run_if="one_failed"), jobs=3)
        story.send("start")
        assert story.send("failed a/1")[-2:] == ["task_queued alarm", "attempt_submitted alarm/1"]
        assert story.send("failed b/1") == [
            "attempt_ended b/1 failed exception",
            "task_failed b: failed: exception (it broke)",
        ]

    def test_a_skip_names_its_rule_and_the_upstreams_that_stand_against_it(self) -> None:
        story = Story(*(planned(name) for name in "abcd"), planned("alarm", *"abcd", run_if="one_failed"), jobs=4)
        story.send("start")
        lines = story.send(*(f"succeeded {name}/1" for name in "abcd"))
        assert "task_skipped alarm: a succeeded, b succeeded, c succeeded and 1 more (one_failed)" in lines
        assert lines[-1] == "run_finished succeeded"

    def test_a_message_after_the_end_says_nothing(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        story.send("succeeded a/1")
        assert story.send("start", "cancel", "cancel force", "failed a/1", "tick", "resume") == []


class TestPlanned:
    """Tasks that the plan leaves out or reuses are settled at once, whatever happens."""

    skip = planned("z", "a", action=Action.SKIP, reason="not selected")
    reuse = planned("r", "a", action=Action.REUSE, reason="read", reused_from="old-run", outputs={"rows": 3})

    def test_they_wait_for_nobody(self) -> None:
        story = Story(planned("a"), self.skip, self.reuse)
        assert story.send("start")[1:] == [
            "task_skipped z: not selected",
            "task_reused r from old-run",
            "task_queued a",
            "attempt_submitted a/1",
        ]
        assert story.state.tasks["r"].outputs == {"rows": 3}

    def test_a_stop_does_not_cancel_them(self) -> None:
        story = Story(planned("a"), self.skip, self.reuse)
        story.send("start", "cancel")
        assert story.states() == {"a": "cancelled", "z": "skipped", "r": "succeeded"}

    def test_a_stop_that_comes_too_late_leaves_a_success(self) -> None:
        story = Story(planned("a"), self.skip)
        story.send("start")
        story.send("cancel")
        assert story.send("succeeded a/1")[-1] == "run_finished succeeded"

    def test_a_resume_leaves_them_alone(self) -> None:
        story = Story(planned("a"), self.skip, self.reuse)
        story.send("start", "cancel")
        assert story.send("resume", "start")[0] == "run_resumed a"


class TestRetry:
    def test_the_next_attempt_waits_for_its_time_and_not_longer(self) -> None:
        story = Story(planned("a", retry=ONCE))
        story.send("start")
        assert story.send("failed a/1 timeout", at=1) == [
            "attempt_ended a/1 failed timeout",
            "retry_scheduled a/1 in 10.5 s: attempt 1 failed (timeout); retry 1 of 1",
        ]
        due = story.state.tasks["a"].retry_due
        assert due is not None
        assert next_wakeup(story.state) == due
        story.now = due - timedelta(microseconds=1)
        assert story.send("tick") == []
        story.now = due
        assert story.send("tick") == ["task_queued a", "attempt_submitted a/2"]
        assert next_wakeup(story.state) is None
        assert story.send("failed a/2")[-2:] == [
            "task_failed a: failed after 2 attempts: exception (it broke)",
            "run_finished failed",
        ]

    def test_parameters_are_those_of_the_first_attempt(self) -> None:
        story = Story(planned("a", retry=ONCE, accepts=("day",)), params={"day": 3})
        assert "task_queued a day=3" in story.send("start")
        story.send("failed a/1")
        assert "task_queued a day=3" in story.send("tick", at=60)

    def test_several_that_are_due_come_together_earliest_first(self) -> None:
        tasks = [planned(name, retry=RetryPolicy(retries=1, delay=delay)) for name, delay in (("a", 30), ("b", 1))]
        story = Story(*tasks)
        story.send("start")
        story.send("failed a/1", "failed b/1")
        assert story.send("tick", at=60) == [
            "task_queued b",
            "task_queued a",
            "attempt_submitted a/2",
            "attempt_submitted b/2",
        ]

    def test_no_delay_means_at_once(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1)))
        story.send("start")
        assert story.send("failed a/1")[-2:] == ["task_queued a", "attempt_submitted a/2"]

    def test_a_retry_waits_for_a_slot_like_everybody(self) -> None:
        story = Story(planned("a", retry=ONCE), planned("b"), jobs=1)
        story.send("start")
        assert story.send("failed a/1", at=1)[-1] == "attempt_submitted b/1"
        assert story.send("tick", at=60) == ["task_queued a"]
        assert story.send("succeeded b/1")[-1] == "attempt_submitted a/2"

    @pytest.mark.parametrize(
        ("on", "failure", "again"),
        [
            ((), "exception:ValueError", True),
            (("timeout",), "timeout", True),
            (("timeout",), "exception:ValueError", False),
            (("exception",), "exception:ValueError", True),
            (("exception:ValueError",), "exception:ValueError", True),
            (("exception:ValueError",), "exception:KeyError", False),
            (("exception:ValueError",), "exception", False),
            (("exception:requests.exceptions.Timeout",), "exception:Timeout", True),
            (("exception:requests.exceptions.Timeout",), "exception:exceptions", False),
            (("timeout:x",), "exception:x", False),
            (("kernel_died", "lost"), "lost", True),
        ],
    )
    def test_retry_on(self, on: tuple[str, ...], failure: str, again: bool) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1, delay=1, on=on)))
        story.send("start")
        kind = failure.partition(":")[0]
        spared = f"task_failed a: failed: {kind}, which retry_on does not name (it broke)"
        settled = story.send(f"failed a/1 {failure}")[1]
        assert settled.startswith("retry_scheduled") if again else settled == spared

    def test_a_lost_attempt_is_a_failure_of_kind_lost(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1, delay=1, on=("lost",))))
        story.send("start")
        assert story.send("lost a/1")[0] == "attempt_ended a/1 failed lost"
        story.send("tick", at=60)
        assert story.send("lost a/2")[1] == "task_failed a: failed after 2 attempts: lost (the worker is gone)"

    def test_a_failure_without_an_error_still_has_one(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        story.send(msg.Finished(task="a", attempt=1, outcome=Outcome(verdict=Verdict.FAILED)))
        error = story.state.tasks["a"].error
        assert error is not None
        assert error.kind is ErrorKind.LOST


class TestDelay:
    policies = st.builds(
        RetryPolicy,
        retries=st.integers(0, 100),
        delay=st.floats(0, 1e6),
        backoff=st.sampled_from(Backoff),
    )

    @given(policies, st.integers(1, 10_000), st.text(max_size=8))
    def test_never_sooner_than_asked_and_bounded(self, policy: RetryPolicy, tries: int, attempt: str) -> None:
        delay = retry_delay(policy, tries, attempt)
        longest = policy.delay if policy.backoff is Backoff.CONSTANT else max(policy.delay, LONGEST_DELAY)
        assert policy.delay <= delay <= longest * (1 + JITTER)
        assert delay == retry_delay(policy, tries, attempt)

    def test_exponential_doubles(self) -> None:
        policy = RetryPolicy(delay=10.0, backoff=Backoff.EXPONENTIAL)
        plain = [retry_delay(policy, tries, "a") for tries in (1, 2, 3, 4)]
        assert [delay / plain[0] for delay in plain] == pytest.approx([1, 2, 4, 8])

    def test_constant_does_not_grow(self) -> None:
        assert len({retry_delay(RetryPolicy(delay=10.0), tries, "a") for tries in range(1, 9)}) == 1

    def test_jitter_spreads_attempts(self) -> None:
        delays = {retry_delay(RetryPolicy(delay=100.0), 1, f"run/task/{number}") for number in range(50)}
        assert len(delays) == 50
        assert max(delays) - min(delays) > 15


class TestReports:
    def test_start_and_cells(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        assert story.send("started a/1", "cell a/1 1", "celldone a/1 1 ok") == [
            "attempt_started a/1",
            "cell_started a/1 1",
            "cell_ended a/1 1 ok",
        ]
        ended = story.history[-1].event
        assert isinstance(ended, ev.CellEnded)
        assert (ended.state, ended.duration) == (CellState.OK, 0.5)

    def test_what_a_cell_says_is_passed_on(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        said = story.send("started a/1", "cell a/1 1", "said a/1 1 half", "said a/1 1 done", "celldone a/1 1 ok")
        assert said[2:4] == ['cell_output a/1 1 "half"', 'cell_output a/1 1 "done"']
        assert story.states() == {"a": "running"}

    def test_a_history_keeps_only_so_much_of_what_an_attempt_says(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1)))
        story.send("start", "started a/1")
        text = "x" * 2_000
        kept = [story.send(f"said a/1 1 {text}") for _ in range(MOST_TOLD // len(text) + 100)]
        size = sum(len(one[0]) for one in kept if one)
        assert MOST_TOLD * 0.9 < size < MOST_TOLD * 1.1
        assert kept[-1] == []
        assert story.send("celldone a/1 1 ok") == ["cell_ended a/1 1 ok"]
        story.send("failed a/1")
        assert story.send(f"said a/2 1 {text}") != [], "each attempt is counted by itself"
        assert story.send(f"said a/1 1 {text}") == [], "it is over"

    def test_a_doubled_start_counts_once(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        story.send("started a/1", at=1)
        assert story.send("started a/1", at=2) == []
        assert story.state.tasks["a"].attempts[0].started == after(1)

    @pytest.mark.parametrize("late", ["succeeded", "failed", "stopped", "lost", "started", "cell", "said"])
    def test_reports_of_an_old_attempt_are_ignored(self, late: str) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1)))
        story.send("start")
        story.send("failed a/1")
        assert story.send(f"{late} a/1" + (" 1" if late in ("cell", "said") else "")) == []
        assert story.states() == {"a": "running"}

    def test_a_doubled_end_counts_once_even_in_one_batch(self) -> None:
        story = Story(planned("a"), planned("b", "a"))
        story.send("start")
        assert story.send("succeeded a/1", "failed a/1", "succeeded a/1") == [
            "attempt_ended a/1 succeeded",
            "task_succeeded a",
            "task_queued b",
            "attempt_submitted b/1",
        ]

    @pytest.mark.parametrize("foreign", ["succeeded nobody/1", "succeeded a/7", "succeeded b/1", "succeeded a/0"])
    def test_reports_of_what_does_not_run_are_ignored(self, foreign: str) -> None:
        story = Story(planned("a"), planned("b", "a"))
        story.send("start")
        assert story.send(foreign) == []

    def test_a_worker_that_was_stopped_from_outside_is_lost(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        assert story.send("stopped a/1")[:2] == [
            "attempt_ended a/1 failed lost",
            "task_failed a: failed: lost (the worker was stopped from outside of nbflow)",
        ]


class TestStop:
    def story(self) -> Story:
        story = Story(planned("a"), planned("b", "a"), planned("c", retry=ONCE), planned("d"))
        story.send("start", at=0)
        return story

    @pytest.mark.parametrize(("order", "state"), [("cancel", "cancelled"), ("interrupt", "interrupted")])
    def test_what_runs_is_told_to_end_and_the_rest_is_cancelled(self, order: str, state: str) -> None:
        story = self.story()
        assert story.send(order) == [
            f"cancel_requested {order}",
            "kill_requested a/1",
            "kill_requested c/1",
            f"task_cancelled b: {state} by somebody",
            f"task_cancelled d: {state} by somebody",
        ]
        assert story.send("stopped a/1") == ["attempt_ended a/1 cancelled", f"task_cancelled a: {state} by somebody"]
        assert story.send("stopped c/1")[-1] == f"run_finished {state}"
        assert story.state.status == state

    def test_no_retry_after_a_stop(self) -> None:
        story = self.story()
        story.send("cancel")
        assert story.send("failed c/1")[-1] == "task_failed c: failed: exception (it broke)"

    def test_a_task_that_waits_for_its_retry_is_cancelled_and_wakes_nobody(self) -> None:
        story = self.story()
        story.send("failed c/1")
        assert "task_cancelled c: cancelled by somebody" in story.send("cancel")
        assert next_wakeup(story.state) is None

    def test_the_second_order_forces_and_the_third_says_nothing(self) -> None:
        story = self.story()
        story.send("interrupt")
        assert story.send("interrupt") == []
        assert story.send("interrupt force") == [
            "cancel_requested interrupt force",
            "kill_requested a/1 force",
            "kill_requested c/1 force",
        ]
        assert story.send("interrupt force") == []

    def test_the_first_mode_stays(self) -> None:
        story = self.story()
        story.send("cancel")
        assert story.send("interrupt force")[0] == "cancel_requested cancel force"
        story.send("stopped a/1", "stopped c/1")
        assert story.state.status == "cancelled"

    def test_forced_from_the_first(self) -> None:
        story = self.story()
        assert story.send("cancel force")[1] == "kill_requested a/1 force"
        assert story.send("cancel") == []

    def test_before_anything_began(self) -> None:
        story = Story(planned("a"))
        assert story.send("cancel") == ["cancel_requested cancel"]
        assert story.send("start") == [
            "run_started",
            "task_cancelled a: cancelled by somebody",
            "run_finished cancelled",
        ]

    def test_all_that_was_left_failed_by_itself(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        story.send("cancel")
        assert story.send("failed a/1")[-1] == "run_finished failed"


class TestFailFast:
    def test_what_runs_may_end_and_nothing_new_begins(self) -> None:
        story = Story(planned("a"), planned("b", retry=ONCE), planned("c"), planned("d", "b"), fail_fast=True)
        story.send("start")
        assert story.send("failed a/1")[1:] == [
            "task_failed a: failed: exception (it broke)",
            "task_cancelled c: fail-fast: 'a' failed",
            "task_cancelled d: fail-fast: 'a' failed",
        ]
        assert story.send("failed b/1")[-2:] == ["task_failed b: failed: exception (it broke)", "run_finished failed"]

    def test_a_failure_that_is_retried_is_none_yet(self) -> None:
        story = Story(planned("a", retry=ONCE), planned("b"), fail_fast=True, jobs=1)
        story.send("start")
        assert story.send("failed a/1")[-1] == "attempt_submitted b/1"
        story.send("tick", at=60)
        assert story.send("succeeded b/1")[-1] == "attempt_submitted a/2"

    def test_a_task_whose_parameters_have_no_value_fails_fast_too(self) -> None:
        bad = {"n": "{{ params.nobody }}"}
        story = Story(planned("a", params=bad), planned("b"), planned("c", params=bad), fail_fast=True)
        assert story.send("start")[2:] == [
            "task_cancelled b: fail-fast: 'a' failed",
            "task_cancelled c: fail-fast: 'a' failed",
            "run_finished failed",
        ]

    def test_a_stop_during_it_says_how_the_run_ended(self) -> None:
        story = Story(planned("a"), planned("b"), planned("c"), fail_fast=True)
        story.send("start")
        story.send("failed a/1")
        assert story.send("interrupt") == ["cancel_requested interrupt", "kill_requested b/1"]
        assert story.send("stopped b/1")[-1] == "run_finished interrupted"


class TestTimeLimit:
    def test_what_runs_fails_by_timeout_and_the_rest_is_cancelled(self) -> None:
        story = Story(planned("a", retry=ONCE), planned("b", "a"), timeout=60.0)
        story.send("start", at=5)
        assert next_wakeup(story.state) == after(65)
        assert story.send("tick", at=64.9) == []
        assert story.send("tick", at=65) == [
            "cancel_requested timeout",
            "kill_requested a/1",
            "task_cancelled b: the run's time limit has passed",
        ]
        assert next_wakeup(story.state) is None
        assert story.send("stopped a/1") == [
            "attempt_ended a/1 failed timeout",
            "task_failed a: failed: timeout (the run's time limit of 60 s has passed)",
            "run_finished failed",
        ]

    def test_an_end_that_comes_in_the_same_moment_counts(self) -> None:
        story = Story(planned("a"), timeout=60.0)
        story.send("start", at=0)
        assert story.send("succeeded a/1", at=60)[-1] == "run_finished succeeded"

    def test_it_passes_while_a_retry_waits(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1, delay=1000)), timeout=60.0)
        story.send("start", at=0)
        story.send("failed a/1", at=1)
        assert next_wakeup(story.state) == after(60)
        assert story.send("tick", at=60)[-1] == "run_finished failed"

    def test_a_resumed_run_has_its_whole_time_again(self) -> None:
        story = Story(planned("a"), timeout=60.0)
        story.send("start", at=0)
        story.send("tick", at=60)
        story.send("stopped a/1", at=61)
        assert story.send("resume", "start", at=1000)[-1] == "attempt_submitted a/2"
        assert next_wakeup(story.state) == after(1060)
        assert story.send("succeeded a/2", at=1059)[-1] == "run_finished succeeded"

    def test_a_new_engine_does_not_begin_it_anew(self) -> None:
        story = Story(planned("a"), timeout=60.0)
        story.send("start", at=0)
        story.send("start", at=30)
        assert next_wakeup(story.state) == after(60)


class TestResume:
    def test_everything_that_did_not_succeed_is_pending_again(self) -> None:
        story = Story(planned("a"), planned("b"), planned("c", "b"), planned("d", "a", run_if="one_failed"))
        story.send("start")
        story.send("succeeded a/1", "failed b/1")
        assert story.states() == {"a": "succeeded", "b": "failed", "c": "upstream_failed", "d": "skipped"}
        assert story.send("resume", "start") == [
            "run_resumed b c d",
            "run_started",
            "task_queued b",
            "task_skipped d: a succeeded (one_failed)",
            "attempt_submitted b/2",
        ]
        assert story.send("succeeded b/2")[-2:] == ["task_queued c", "attempt_submitted c/1"]
        assert story.send("succeeded c/1")[-1] == "run_finished succeeded"

    def test_retries_begin_anew_and_numbers_go_on(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1)))
        story.send("start")
        story.send("failed a/1")
        story.send("failed a/2")
        assert story.send("resume", "start")[-1] == "attempt_submitted a/3"
        assert story.send("failed a/3")[-1] == "attempt_submitted a/4"
        assert story.send("failed a/4")[-1] == "run_finished failed"

    def test_a_stop_is_forgotten(self) -> None:
        story = Story(planned("a"), planned("b"), jobs=1)
        story.send("start")
        story.send("cancel", "stopped a/1")
        story.send("resume", "start")
        assert story.send("succeeded a/2")[-1] == "attempt_submitted b/1"

    def test_fail_fast_is_judged_anew(self) -> None:
        story = Story(planned("a"), planned("b"), fail_fast=True, jobs=1)
        story.send("start")
        story.send("failed a/1")
        story.send("resume", "start")
        assert story.send("succeeded a/2")[-1] == "attempt_submitted b/1"

    def test_not_while_something_runs(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        assert story.send("resume") == []

    def test_after_a_crash_what_was_lost_is_tried_without_the_delay(self) -> None:
        story = Story(planned("a", retry=RetryPolicy(retries=1, delay=1000)))
        story.send("start")
        assert story.send("lost a/1", "resume", "start")[-1] == "attempt_submitted a/2"

    def test_nothing_to_do(self) -> None:
        story = Story(planned("a"))
        story.send("start")
        story.send("succeeded a/1")
        assert story.send("resume", "start") == []
