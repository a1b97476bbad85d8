"""Plans: order, copies, what is run, reused or left out, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.plan import Action, Plan, PlannedTask, Source, make_plan, task_references, to_run
from nbflow.core.rows import Past
from nbflow.core.spec import Limits, Matrix, Pipeline, RetryPolicy, RunIf, Task
from nbflow.errors import UsageError


def task(name: str, *needs: str, **more: Any) -> Task:
    return Task(name=name, notebook=f"{name}.ipynb", needs=needs, **more)


def plan_of(
    *tasks: Task,
    selected: Collection[str] | None = None,
    past: Mapping[str, Past] | None = None,
    sources: Mapping[str, Source] | None = None,
) -> Plan:
    pipeline = Pipeline(name="sales", tasks={one.name: one for one in tasks})
    chosen = set(pipeline.tasks) if selected is None else selected
    return make_plan(pipeline, selected=chosen, sources=sources or {}, past=lambda one: (past or {}).get(one.name))


def by_name(plan: Plan) -> dict[str, PlannedTask]:
    return {one.name: one for one in plan.tasks}


def test_topological_order_with_ties_in_the_order_of_the_file() -> None:
    plan = plan_of(task("report", "b", "a"), task("b"), task("a", "z"), task("z"))
    assert [one.name for one in plan.tasks] == ["b", "z", "a", "report"]


def test_a_planned_task_has_all_that_its_task_says() -> None:
    declared = task(
        "a",
        params={"n": "{{ params.limit }}"},
        kernel="python3",
        retry=RetryPolicy(retries=2),
        limits=Limits(timeout=60.0),
        run_if=RunIf.ALL_DONE,
        when="params.go",
        pool="p",
        slots=2,
        max_parallel=3,
        tags=("daily",),
    )
    (one,) = plan_of(declared, sources={"a.ipynb": Source(accepts=("n",), sha256="ff")}).tasks
    for name in ("params", "kernel", "retry", "limits", "run_if", "when", "pool", "slots", "max_parallel", "tags"):
        assert getattr(one, name) == getattr(declared, name)
    assert (one.base, one.slug, one.notebook, one.accepts, one.sha256) == ("a", "a", "a.ipynb", ("n",), "ff")


def test_reasons() -> None:
    plan = plan_of(task("a"), task("b", "a"), task("c", "a", "b", run_if=RunIf.ALL_DONE))
    assert [one.reason for one in plan.tasks] == ["no upstream", "after a", "after a, b (all_done)"]


def test_weights_are_longest_paths_of_what_runs() -> None:
    tasks = (task("a"), task("b", "a"), task("c", "b"), task("d", "a"))
    assert {name: one.weight for name, one in by_name(plan_of(*tasks)).items()} == {"a": 3, "b": 2, "c": 1, "d": 1}
    chosen = by_name(plan_of(*tasks, selected={"a", "d"}))
    assert (chosen["a"].weight, chosen["d"].weight) == (2, 1)


class TestMatrix:
    grid = Matrix(axes={"model": ("ridge", "gbm"), "region": ("eu", "us")}, exclude=({"model": "gbm", "region": "us"},))

    def test_copies_are_tasks_of_their_own(self) -> None:
        plan = by_name(plan_of(task("clean"), task("train", "clean", matrix=self.grid), task("report", "train")))
        assert list(plan) == ["clean", "train[ridge,eu]", "train[ridge,us]", "train[gbm,eu]", "report"]
        copy = plan["train[ridge,us]"]
        assert (copy.base, copy.slug, copy.matrix) == ("train", "train.ridge-us", {"model": "ridge", "region": "us"})
        assert copy.upstream == ("clean",)

    def test_downstream_waits_for_all_copies(self) -> None:
        plan = by_name(plan_of(task("train", matrix=self.grid), task("report", "train")))
        assert plan["report"].waits_for == ("train[ridge,eu]", "train[ridge,us]", "train[gbm,eu]")
        assert plan["report"].reason == "after train"


class TestSelection:
    tasks = (task("a"), task("b", "a"), task("c", "b"), task("d", "c"))

    def test_what_is_not_selected_is_left_out_and_says_so(self) -> None:
        plan = by_name(plan_of(*self.tasks, selected={"b"}))
        assert {name: one.action for name, one in plan.items() if name != "b"} == dict.fromkeys("acd", Action.SKIP)
        assert plan["a"].reason == "not selected"
        assert (plan["b"].action, plan["b"].waits_for) == (Action.RUN, ())

    def test_what_is_left_out_lets_the_order_through(self) -> None:
        plan = by_name(plan_of(*self.tasks, selected={"a", "d"}))
        assert plan["d"].waits_for == ("a",)
        assert plan["d"].upstream == ("c",)

    def test_an_upstream_that_comes_twice_is_judged_once(self) -> None:
        tasks = (task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))
        assert by_name(plan_of(*tasks, selected={"a", "d"}))["d"].waits_for == ("a",)

    def test_a_task_whose_outputs_are_read_is_reused(self) -> None:
        tasks = (task("a"), task("b", "a", params={"n": "{{ tasks.a.outputs.rows }}"}))
        plan = by_name(plan_of(*tasks, selected={"b"}, past={"a": Past(run="old", outputs={"rows": 3})}))
        one = plan["a"]
        assert (one.action, one.reused_from, one.outputs) == (Action.REUSE, "old", {"rows": 3})
        assert one.reason == "not selected; 'b' reads its outputs: those of old"
        assert plan["b"].waits_for == ("a",)

    def test_when_reads_outputs_too(self) -> None:
        tasks = (task("a"), task("b", "a", when="tasks.a.outputs.rows > 0"))
        plan = by_name(plan_of(*tasks, selected={"b"}, past={"a": Past(run="old", outputs={"rows": 3})}))
        assert plan["a"].action is Action.REUSE

    def test_what_is_reused_lets_the_order_through(self) -> None:
        """`b` is not run again, but `c` still comes after `a`, which is."""
        tasks = (task("a"), task("b", "a"), task("c", "b", params={"n": "{{ tasks.b.outputs.rows }}"}))
        plan = by_name(plan_of(*tasks, selected={"a", "c"}, past={"b": Past(run="old", outputs={})}))
        assert plan["c"].waits_for == ("a", "b")

    def test_all_copies_are_reused_each_from_its_own_past(self) -> None:
        grid = Matrix(axes={"n": (1, 2)})
        tasks = (task("a", matrix=grid), task("b", "a", params={"n": "{{ tasks.a.outputs.rows }}"}))
        past = {"a[1]": Past(run="old", outputs={"rows": 1}), "a[2]": Past(run="older", outputs={"rows": 2})}
        plan = by_name(plan_of(*tasks, selected={"b"}, past=past))
        assert [plan[name].reused_from for name in past] == ["old", "older"]

    def test_what_never_succeeded_cannot_be_reused(self) -> None:
        tasks = (task("a"), task("b", "a", params={"n": "{{ tasks.a.outputs.rows }}"}))
        with pytest.raises(UsageError, match="'b' reads outputs of 'a'") as caught:
            plan_of(*tasks, selected={"b"})
        assert caught.value.hint == "select it too: --select +b"

    def test_an_output_that_only_a_left_out_task_reads_is_not_needed(self) -> None:
        tasks = (task("a"), task("b", "a", params={"n": "{{ tasks.a.outputs.rows }}"}), task("c"))
        assert by_name(plan_of(*tasks, selected={"c"}))["a"].action is Action.SKIP


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[tuple[Task, ...], frozenset[str]]:
    names = [f"t{place}" for place in range(draw(st.integers(1, 7)))]
    tasks = tuple(task(name, *(up for up in names[:place] if draw(st.booleans()))) for place, name in enumerate(names))
    return tasks, draw(st.frozensets(st.sampled_from(names)))


@given(pipelines())
def test_what_runs_waits_for_exactly_what_runs_before_it_with_only_left_out_tasks_between(
    given_tasks: tuple[tuple[Task, ...], frozenset[str]],
) -> None:
    tasks, selected = given_tasks
    needs = {one.name: one.needs for one in tasks}

    def nearest(name: str) -> set[str]:
        found: set[str] = set()
        for up in needs[name]:
            found |= {up} if up in selected else nearest(up)
        return found

    plan = by_name(plan_of(*tasks, selected=selected))
    for name in selected:
        assert set(plan[name].waits_for) == nearest(name)
        assert len(plan[name].waits_for) == len(set(plan[name].waits_for))


def test_a_chain_of_ten_thousand_of_which_the_ends_are_selected() -> None:
    names = [f"t{place:05d}" for place in range(10_000)]
    chain = [task(name, *names[max(0, place - 1) : place]) for place, name in enumerate(names)]
    plan = by_name(plan_of(*chain, selected={names[0], names[-1]}))
    assert plan[names[-1]].waits_for == (names[0],)


def test_references_of_templates_and_when_together() -> None:
    one = task("c", "a", "b", params={"n": ["{{ tasks.a.outputs.rows }}"]}, when="tasks.b.outputs.go and params.x")
    assert task_references(one) == {
        ("tasks", "a", "outputs", "rows"),
        ("tasks", "b", "outputs", "go"),
        ("params", "x"),
    }


def test_what_is_left_out_does_not_run() -> None:
    plan = plan_of(task("a"), task("b", "a"), task("c", "b"), selected={"a", "c"})
    assert [one.name for one in to_run(plan.tasks)] == ["a", "c"]


class TestForEach:
    def test_the_copies_are_not_known_yet(self) -> None:
        source = "{{ tasks.a.outputs.files }}"
        plan = by_name(plan_of(task("a"), task("b", "a", for_each=source, max_items=5), task("c", "b")))
        assert (plan["b"].is_list, plan["b"].is_copy, plan["b"].for_each, plan["b"].max_items) == (
            True,
            False,
            source,
            5,
        )
        assert plan["c"].waits_for == ("b",)

    def test_a_list_of_the_file_is_encoded(self) -> None:
        plan = by_name(plan_of(task("a", for_each=(date(2026, 1, 31), {"x": 1}))))
        assert plan["a"].for_each == {"$tuple": [{"$date": "2026-01-31"}, {"x": 1}]}

    def test_what_the_list_reads_is_reused(self) -> None:
        tasks = [task("a"), task("b", "a", for_each="{{ tasks.a.outputs.files }}")]
        with pytest.raises(UsageError, match="'b' reads outputs of 'a'"):
            plan_of(*tasks, selected={"b"})
        past = {"a": Past(run="old", outputs={"files": [1]})}
        assert by_name(plan_of(*tasks, selected={"b"}, past=past))["a"].action is Action.REUSE

    def test_copies_of_another_run_are_reused_as_one(self) -> None:
        tasks = [task("a", for_each=(1, 2)), task("b", "a", params={"x": "{{ tasks.a.outputs.n }}"})]
        past = {"a": Past(run="old", outputs={"n": [5, 6]})}
        plan = by_name(plan_of(*tasks, selected={"b"}, past=past))
        assert (plan["a"].action, plan["a"].outputs, plan["a"].is_list) == (Action.REUSE, {"n": [5, 6]}, True)


def test_what_takes_long_is_urgent() -> None:
    tasks = [task("a"), task("b", "a"), task("c"), task("d", "c"), task("e", matrix=Matrix(axes={"k": (1, 2)}))]
    pipeline = Pipeline(name="p", tasks={one.name: one for one in tasks})
    seconds = {"a": 1.0, "b": 2.0, "c": 60.0, "e[1]": 7.0, "e": 8.0}
    plan = make_plan(pipeline, selected=set(pipeline.tasks), sources={}, past=lambda _: None, seconds=seconds)
    weight = {one.name: one.weight for one in plan.tasks}
    assert weight == {"a": 3.0, "b": 2.0, "c": 67.0, "d": 7.0, "e[1]": 7.0, "e[2]": 8.0}, "d takes as long as most do"
