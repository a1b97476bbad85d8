"""Who gets the next slot: the most urgent that has room."""

from __future__ import annotations

from typing import Any

from nbflow.core.decide import react
from nbflow.core.dispatch import next_task, waits, wanted
from nbflow.core.pools import ALONE, Turns
from nbflow.core.rows import PoolUse
from nbflow.core.spec import RetryPolicy
from support.build import Story, planned
from support.notation import parse_message


def begun(story: Story) -> list[str]:
    """Names in the order in which their first attempts began."""
    return [line.split()[1].removesuffix("/1") for line in story.lines("attempt_submitted")]


def drain(story: Story) -> list[str]:
    """Run to the end, one success after the other in the order of beginning; the names in that order."""
    story.send("start")
    while story.state.live:
        story.send(f"succeeded {next(iter(story.state.live))}/1")
    return begun(story)


def copies(base: str, count: int, **more: Any) -> list[Any]:
    return [planned(f"{base}[{n}]", matrix={"n": n}, **more) for n in range(count)]


def test_the_longest_path_first_then_the_order_of_the_plan() -> None:
    tasks = [planned("a"), planned("b", weight=3), planned("c", weight=2), planned("d", weight=3)]
    assert drain(Story(*tasks, jobs=1)) == ["b", "d", "c", "a"]


def test_jobs_bound_the_attempts_at_once() -> None:
    story = Story(*(planned(name) for name in "abcde"), jobs=3)
    story.send("start")
    assert begun(story) == ["a", "b", "c"]
    story.send("succeeded b/1")
    assert begun(story) == ["a", "b", "c", "d"]
    assert next_task(story.state) is None


def test_max_parallel_of_the_pipeline_bounds_too_and_the_lower_wins() -> None:
    for jobs, limit in ((5, 2), (2, 5)):
        story = Story(*(planned(name) for name in "abcde"), jobs=jobs, max_parallel=limit)
        story.send("start")
        assert len(begun(story)) == 2


def test_max_parallel_of_a_task_bounds_its_copies_and_lets_others_pass() -> None:
    tasks = [*copies("train", 4, max_parallel=2, weight=9), planned("z")]
    story = Story(*tasks, jobs=5)
    story.send("start")
    assert begun(story) == ["train[0]", "train[1]", "z"]
    story.send("failed train[1]/1")
    assert begun(story)[-1] == "train[2]"


def test_copies_of_different_tasks_do_not_share_the_limit() -> None:
    story = Story(*copies("a", 2, max_parallel=1), *copies("b", 2, max_parallel=1), jobs=9)
    story.send("start")
    assert begun(story) == ["a[0]", "b[0]"]


def test_a_pool_is_never_overdrawn_and_what_fits_passes() -> None:
    tasks = [
        planned("big", pool="p", slots=2, weight=3),
        planned("huge", pool="p", slots=3, weight=2),
        planned("small", pool="p"),
        planned("free"),
    ]
    story = Story(*tasks, jobs=9, pools={"p": 3})
    story.send("start")
    assert begun(story) == ["big", "small", "free"]
    story.send("succeeded small/1")
    assert begun(story)[-1] == "free"
    story.send("succeeded big/1")
    assert begun(story)[-1] == "huge"


def test_a_pool_of_one_runs_one_after_the_other() -> None:
    story = Story(*(planned(name, pool="p") for name in "abc"), jobs=9, pools={"p": 1})
    story.send("start")
    for name in "abc":
        assert list(story.state.live) == [name]
        story.send(f"succeeded {name}/1")
    assert story.state.ended_at is not None


def test_a_slot_is_given_back_by_a_failed_attempt_that_is_retried() -> None:
    policy = RetryPolicy(retries=1, delay=100)
    story = Story(planned("a", pool="p", retry=policy), planned("b", pool="p"), jobs=9, pools={"p": 1})
    story.send("start")
    story.send("failed a/1")
    assert list(story.state.live) == ["b"]


def test_nothing_queued_means_nobody() -> None:
    assert next_task(Story(planned("a")).state) is None


OTHERS = Turns(run="me", pools=("db",), others=(PoolUse(run="other", pool="db", held=2),))


def test_slots_that_other_runs_hold_are_not_there() -> None:
    story = Story(planned("a", pool="db"), planned("b", pool="db", slots=2), pools={"db": 3}, jobs=9)
    story.send("tick")
    state = story.state
    react(state, [parse_message("start")], story.now, OTHERS)
    assert state.live == {"a": None}
    assert next_task(state, OTHERS) is None
    assert next_task(state) == "b"


def test_what_is_wanted_is_what_only_its_pool_keeps_back() -> None:
    tasks = [
        planned("a", pool="db"),
        planned("b", pool="db", slots=2, weight=5),
        planned("c", pool="api"),
        planned("d"),
    ]
    story = Story(*tasks, pools={"db": 2, "api": 1}, jobs=9)
    full = Turns(run="me", pools=("db", "api"), others=(PoolUse(run="x", pool="db", held=2),))
    react(story.state, [parse_message("start")], story.now, full)
    assert wanted(story.state) == {"db": 2}, "that of the most urgent"
    crowded = Story(*tasks, pools={"db": 2, "api": 1}, jobs=2)
    react(crowded.state, [parse_message("start")], crowded.now, full)
    assert wanted(crowded.state) == {}, "the run itself has no room for more"


def test_what_queued_tasks_wait_for() -> None:
    tasks = [planned("a", pool="db"), planned("b", pool="db"), planned("c"), planned("d")]
    story = Story(*tasks, pools={"db": 2}, jobs=2)
    react(story.state, [parse_message("start")], story.now, OTHERS)
    assert waits(story.state, OTHERS) == dict.fromkeys("ab", "waits for pool db (2 of 2 taken, by run other)")
    assert waits(story.state, ALONE) == dict.fromkeys("ab", "waits for a slot")
