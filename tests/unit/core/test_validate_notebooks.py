"""Faults between tasks and their notebooks: names, types, literals, kernels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from nbflow.core.contract import Contract, Declared, read_contract
from nbflow.core.spec import Matrix, Param, ParamType, Pipeline, Preload, ProjectSpec, Task
from nbflow.core.validate_notebooks import NotebookFacts, validate_notebooks
from support.folders import KERNELS, document


def facts(params: str | None = None, *code: str, kernel: str | None = "python3", **more: Any) -> NotebookFacts:
    return NotebookFacts(contract=read_contract(document(params, *code, kernel=kernel, **more)), kernel=kernel)


def said(
    notebooks: Mapping[str, NotebookFacts],
    *tasks: Task,
    params: tuple[Param, ...] = (),
    kernels: Mapping[str, str] | None = None,
) -> list[str]:
    """Faults as `key: message (hint)`, the keys below the pipeline."""
    pipeline = Pipeline(name="p", tasks={one.name: one for one in tasks}, params={one.name: one for one in params})
    spec = ProjectSpec(root="/p", file="pipelines.toml", pipelines={"p": pipeline}, outputs="o", state="s")
    return [
        f"{'warning ' if fault.warning else ''}{'.'.join(fault.key[2:])}: {fault.message}"
        + (f" ({fault.hint})" if fault.hint else "")
        for fault in validate_notebooks(spec, notebooks, kernels)
    ]


def task(name: str = "t", notebook: str = "x.ipynb", /, **params: Any) -> Task:
    return Task(name=name, notebook=notebook, params=params)


DECLARED = (
    "from typing import Literal\nfrom pathlib import Path\nfrom datetime import date\nn = 1\nrate = 0.5\nname = 'x'\n"
    "flag = True\nday = date(2026, 1, 31)\nout = Path('x')\nitems = []\nconf = {}\n"
    "mode: Literal['full', 'delta'] = 'full'\n"
    "maybe: int | None = None\nfree = None"
)


def test_values_that_fit() -> None:
    given = task(
        n=2,
        rate=1,
        name="y",
        flag=False,
        day=date(2026, 2, 1),
        out="a/b",
        items=[1, "x"],
        conf={"a": 1},
        mode="delta",
        maybe=3,
    )
    assert not said({"x.ipynb": facts(DECLARED)}, given)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n", "2", "'2', of type str, is no int (x.ipynb declares `n` as int)"),
        ("n", 2.5, "2.5, of type float, is no int (x.ipynb declares `n` as int)"),
        ("n", True, "True, of type bool, is no int (x.ipynb declares `n` as int)"),
        ("name", 3, "3, of type int, is no str (x.ipynb declares `name` as str)"),
        ("day", "2026-02-01", "'2026-02-01', of type str, is no date (x.ipynb declares `day` as date)"),
        ("flag", 1, "1, of type int, is no bool (x.ipynb declares `flag` as bool)"),
        ("items", "a,b", "'a,b', of type str, is no list (x.ipynb declares `items` as list)"),
        ("mode", "half", "'half' is none of the options: 'full', 'delta' (x.ipynb declares `mode` as str)"),
        ("nme", 1, 'x.ipynb declares no parameter `nme` (did you mean "name"?)'),
        ("n", "{{ run.date }}", "the template gives a date, and x.ipynb declares `n` as int"),
        ("day", "{{ run.logical_date }}", "the template gives a datetime, and x.ipynb declares `day` as date"),
        ("rate", "{{ params.text }}", "the template gives a str, and x.ipynb declares `rate` as float"),
        ("n", "{{ run.id }}-1", "the template gives a str, and x.ipynb declares `n` as int"),
        ("n", ["{{ run.id }}"], "the template gives a list, and x.ipynb declares `n` as int"),
        ("n", "{{ days_ago(1) }}", "the template gives a date, and x.ipynb declares `n` as int"),
    ],
)
def test_values_that_do_not(name: str, value: Any, message: str) -> None:
    text = Param(name="text", type=ParamType.STR, default="a")
    found = said({"x.ipynb": facts(DECLARED)}, task(**{name: value}), params=(text,))
    assert [one for one in found if not one.startswith("warning")] == [f"tasks.t.params.{name}: {message}"]


def test_a_huge_value_is_refused_with_advice() -> None:
    (found,) = said({"x.ipynb": facts(DECLARED)}, task(name="x" * 2_000_000))
    assert found.startswith("tasks.t.params.name: ")
    assert "write a file and pass its path" in found


def test_templates_whose_type_only_the_run_knows_pass() -> None:
    given = task(
        n="{{ tasks.a.outputs.x }}",
        day="{{ run.date }}",
        rate="{{ params.n }}",
        out="{{ run.id }}/x",
        free="{{ run.date }}",
    )
    assert not said({"x.ipynb": facts(DECLARED)}, given, params=(Param(name="n", type=ParamType.INT, default=1),))


def test_a_notebook_without_a_parameters_cell_takes_none() -> None:
    hint = "tag the cell that sets the parameters with `parameters`"
    assert said({"x.ipynb": facts()}, task(a=1, b=2)) == [f"tasks.t.params: x.ipynb has no `parameters` cell ({hint})"]
    assert not said({"x.ipynb": facts()}, task())


def test_a_contract_that_is_not_complete_takes_every_name_but_only_exact_values() -> None:
    notebooks = {"x.ipynb": facts("x <- f()", kernel="ir", language="R")}
    assert not said(notebooks, task(anything=1), kernels=KERNELS)
    (found,) = said(notebooks, task(anything=10**400), kernels=KERNELS)
    assert found.startswith("tasks.t.params.anything: ")


def test_plain_parameters_of_other_languages_are_known() -> None:
    notebooks = {"x.ipynb": facts("limit <- 5L\nregion <- 'eu'", kernel="ir", language="R")}
    assert not said(notebooks, task(limit=1, region="us"), kernels=KERNELS)
    assert said(notebooks, task(limit="1", regoin="us"), kernels=KERNELS) == [
        "tasks.t.params.limit: '1', of type str, is no int (x.ipynb declares `limit` as int)",
        'tasks.t.params.regoin: x.ipynb declares no parameter `regoin` (did you mean "region"?)',
    ]


def test_parameters_of_the_run_fit_where_they_are_declared() -> None:
    notebooks = {"x.ipynb": facts("limit = 1\nregion = 'a'"), "y.ipynb": facts("limit = 'x'")}
    params = (
        Param(name="limit", type=ParamType.INT, default=3),
        Param(name="region", type=ParamType.STR, required=True),
    )
    wrong = "params.limit: the type is int, and y.ipynb declares `limit` as str"
    assert said(notebooks, task("a"), task("b", "y.ipynb"), task("c", "y.ipynb"), params=params) == [wrong]
    # a task that sets the parameter itself is not concerned
    assert not said(notebooks, task("a"), task("b", "y.ipynb", limit="z"), params=params)


def test_defaults_of_the_run_are_values_for_the_notebooks() -> None:
    notebooks = {"x.ipynb": facts("from typing import Literal\nmode: Literal['full', 'delta'] = 'full'")}
    assert said(notebooks, task(), params=(Param(name="mode", type=ParamType.STR, default="half"),)) == [
        "params.mode.default: 'half' is none of the options: 'full', 'delta' (x.ipynb declares `mode` as str)"
    ]
    assert not said(notebooks, task(), params=(Param(name="mode", type=ParamType.STR, default="{{ run.id }}"),))


def test_a_parameter_that_nothing_reads_is_a_warning() -> None:
    params = tuple(Param(name=name, type=ParamType.INT, default=1) for name in ("read", "used", "chained", "lost"))
    params = (*params, Param(name="top", type=ParamType.ANY, default="{{ params.chained }}"))
    lost = "no notebook of the pipeline declares this parameter, and no expression reads it"
    notebooks = {"x.ipynb": facts("used = 1\ny = 1\ntop = 1")}
    one = Task(name="t", notebook="x.ipynb", params={"y": "{{ params.read }}"})
    assert said(notebooks, one, params=params) == [f"warning params.lost: {lost}"]
    other = Task(name="u", notebook="x.ipynb", when="params.lost > 1")
    assert not said(notebooks, one, other, params=params)
    # nobody knows where a notebook could not be read
    assert not said(notebooks, one, task("u", "unread.ipynb"), params=params)


def test_a_parameter_without_default_needs_a_value() -> None:
    notebooks = {"x.ipynb": facts("limit: int\nrun: str")}
    assert said(notebooks, task(run="x")) == [
        "tasks.t.params.limit: x.ipynb needs a value for `limit`, and nothing gives it one (params = { limit = ... })"
    ]
    limit = Param(name="limit", type=ParamType.INT, required=True)
    assert not said(notebooks, task(run="x"), params=(limit,))
    assert not said(notebooks, task(run="x", limit="{{ run.partition }}"))


def with_matrix(params: dict[str, Any], **axes: tuple[Any, ...]) -> list[str]:
    one = Task(name="t", notebook="x.ipynb", params=params, matrix=Matrix(axes=axes))
    return said({"x.ipynb": facts("model = 'a'\nn = 1")}, one)


def test_values_of_an_axis_fit_the_parameter_that_gets_them() -> None:
    assert not with_matrix({"model": "{{ matrix.m }}", "n": "{{ matrix.k }}"}, m=("ridge", "gbm"), k=(1, 2))
    assert with_matrix({"model": "{{ matrix.m }}"}, m=("ridge", 3)) == [
        "tasks.t.matrix.m.1: 3, of type int, is no str (x.ipynb declares `model` as str)"
    ]
    assert with_matrix({"modle": "{{ matrix.m }}"}, m=("ridge", "gbm")) == [
        'tasks.t.params.modle: x.ipynb declares no parameter `modle` (did you mean "model"?)'
    ]
    assert with_matrix({"n": "{{ matrix.m }}-{{ matrix.k }}"}, m=("a",), k=(1,)) == [
        "tasks.t.params.n: the template gives a str, and x.ipynb declares `n` as int"
    ]


def test_an_axis_that_nothing_reads_is_a_warning() -> None:
    hint = "declare `kind` in the notebook's parameters cell, or read {{ matrix.kind }} in `params`"
    assert with_matrix({}, kind=("a", "b")) == [
        (
            "warning tasks.t.matrix.kind: neither the notebook nor an expression of the task reads this axis: "
            f"its copies do the same ({hint})"
        )
    ]
    one = Task(name="t", notebook="x.ipynb", when="matrix.k > 1", matrix=Matrix(axes={"k": (1, 2)}))
    assert not said({"x.ipynb": facts()}, one)


def test_an_axis_goes_to_the_notebook_that_declares_it() -> None:
    assert not with_matrix({}, model=("a", "b"), n=(1, 2))
    assert with_matrix({}, n=(1, "two")) == [
        "tasks.t.matrix.n.1: 'two', of type str, is no int (x.ipynb declares `n` as int)"
    ]
    one = Task(name="t", notebook="x.ipynb", matrix=Matrix(axes={"region": ("eu", "us")}))
    region = Param(name="region", type=ParamType.INT, default=1)
    assert not said({"x.ipynb": facts("region: str")}, one, params=(region,)), "the axis hides the run's parameter"


def test_kernels() -> None:
    notebooks = {
        "a.ipynb": facts(kernel="python3"),
        "b.ipynb": facts(kernel="conda-env-x-py"),
        "c.ipynb": facts(kernel=None),
        "d.ipynb": facts(kernel="PYTHON3"),
    }
    tasks = [
        task("a", "a.ipynb"),
        Task(name="a2", notebook="a.ipynb", kernel="julia"),
        Task(name="a3", notebook="a.ipynb", kernel="ir"),
        task("b", "b.ipynb"),
        task("b2", "b.ipynb"),
        Task(name="b3", notebook="b.ipynb", kernel="python3"),
        task("c", "c.ipynb"),
        task("d", "d.ipynb"),
    ]
    there = "installed: ir, python3"
    override = 'override it: kernel = "..."'
    missing = f'the kernel "julia" is not installed; {there} (install it, or name another one for the task)'
    many = f'the kernel "conda-env-x-py" is not installed; {there} (also for 1 other task) ({override})'
    assert sorted(said(notebooks, *tasks, kernels=KERNELS)) == [
        f"tasks.a2.kernel: {missing}",
        f"tasks.b.notebook: {many}",
        f'tasks.c.notebook: c.ipynb names no kernel (set `kernel = "..."` for the task; {there})',
        'warning tasks.a3.kernel: the kernel "ir" runs r, and a.ipynb is written in python',
    ]
    assert not said(notebooks, *tasks)


def test_the_language_of_the_kernel_decides_which_values_it_takes() -> None:
    notebooks = {"x.ipynb": facts("n = 1")}
    given = Task(name="t", notebook="x.ipynb", params={"n": 2**70})
    assert not said(notebooks, given, kernels=KERNELS)
    found = said(notebooks, Task(name="t", notebook="x.ipynb", params={"n": 2**70}, kernel="ir"), kernels=KERNELS)
    assert any(one.startswith("tasks.t.params.n: ") for one in found)


def test_warnings_of_a_notebook_are_said_once() -> None:
    notebooks = {"x.ipynb": facts("n = 1", "n = 2")}
    assert said(notebooks, task("a"), task("b")) == ["warning tasks.a.notebook: x.ipynb: cell 2 overwrites `n`"]


def test_notebooks_that_could_not_be_read_are_passed_over() -> None:
    assert not said({}, task(x=1), kernels=KERNELS)


def test_a_declared_none_says_nothing_of_the_type() -> None:
    contract = Contract(
        declared={"x": Declared(name="x", default=None, has_default=True, cell=0, line=1)},
        has_cell=True,
        complete=True,
        language="python",
    )
    assert not said({"x.ipynb": NotebookFacts(contract=contract)}, task(x=[1]))


def test_warnings_about_the_code_of_a_notebook_come_once() -> None:
    odd = NotebookFacts(contract=read_contract(document(None)), kernel="python3", warnings=("cell 2: look",))
    found = said({"x.ipynb": odd}, task("a"), task("b"))
    assert found == ["warning tasks.a.notebook: x.ipynb: cell 2: look"]


def test_settings_of_kernels_that_are_not_installed() -> None:
    preloads = {"Python3": Preload(), "pyhton3": Preload(), "julia": Preload()}
    spec = ProjectSpec(root="/p", file="f", pipelines={}, outputs="o", state="s", preloads=preloads)
    found = [(fault.key, fault.hint) for fault in validate_notebooks(spec, {}, {"python3": "python", "ir": "R"})]
    assert found == [
        (("kernels", "pyhton3"), 'did you mean "python3"?'),
        (("kernels", "julia"), "installed kernels: ir, python3"),
    ]
    assert validate_notebooks(spec, {}, None) == []


def with_items(params: dict[str, Any], *items: Any, code: str = "file = 'a'\nn = 1") -> list[str]:
    return said({"x.ipynb": facts(code)}, Task(name="t", notebook="x.ipynb", params=params, for_each=items))


def test_items_that_are_known_fit_the_parameter_that_gets_them() -> None:
    assert not with_items({"file": "{{ item }}"}, "a", "{{ run.id }}")
    assert with_items({"n": "{{ item }}"}, 1, "two") == [
        "tasks.t.for_each.1: 'two', of type str, is no int (x.ipynb declares `n` as int)"
    ]
    assert not with_items({}, 1, 2, code="item: int")
    assert with_items({}, 1, "two", code="item = 1") == [
        "tasks.t.for_each.1: 'two', of type str, is no int (x.ipynb declares `item` as int)"
    ]


def test_a_list_whose_items_nothing_reads_is_a_warning() -> None:
    (found,) = with_items({"n": 3}, "a", "b")
    assert found.startswith("warning tasks.t.for_each: neither the notebook nor an expression of the task reads `item`")
    one = Task(name="t", notebook="x.ipynb", when="item > 1", for_each="{{ tasks.a.outputs.x }}")
    assert not said({"x.ipynb": facts()}, one)


def test_a_parameter_that_only_a_list_reads_is_read() -> None:
    one = Task(name="t", notebook="x.ipynb", params={"n": "{{ item }}"}, for_each="{{ params.wanted }}")
    assert not said({"x.ipynb": facts("n = 1")}, one, params=(Param(name="wanted", type=ParamType.LIST, default=[1]),))
