"""Names that people type."""

from __future__ import annotations

import pytest

from nbflow.core.spec import Pipeline, ProjectSpec, Task
from nbflow.errors import NotFoundError
from nbflow.lookup import find_pipeline, find_task

SALES = Pipeline(name="sales", tasks={name: Task(name=name, notebook="a.ipynb") for name in ("extract", "report")})


def spec(*pipelines: Pipeline) -> ProjectSpec:
    found = {one.name: one for one in pipelines}
    return ProjectSpec(root="/p", file="pipelines.toml", pipelines=found, outputs="/p/outputs", state="/p/state.db")


def test_what_is_there() -> None:
    assert find_pipeline(spec(SALES), "sales") is SALES
    assert find_task(SALES, "report") == find_task(SALES, "report[eu,1]") == "report"


@pytest.mark.parametrize(
    ("name", "hint"), [("sale", "did you mean 'sales'?"), ("x", "pipelines are: sales"), ("", "pipelines are: sales")]
)
def test_a_pipeline_that_is_not(name: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match=f"there is no pipeline '{name}' in pipelines.toml") as caught:
        find_pipeline(spec(SALES), name)
    assert caught.value.hint == hint


def test_where_there_are_none() -> None:
    with pytest.raises(NotFoundError) as caught:
        find_pipeline(spec(), "sales")
    assert caught.value.hint == "pipelines are: none"


@pytest.mark.parametrize(
    ("name", "hint"), [("reprot", "did you mean 'report'?"), ("x[1]", "its tasks: extract, report")]
)
def test_a_task_that_is_not(name: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match="pipeline 'sales' has no task") as caught:
        find_task(SALES, name)
    assert caught.value.hint == hint
