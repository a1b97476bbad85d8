"""Parameters and `when` of a task, once its upstreams have ended."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nbflow.core.plan import Action
from nbflow.core.resolve import Refused, resolve_task, run_scope
from nbflow.core.values import encode
from support.build import Story, planned


def params_of(story: Story, name: str) -> dict[str, Any]:
    return resolve_task(story.state, story.state.tasks[name].planned)


def after_upstream(*copies: str, **more: Any) -> Story:
    """`up` (or its copies) has succeeded with some rows; `down` is to be resolved."""
    ups = [planned(one, matrix={"n": place} if "[" in one else {}) for place, one in enumerate(copies or ("up",))]
    names = [one.name for one in ups]
    story = Story(*ups, planned("down", *names, **more), jobs=9, params={"limit": 5, "mode": "full"})
    story.send("start")
    story.send(*(f"succeeded {name}/1 rows={place + 10}" for place, name in enumerate(names)))
    return story


def test_a_task_gets_the_parameters_of_the_run_that_it_accepts() -> None:
    story = Story(planned("a", accepts=("mode", "unknown")), params={"limit": 5, "mode": "full"})
    assert params_of(story, "a") == {"mode": "full"}


def test_its_own_come_on_top_and_keep_their_types() -> None:
    story = after_upstream(
        accepts=("mode", "limit"),
        params={"limit": 7, "rows": "{{ tasks.up.outputs.rows }}", "text": "{{ params.mode }} of {{ run.date }}"},
    )
    assert params_of(story, "down") == {"mode": "full", "limit": 7, "rows": 10, "text": "full of 2026-01-31"}


def test_values_with_types_of_their_own_pass_through() -> None:
    day = encode(date(2026, 1, 31))
    story = Story(planned("a", accepts=("day",), params={"next": "{{ params.day }}"}), params={"day": day})
    assert params_of(story, "a") == {"day": day, "next": day}


def test_copies_upstream_are_lists_in_their_order() -> None:
    story = after_upstream("up[x]", "up[y]", params={"rows": "{{ tasks.up.outputs.rows }}"})
    assert params_of(story, "down") == {"rows": [10, 11]}


def test_a_copy_that_gave_nothing_has_none_in_the_list() -> None:
    ups = [planned(f"up[{n}]", matrix={"n": n}) for n in range(3)]
    rows = {"rows": "{{ tasks.up.outputs.rows }}"}
    story = Story(*ups, planned("down", *(up.name for up in ups), run_if="all_done", params=rows), jobs=3)
    story.send("start")
    story.send("succeeded up[0]/1 rows=1", "failed up[1]/1", "succeeded up[2]/1 rows=3")
    assert story.lines("task_queued")[-1] == "task_queued down rows=[1,null,3]"


def test_one_copy_is_still_a_list() -> None:
    assert params_of(after_upstream("up[x]", params={"r": "{{ tasks.up.outputs.rows }}"}), "down") == {"r": [10]}


def test_matrix_and_environment() -> None:
    values = {"model": "{{ matrix.model }}", "home": "{{ env('PLACE') }}"}
    story = Story(planned("a[gbm]", matrix={"model": "gbm"}, params=values), env={"PLACE": "here"})
    assert params_of(story, "a[gbm]") == {"model": "gbm", "home": "here"}


def test_axes_go_to_a_notebook_that_declares_them_over_the_run_s_parameters() -> None:
    axes = {"mode": "delta", "hidden": 1}
    story = Story(planned("a[delta,1]", matrix=axes, accepts=("mode", "limit")), params={"limit": 5, "mode": "full"})
    assert params_of(story, "a[delta,1]") == {"mode": "delta", "limit": 5}
    own = planned("a[delta,1]", matrix=axes, accepts=("mode", "limit"), params={"mode": "none"})
    assert params_of(Story(own, params={"mode": "full"}), "a[delta,1]") == {"mode": "none"}


def test_when() -> None:
    assert params_of(after_upstream(when="tasks.up.outputs.rows > 9"), "down") == {}
    with pytest.raises(Refused, match=r"when is false: tasks\.up\.outputs\.rows > 10") as caught:
        params_of(after_upstream(when="tasks.up.outputs.rows > 10"), "down")
    assert caught.value.skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"when": "tasks.up.outputs.cols > 1"}, "when: .*'cols'"),
        ({"when": "tasks.nobody.outputs.rows"}, "when: .*nobody"),
        ({"when": "1 +"}, "when: "),
        ({"when": "params.mode > 3"}, "when: "),
        ({"params": {"n": "{{ tasks.up.outputs.cols }}"}}, "n: .*'cols'"),
        ({"params": {"n": "{{ tasks.nobody.outputs.rows }}"}}, "n: .*nobody"),
        ({"params": {"n": "{{ 1 + }}"}}, "expression|syntax"),
        ({"params": {"n": "{{ env('MISSING') }}"}}, "n: .*MISSING"),
        ({"params": {"n": "{{ params.mode / 2 }}"}}, "n: "),
    ],
)
def test_what_has_no_value_is_a_refusal_that_is_no_skip(more: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        params_of(independent(**more), "down")
    assert not caught.value.skip


def independent(**more: Any) -> Story:
    """As `after_upstream`, but `down` needs nobody."""
    story = Story(planned("up"), planned("down", **more), params={"mode": "full"})
    story.send("start")
    story.send("succeeded up/1 rows=10")
    return story


def test_a_refusal_fails_the_task_and_not_the_engine() -> None:
    story = Story(planned("a", params={"n": "{{ params.nobody }}"}), planned("b", "a"), planned("c", when="1 / 0"))
    lines = story.send("start")
    assert lines[1].startswith("task_failed a: it could not begin (params.n: ")
    assert lines[2].startswith("task_failed c: it could not begin (when: ")
    assert lines[3:] == ["task_blocked b: a failed", "run_finished failed"]
    error = story.state.tasks["a"].error
    assert error is not None
    assert error.kind == "start_failed"


def test_outputs_of_a_failed_upstream_are_not_there() -> None:
    story = Story(planned("up"), planned("down", "up", run_if="all_done", params={"n": "{{ tasks.up.outputs.rows }}"}))
    story.send("start")
    assert any(line.startswith("task_failed down") for line in story.send("failed up/1"))


class TestRunScope:
    def test_the_date_is_that_of_the_zone(self) -> None:
        at = datetime(2026, 1, 30, 23, 30, tzinfo=UTC)
        assert run_scope("r", at, "Europe/Prague")["date"] == date(2026, 1, 31)
        assert run_scope("r", at, "UTC")["date"] == date(2026, 1, 30)

    def test_the_logical_date_does_not_depend_on_how_it_was_written(self) -> None:
        """A stored event has lost the name of the zone; a task that is resolved after a crash must not notice."""
        at = datetime(2026, 1, 31, 6, tzinfo=ZoneInfo("Europe/Prague"))
        stored = datetime.fromisoformat(at.isoformat())
        assert [encode(run_scope("r", one, "Europe/Prague")["logical_date"]) for one in (at, stored)] == [
            encode(at.astimezone(UTC))
        ] * 2


def list_of(value: str, **more: Any) -> list[str]:
    """The lines about a task whose list is what `up` gave as `x`."""
    story = Story(planned("up"), planned("t", "up", **{"for_each": "{{ tasks.up.outputs.x }}", **more}), jobs=9)
    story.send("start")
    return story.send(f"succeeded up/1 x={value}")[2:]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"abc"', "gives a str, and no list"),
        ('{"a":1}', "gives a dict, and no list"),
        ("null", "gives nothing (None), and no list"),
        ('{"$set":[1]}', "gives a set, and no list; sorted(...) makes a list of it in the notebook"),
        ("[1,2,3]", "the list has 3 items, and at most 2 are allowed; max_items = 3 for the task would allow it"),
    ],
)
def test_what_is_no_list_fails_with_advice(value: str, message: str) -> None:
    found, _ = list_of(value, max_items=2)
    assert found.startswith("task_failed t: it could not begin (for_each: ")
    assert message in found


def test_a_list_that_nobody_gave_fails() -> None:
    assert list_of("[]", for_each="{{ tasks.up.outputs.y }}") == [
        "task_failed t: it could not begin (for_each: task 'up' gave no output 'y')",
        "run_finished failed",
    ]


def test_tuples_and_values_of_their_own_types_are_items() -> None:
    assert list_of('{"$tuple":[{"$date":"2026-01-31"}]}', params={"day": "{{ item }}"})[:2] == [
        "task_expanded t t[2026-01-31]",
        'task_queued t[2026-01-31] day={"$date":"2026-01-31"}',
    ]


def test_a_notebook_that_declares_item_gets_it_and_own_parameters_come_on_top() -> None:
    assert list_of("[5]", accepts=("item",))[1] == "task_queued t[5] item=5"
    assert list_of("[5]", accepts=("item",), params={"item": "{{ item + 1 }}"})[1] == "task_queued t[5] item=6"


def test_only_one_copy_where_it_is_asked_for() -> None:
    assert list_of("[5,6]", only="t[6]")[0] == "task_expanded t t[6]"
    assert list_of("[5,6]", only="t[7]")[0] == (
        "task_failed t: it could not begin (for_each gives no copy 't[7]'; there are: t[5], t[6])"
    )


def test_the_results_of_copies_of_another_run_are_lists_as_they_are() -> None:
    for outputs, rows in (({"rows": [1, None]}, "[1,null]"), ({}, "[]")):
        reused = planned("up", for_each=["x"], action=Action.REUSE, reused_from="old", outputs=outputs)
        story = Story(reused, planned("down", "up", params={"rows": "{{ tasks.up.outputs.rows }}"}))
        assert f"task_queued down rows={rows}" in story.send("start")
