"""Gates: what is waited for, counted once for all that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nbflow.core.gates import Gates, put
from nbflow.core.plan import PlannedTask
from nbflow.core.spec import RunIf
from nbflow.core.state import RunState, fold
from nbflow.core.status import TaskState
from support.build import Story, planned
from support.counting import calls_of

DONE, BAD = TaskState.SUCCEEDED, TaskState.FAILED


def test_tasks_that_wait_for_the_same_share_a_gate() -> None:
    gates = Gates.of([planned("a"), planned("b"), planned("c", "a", "b"), planned("d", "a", "b"), planned("e", "d")])
    assert gates.before["c"] is gates.before["d"]
    assert [list(gate.behind) for gate in gates.all] == [["a", "b"], ["c", "d"], ["e"]]
    assert gates.after == {
        "a": [gates.before["c"]],
        "b": [gates.before["c"]],
        "c": [],
        "d": [gates.before["e"]],
        "e": [],
    }


def test_it_opens_when_all_have_ended() -> None:
    tasks = [planned("c", "a", "b"), planned("d", "a", "b", run_if="all_done")]
    gate = Gates.of([planned("a"), planned("b"), *tasks]).before["c"]
    gate.count([TaskState.RUNNING, TaskState.PENDING], tasks)
    assert (gate.waiting, gate.verdict(tasks[0])) == (2, None)
    assert gate.ended(BAD) == []
    assert gate.ended(DONE) == ["c", "d"]
    assert [gate.verdict(task) for task in tasks] == [TaskState.UPSTREAM_FAILED, TaskState.QUEUED]


def test_some_are_let_through_early_and_once() -> None:
    tasks = [planned("c", "a", "b", "o"), planned("d", "a", "b", "o", run_if="one_failed")]
    tasks.append(planned("e", "a", "b", "o", run_if="one_failed", for_each=["x"]))
    gate = Gates.of([planned("a"), planned("b"), planned("o"), *tasks]).before["c"]
    gate.count([TaskState.RUNNING] * 3, tasks)
    assert gate.ended(DONE) == []
    assert gate.ended(BAD) == ["d"]
    assert [gate.verdict(task) for task in tasks] == [None, TaskState.QUEUED, None]
    gate.count([DONE, BAD, TaskState.RUNNING], tasks[:1])
    assert gate.early == {}
    assert gate.ended(DONE) == ["c", "d", "e"]


def test_others_take_the_place_of_one() -> None:
    gates = Gates.of([planned("a"), planned("b", "a"), planned("c", "a", "b")])
    assert gates.replace("b", ["b[1]", "b[2]"], keep=False) == [gates.before["c"]]
    assert (gates.before["c"].waits_for, list(gates.before["b[1]"].behind)) == (("a", "b[1]", "b[2]"), ["b[1]", "b[2]"])
    gates.replace("b[2]", ["b[3]"], keep=True)
    assert gates.before["c"].waits_for == ("a", "b[1]", "b[2]", "b[3]")
    assert gates.after["b[3]"] is gates.after["b[1]"]
    assert "b" not in gates.before | gates.after


def test_what_is_not_there_is_not_replaced() -> None:
    assert put(("a", "b"), "c", ["d"], keep=False) == ("a", "b")
    assert put(("a", "b"), "a", [], keep=False) == ("b",)


class TestCost:
    """What is counted grows as the tasks do, not as what is between them: twice the tasks, about twice the calls."""

    @staticmethod
    def grows(make: Callable[[int], Callable[[], object]]) -> float:
        """How many times more it costs with four times as many."""
        small, large = (calls_of(make(size)) for size in (40, 160))
        return large / small

    def test_a_resume_of_two_lists_one_after_the_other(self) -> None:
        """All copies of the first are given another chance, and those of the second wait for all of them."""

        def make(size: int) -> Callable[[], object]:
            story = two_lists(size)
            story.send("resume", "start")
            return lambda: story.send(*(f"succeeded score[{n}]/2" for n in range(size)))

        assert self.grows(make) < 5

    def test_reading_it_back(self) -> None:
        def make(size: int) -> Callable[[], object]:
            story = two_lists(size)
            story.send("resume", "start")
            story.send(*(f"succeeded score[{n}]/2" for n in range(size)))
            return lambda: fold(story.history)

        assert self.grows(make) < 5

    @pytest.mark.parametrize("rule", list(RunIf))
    def test_layers_that_wait_for_each_other(self, rule: RunIf) -> None:
        """Whatever the rule, and however they end."""

        def make(size: int) -> Callable[[], object]:
            first = [planned(f"a{n}") for n in range(size)]
            names = [one.name for one in first]
            second = [planned(f"b{n}", *names, run_if=rule.value) for n in range(size)]
            story = Story(*first, *second, jobs=2 * size)
            story.send("start")
            ends = [f"{'succeeded' if n % 3 else 'failed'} a{n}/1" for n in range(size)]
            return lambda: [story.send(one) for one in ends]

        assert self.grows(make) < 5

    def test_a_resume_of_many_lists_in_a_chain(self) -> None:
        def make(size: int) -> Callable[[], object]:
            tasks: list[PlannedTask] = [planned("l0", for_each=["x"])]
            tasks += [planned(f"l{n}", f"l{n - 1}", for_each=["x"], run_if="all_done") for n in range(1, size)]
            story = Story(*tasks)
            story.send("start")
            for n in range(size):
                story.send(f"failed l{n}[x]/1")
            assert len(story.state.made) == size
            return lambda: story.send("resume")

        assert self.grows(make) < 5


def two_lists(size: int) -> Story:
    """A run in which all copies of two lists have failed, those of the second after those of the first."""
    items: list[Any] = list(range(size))
    story = Story(
        planned("score", for_each=items),
        planned("rank", "score", for_each=items, run_if="all_done"),
        planned("report", "rank"),
        jobs=size,
    )
    story.send("start")
    fail(story, "score", items)
    fail(story, "rank", items)
    assert story.state.ended_at is not None
    return story


def fail(story: Story, name: str, items: Sequence[int]) -> RunState:
    story.send(*(f"failed {name}[{n}]/1" for n in items))
    return story.state
