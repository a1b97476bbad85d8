"""Parameters and `when` of a task, once its upstreams have ended."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

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
