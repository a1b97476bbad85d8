"""The rules of `run_if`, against a table of sentences that is evaluated over every mix of upstream states."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement

import pytest

from nbflow.core.spec import RunIf
from nbflow.core.status import TaskState
from nbflow.core.trigger import EARLY, Tally, judge, stands_against

S, F, U, C, K = "succeeded", "failed", "upstream_failed", "cancelled", "skipped"
ENDED = (S, F, U, C, K)
BAD = {F, U, C}
RUN, SKIP, BLOCK = TaskState.QUEUED, TaskState.SKIPPED, TaskState.UPSTREAM_FAILED


def airflow(rule: str, states: tuple[str, ...]) -> TaskState:
    """What the rule says once all upstreams have ended, sentence by sentence as Airflow's documentation puts it."""
    some, every = set(states), states
    match rule:
        case "all_success":
            return RUN if some == {S} else BLOCK if some & BAD else SKIP
        case "all_failed":
            return RUN if all(one in BAD for one in every) else SKIP
        case "all_done" | "always":
            return RUN
        case "one_success":
            return RUN if S in some else SKIP if some == {K} else BLOCK
        case "one_failed":
            return RUN if some & BAD else SKIP
        case "one_done":
            return RUN if some & {S, F} else SKIP
        case "none_failed":
            return BLOCK if some & BAD else RUN
        case "none_skipped":
            return SKIP if K in some else RUN
        case _:
            raise AssertionError(rule)


def tally(states: tuple[str, ...], waiting: int = 0) -> Tally:
    return Tally.of(Counter(TaskState(one) for one in states), waiting)


MIXES = [mix for size in range(1, 5) for mix in combinations_with_replacement(ENDED, size)]


@pytest.mark.parametrize("rule", list(RunIf))
def test_all_ended(rule: RunIf) -> None:
    assert {mix: judge(rule, tally(mix)) for mix in MIXES} == {mix: airflow(rule.value, mix) for mix in MIXES}


@pytest.mark.parametrize("rule", list(RunIf))
@pytest.mark.parametrize("waiting", [1, 2])
def test_some_still_open(rule: RunIf, waiting: int) -> None:
    """Only the rules of one may run early, and nothing is refused early."""
    early = {"one_success": {S}, "one_failed": BAD, "one_done": {S, F}}.get(rule.value, set())
    for mix in [(), *MIXES]:
        assert judge(rule, tally(mix, waiting)) is (RUN if early & set(mix) else None), mix


@pytest.mark.parametrize("rule", list(RunIf))
def test_no_upstream_always_runs(rule: RunIf) -> None:
    assert judge(rule, tally(())) is RUN


@pytest.mark.parametrize("rule", sorted(EARLY))
def test_an_early_verdict_is_never_taken_back(rule: RunIf) -> None:
    for mix in MIXES:
        verdict = judge(rule, tally(mix, 1))
        if verdict is not None:
            assert all(judge(rule, tally((*mix, last))) is verdict for last in ENDED)


@pytest.mark.parametrize("rule", list(RunIf))
def test_a_refusal_can_name_a_culprit(rule: RunIf) -> None:
    for mix in MIXES:
        named = [one for one in mix if stands_against(rule, TaskState(one))]
        if judge(rule, tally(mix)) is not RUN:
            assert named, mix


def test_what_stands_against_none_skipped_is_only_what_was_skipped() -> None:
    assert {one for one in ENDED if stands_against(RunIf.NONE_SKIPPED, TaskState(one))} == {K}
