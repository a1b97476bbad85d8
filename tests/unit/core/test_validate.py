"""Faults of a specification in itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.params import is_name
from nbflow.core.spec import Matrix, Param, ParamType, Pipeline, ProjectSpec, RetryPolicy, RunIf, Task
from nbflow.core.validate import MAX_CYCLES, shown_cycle, validate

FOR_EACH = "a list that is known only when an upstream has ended is for `for_each`"


def task(name: str, *needs: str, **more: Any) -> Task:
    return Task(name=name, notebook="x.ipynb", needs=needs, **more)


def spec_of(*tasks: Task, params: Sequence[Param] = (), pools: Mapping[str, int] | None = None) -> ProjectSpec:
    pipeline = Pipeline(
        name="p", tasks={one.name: one for one in tasks}, params={param.name: param for param in params}
    )
    return ProjectSpec(
        root="/p", file="pipelines.toml", pipelines={"p": pipeline}, outputs="o", state="s", pools=pools or {}
    )


def said(*tasks: Task, **more: Any) -> list[str]:
    """Faults as `key: message (hint)`, the keys below the pipeline."""
    return [
        f"{'warning ' if fault.warning else ''}{'.'.join(fault.key[2:])}: {fault.message}"
        + (f" ({fault.hint})" if fault.hint else "")
        for fault in validate(spec_of(*tasks, **more))
    ]


def test_a_right_pipeline_has_no_faults() -> None:
    assert not said(
        task("a", pool="w", slots=2, retry=RetryPolicy(on=("timeout", "exception:ValueError", "exception"))),
        task("b", "a", params={"x": "{{ tasks.a.outputs.rows }} of {{ params.n }}", "y": [1, {"z": "{{ run.date }}"}]}),
        task("c", "b", when="tasks.a.outputs.rows > 0 and params.n == matrix.k", matrix=Matrix(axes={"k": (1, 2)})),
        task("d", "c", run_if=RunIf.ONE_FAILED),
        params=[
            Param(name="n", type=ParamType.INT, default=3, options=(1, 3), min=1, max=3),
            Param(name="day", type=ParamType.DATE, default="{{ days_ago(params.n) }}"),
            Param(name="must", type=ParamType.STR, required=True),
        ],
        pools={"w": 2},
    )


class Counted(str):
    """A name that counts how often it is compared with another one."""

    __slots__ = ()
    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)


def test_a_task_may_need_thousands() -> None:
    """Each of them is looked at a few times, not once for each other one."""
    names = [f"t{place}" for place in range(400)]
    last = task("last", *map(Counted, names))
    Counted.compared = 0
    assert not said(*map(task, names), last)
    assert Counted.compared < 20 * len(names)


def test_a_project_and_a_pipeline_without_anything() -> None:
    (fault,) = validate(ProjectSpec(root="/p", file="f", pipelines={}, outputs="o", state="s"))
    assert (fault.key, fault.message) == (("pipelines",), "there is no pipeline")
    assert said() == ['tasks: the pipeline has no tasks (such as extract = { notebook = "extract.ipynb" })']


def test_needs() -> None:
    assert said(task("extract"), task("b", "extrat", "b", "extract", "extract", "zz")) == [
        'tasks.b.needs.0: there is no task "extrat" in this pipeline (did you mean "extract"?)',
        "tasks.b.needs.1: a task cannot need itself",
        'tasks.b.needs.3: "extract" stands here twice',
        'tasks.b.needs.4: there is no task "zz" in this pipeline (tasks of this pipeline: b, extract)',
    ]


def test_cycles_are_shown_in_the_order_of_execution_each_once() -> None:
    hint = " (take one of these out of a `needs`)"
    assert said(task("a", "c"), task("b", "a"), task("c", "b"), task("d", "c"), task("x", "y"), task("y", "x")) == [
        f"tasks.a.needs: these tasks wait for each other: a -> b -> c -> a{hint}",
        f"tasks.x.needs: these tasks wait for each other: x -> y -> x{hint}",
    ]


def test_a_cycle_of_ten_thousand_tasks_is_short_and_found_in_time() -> None:
    size = 10_000
    start = time.process_time()
    (found,) = said(*(task(f"t{i}", f"t{(i - 1) % size}") for i in range(size)))
    assert time.process_time() - start < 10
    assert found == (
        "tasks.t0.needs: these tasks wait for each other: "
        "t0 -> t1 -> t2 -> t3 -> t4 -> ... -> t9998 -> t9999 -> t0 (10,000 tasks) (take one of these out of a `needs`)"
    )


def test_of_very_many_cycles_some_are_said() -> None:
    pairs = [task(f"{side}{i}", f"{other}{i}") for i in range(50) for side, other in (("a", "b"), ("b", "a"))]
    assert len(said(*pairs)) == MAX_CYCLES


def test_a_chain_of_ten_thousand_tasks_with_expressions_is_judged_in_time() -> None:
    size = 10_000
    chain = [task("t0")] + [
        task(f"t{i}", f"t{i - 1}", params={"x": f"{{{{ tasks.t{i - 1}.outputs.x }}}}"}) for i in range(1, size)
    ]
    start = time.process_time()
    assert not said(*chain)
    assert time.process_time() - start < 15


@given(st.integers(1, 30))
def test_shown_cycles_are_short_and_closed(size: int) -> None:
    shown = shown_cycle([f"t{i}" for i in range(size)])
    names = shown.split(" (")[0].split(" -> ")
    assert names[0] == names[-1] == "t0"
    assert len(names) <= 9
    assert ("tasks)" in shown) == (size > 8)


def test_pools_and_slots() -> None:
    tasks = [task("a", pool="wharehouse"), task("b", pool="warehouse", slots=3), task("c", slots=2)]
    assert said(*tasks, pools={"warehouse": 2}) == [
        'tasks.a.pool: there is no pool "wharehouse" (did you mean "warehouse"?)',
        'tasks.b.slots: the task takes 3 slots, but the pool "warehouse" has 2',
        "warning tasks.c.slots: slots of what? the task has no `pool`",
    ]


def test_rules_that_judge_nothing() -> None:
    assert said(task("a", run_if=RunIf.ALL_FAILED), task("b", run_if=RunIf.ALL_DONE)) == [
        "warning tasks.a.run_if: all_failed judges upstreams, but the task has none: it always runs"
    ]


@pytest.mark.parametrize("name", ["timeut", "exception:", "exception:a b", "ValueError", "", "exception:1"])
def test_retry_on(name: str) -> None:
    (found,) = said(task("a", retry=RetryPolicy(on=("timeout", name))))
    assert found.startswith(f'tasks.a.retry_on.1: "{name}" is nothing to retry on')


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{{ params.limt }}", "params.limt: there is no parameter 'limt' (did you mean \"limit\"?)"),
        ("{{ tasks.b.outputs.x }}", 'tasks.b is not upstream of this task (add "b" to needs)'),
        ("{{ tasks.zz.outputs.x }}", "tasks.zz: there is no task 'zz'"),
        ("{{ matrix.k }}", "matrix.k: there is no axis 'k'"),
        ("{{ item }}", "item has a value only in `params` and `when` of a task with for_each"),
        (["x", {"y": "{{ nope }}"}], "unknown name 'nope'"),
        ("{{ 1 + }}", ""),
        ("{{ ().__class__ }}", ""),
        ("{{ 9**9**9 }}", ""),
        ('{{ "a" * 1000000000 }}', ""),
        ("{{ [x for x in y] }}", ""),
        ("{{ (lambda: 1)() }}", ""),
        ('{{ f"{1}" }}', ""),
        ("{{ open('x') }}", ""),
        ("{{ params.limit", ""),
    ],
)
def test_expressions_in_params_and_when(value: Any, message: str) -> None:
    params = [Param(name="limit", type=ParamType.INT, default=1)]
    (found,) = said(task("a", params={"x": value}), task("b"), params=params)
    assert found.startswith(f"tasks.a.params.x: {message}")
    if isinstance(value, str) and value.endswith("}}"):
        (found,) = said(task("a", when=value[2:-2]), task("b"), params=params)
        assert found.startswith(f"tasks.a.when: {message}")


def test_single_braces_and_percent_are_text() -> None:
    assert not said(task("a", params={"x": "{x.__class__} %s {0}", "y": "}}"}))


def test_a_condition_stands_without_braces() -> None:
    (found,) = said(task("a", when="{{ 1 == 1 }}"))
    assert found.startswith("tasks.a.when: ")


def test_upstreams_are_visible_however_far() -> None:
    tasks = [task("a"), task("b", "a"), task("c", "b", params={"x": "{{ tasks.a.outputs.x }}"})]
    assert not said(*tasks)


def test_matrices() -> None:
    assert said(
        task("a", matrix=Matrix(axes={})),
        task("b", matrix=Matrix(axes={"k": ()})),
        task("c", matrix=Matrix(axes={"k": tuple(range(40)), "j": tuple(range(40))})),
        task("d", matrix=Matrix(axes={"x y": (1,), "k": ("{{ params.x }}",)})),
        task("e", matrix=Matrix(axes={"k": (1, 1)})),
        task("f", matrix=Matrix(axes={"k": (1,)}, exclude=({"k": 1},))),
    ) == [
        "tasks.a.matrix: the matrix has no axes",
        "tasks.b.matrix: axis 'k' of the matrix has no values",
        "tasks.c.matrix: the matrix makes more than 1,000 copies",
        f"tasks.d.matrix.x y: illegal name of an axis: {is_name('x y')}",
        f"tasks.d.matrix.k: values of an axis are plain, without {{{{ }}}} ({FOR_EACH})",
        "tasks.e.matrix: two copies of e have the name e[1]",
        "tasks.f.matrix: the matrix makes no copy: `exclude` leaves none",
    ]


def param(kind: ParamType, default: Any = None, **more: Any) -> list[str]:
    declared = Param(name="x", type=kind, default=default, required=default is None, **more)
    return said(task("a"), params=[declared])


def test_defaults_options_and_bounds_fit_the_type() -> None:
    assert param(ParamType.INT, "3") == [
        "params.x.default: '3', of type str, is no int (a value of type int stands without quotes)"
    ]
    none = "params.x.default: 'q' is none of the options: 'a', 'b'"
    assert param(ParamType.STR, "q", options=("a", "b")) == [f"{none} (options are: a, b)"]
    assert param(ParamType.INT, 3, options=(1, 2)) == ["params.x.default: 3 is none of the options: 1, 2"]
    assert param(ParamType.INT, 3, min=4) == ["params.x.default: 3 is below the minimum of 4"]
    assert param(ParamType.STR, "a", max=4) == ["params.x.max: `max` is for numbers, and the type is str"]
    assert param(ParamType.FLOAT, 1, min=2, max=1)[0] == "params.x.min: no value is from 2 to 1"
    assert param(ParamType.INT, 1, options=(1, "2", 1, True)) == [
        "params.x.options.1: '2', of type str, is no int",
        "params.x.options.2: this option stands here twice",
        "params.x.options.3: True, of type bool, is no int",
    ]
    assert not param(ParamType.FLOAT, 1, min=0.5, max=1.5)
    assert not param(ParamType.PATH, "a/b")
    assert not param(ParamType.DATE)


def test_defaults_that_are_templates_see_the_run_and_other_parameters() -> None:
    def default(text: str) -> list[str]:
        return said(
            task("a"),
            params=[
                Param(name="x", type=ParamType.ANY, default=text),
                Param(name="y", type=ParamType.ANY, default="{{ params.x }}"),
            ],
        )

    assert not default("{{ run.date }}")
    assert not default("{{ days_ago(3) }}-{{ env('HOME') }}")
    assert default("{{ params.y }}") == [
        "params.x.default: defaults of parameters read each other: x -> y -> x (give one of them a plain default)"
    ]
    assert default("{{ params.x }}")[0].endswith("read each other: x -> x (give one of them a plain default)")
    assert default("{{ tasks.a.outputs.x }}") == [
        "params.x.default: `tasks` has no value yet when a run begins (defaults see params, run, env and days_ago)"
    ]
    assert default("{{ nope }}")[0].startswith("params.x.default: unknown name 'nope'")


class TestForEach:
    def test_what_is_right(self) -> None:
        assert not said(
            task("a"),
            task("b", "a", for_each="{{ tasks.a.outputs.files }}", params={"x": "{{ item }}"}, when="item != params.n"),
            task("c", "b", for_each=("x", {"n": "{{ params.n }}"}, None), params={"x": "{{ item }}"}),
            params=[Param(name="n", type=ParamType.INT, default=3)],
        )

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("tasks.a.outputs.x", "expected a list, or one {{ expression }} that gives one, not a text"),
            ("in/{{ run.date }}", "expected a list, or one {{ expression }} that gives one, not a text"),
            ("{{ tasks.a.outputs. }}", "not an expression: invalid syntax"),
            ("{{ tasks.b.outputs.x }}", "tasks.b: there is no task 'b'"),
            ("{{ tasks.z.outputs.x }}", "tasks.z is not upstream of this task"),
            ("{{ item }}", "item has a value only in `params` and `when` of a task with for_each"),
            (("{{ params.nobody }}",), "params.nobody: there is no parameter 'nobody'"),
            ((), "the list has no items: the task would have no copy"),
            (tuple(range(1001)), "the list has 1,001 items, and at most 1,000 are allowed (max_items = 1001 would"),
        ],
    )
    def test_what_is_wrong(self, source: Any, message: str) -> None:
        found = said(task("a"), task("z"), task("t", "a", for_each=source))
        assert len(found) == 1, found
        assert found[0].startswith(f"tasks.t.for_each: {message}"), found

    def test_more_items_where_the_task_says_so(self) -> None:
        assert not said(task("t", for_each=tuple(range(1001)), max_items=1001))

    def test_not_with_a_matrix(self) -> None:
        (found,) = said(task("t", for_each=("x",), matrix=Matrix(axes={"k": (1,)})))
        assert found.startswith("tasks.t.for_each: a task has copies by `matrix` or by `for_each`, not by both")
