"""What a state follows from the plan: places, lanes, and what is judged at once. Its changes are in test_state.py."""

from __future__ import annotations

from nbflow.core.plan import Action
from nbflow.core.runstate import PLACES, counted, lane_of
from nbflow.core.state import fold
from nbflow.core.status import TaskState
from support.build import Story, planned


def test_tasks_stand_one_after_the_other_with_room_for_copies() -> None:
    state = Story(planned("a"), planned("b", "a", for_each=["x"]), planned("c", "b")).state
    assert state.index == {"a": 0, "b": 1, "c": 1 + PLACES}
    assert state.copies == {"a": ["a"], "b": ["b"], "c": ["c"]}


def test_copies_with_a_limit_of_their_own_have_their_own_lane() -> None:
    assert lane_of(planned("a", max_parallel=1)) == (None, None, 1)
    assert lane_of(planned("a[1]", max_parallel=1, matrix={"x": 1}, pool="p", slots=2)) == ("p", "a", 2)
    assert lane_of(planned("a[1]", max_parallel=1, item={"item": None})) == (None, "a", 1)
    assert lane_of(planned("a[1]", item={"item": 1})) == (None, None, 1)


def test_a_task_with_a_list_is_not_judged_early() -> None:
    lists = planned("c", "a", "o", run_if="one_success", for_each=["x"])
    story = Story(planned("a"), planned("o"), planned("b", "a", "o", run_if="one_success"), lists)
    story.send("start")
    story.send("succeeded a/1")
    assert {name: story.states()[name] for name in "bc"} == {"b": "running", "c": "pending"}
    story.send("failed o/1")
    assert story.lines("task_expanded") == ["task_expanded c c[x]"]


def test_the_plan_settles_a_list_that_is_not_to_be_run() -> None:
    story = Story(planned("a", for_each=["x"], action=Action.SKIP), planned("b", for_each=["x"], action=Action.REUSE))
    assert story.state.judged == {"a": TaskState.SKIPPED, "b": TaskState.SUCCEEDED}


def test_a_list_that_has_become_empty_counts_once_by_its_own_name() -> None:
    ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
    source = "{{ ['a', 'b'] if tasks.up.outputs.x[1] == None else tasks.up.outputs.x[1] }}"
    story = Story(*ups, planned("c", "up[1]", "up[2]", for_each=source, run_if="all_done"), planned("d", "c"), jobs=9)
    story.send("start")
    story.send("succeeded up[1]/1 x=1", "failed up[2]/1")
    story.send("succeeded c[a]/1", "failed c[b]/1")
    waits_for = story.state.tasks["d"].planned.waits_for
    assert counted(story.state, waits_for) == {"c[a]": TaskState.SUCCEEDED, "c[b]": TaskState.FAILED}
    story.send("resume", "start")
    before = fold(story.history)
    story.send('succeeded up[2]/2 x=["a"]')
    assert counted(story.state, waits_for) == {"c[a]": TaskState.SUCCEEDED}
    story.state, story.history = before, story.history[: before.seq]
    story.send("succeeded up[2]/2 x=[]")
    assert counted(story.state, waits_for) == {"c": TaskState.SUCCEEDED}
