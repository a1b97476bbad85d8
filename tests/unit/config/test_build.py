"""From tables to a specification: inheritance and paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.build import Builder, inside
from nbflow.core.spec import Backoff, Limits, Pipeline, RetryPolicy, RunIf, Task


def built(tables: dict[str, Any], defaults: dict[str, Any] | None = None, folder: str = ".") -> Pipeline:
    builder = Builder(folder=folder, defaults=defaults or {})
    (pipeline,) = builder.pipelines({"p": tables})
    assert not builder.faults
    return pipeline


def test_a_bare_task_has_the_defaults_of_the_specification() -> None:
    assert built({"tasks": {"a": {"notebook": "a.ipynb"}}}).tasks["a"] == Task(name="a", notebook="a.ipynb")


def test_the_task_wins_over_the_pipeline_and_that_over_defaults() -> None:
    pipeline = built(
        {
            "retries": 2,
            "kernel": "ir",
            "tasks": {"a": {"notebook": "a.ipynb", "retries": 3, "run_if": RunIf.ALWAYS}, "b": {"notebook": "b.ipynb"}},
        },
        {"retries": 1, "retry_delay": 5.0, "retry_backoff": Backoff.EXPONENTIAL, "pool": "w", "retry_on": ("timeout",)},
    )
    a, b = pipeline.tasks["a"], pipeline.tasks["b"]
    assert a.retry == RetryPolicy(retries=3, delay=5.0, backoff=Backoff.EXPONENTIAL, on=("timeout",))
    assert b.retry.retries == 2
    assert (a.kernel, a.pool, a.run_if, b.run_if) == ("ir", "w", RunIf.ALWAYS, RunIf.ALL_SUCCESS)


def test_timeout_tags_and_max_parallel_of_a_pipeline_are_its_own() -> None:
    pipeline = built(
        {
            "timeout": 100.0,
            "tags": ("p",),
            "max_parallel": 4,
            "cell_timeout": 3.0,
            "tasks": {"a": {"notebook": "a.ipynb"}, "b": {"notebook": "b.ipynb", "timeout": 2.0, "tags": ("b",)}},
        },
        {"timeout": 10.0, "tags": ("d",)},
    )
    assert (pipeline.timeout, pipeline.tags, pipeline.max_parallel) == (100.0, ("p",), 4)
    assert pipeline.tasks["a"].limits == Limits(timeout=10.0, cell_timeout=3.0)
    assert pipeline.tasks["b"].limits == Limits(timeout=2.0, cell_timeout=3.0)
    assert (pipeline.tasks["a"].tags, pipeline.tasks["b"].tags) == (("d",), ("b",))
    assert pipeline.tasks["a"].max_parallel is None


def test_resources_are_inherited_one_by_one() -> None:
    pipeline = built(
        {
            "resources": {"cpu": 2},
            "tasks": {"a": {"notebook": "a.ipynb", "resources": {"memory": 2 * 10**9}}, "b": {"notebook": "b.ipynb"}},
        },
        {"resources": {"cpu": 1, "memory": 10**9}},
    )
    assert pipeline.tasks["a"].limits == Limits(cpu=2, memory=2 * 10**9)
    assert pipeline.tasks["b"].limits == Limits(cpu=2, memory=10**9)


@pytest.mark.parametrize(
    ("folder", "path", "found"),
    [
        (".", "a.ipynb", "a.ipynb"),
        ("notebooks", "a.ipynb", "notebooks/a.ipynb"),
        ("notebooks", "../a.ipynb", "a.ipynb"),
        ("teams/x", "./sub//a.ipynb", "teams/x/sub/a.ipynb"),
        (".", "-a b{c}%d é.ipynb", "-a b{c}%d é.ipynb"),
        (".", "..a.ipynb", "..a.ipynb"),
        (".", "a\\b.ipynb", "a\\b.ipynb"),
        (".", "%2e%2e/a.ipynb", "%2e%2e/a.ipynb"),
    ],
)
def test_paths_of_notebooks(folder: str, path: str, found: str) -> None:
    assert inside(folder, path) == found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../a.ipynb", "leaves the project"),
        ("x/../../a.ipynb", "leaves the project"),
        ("..", "leaves the project"),
        ("/etc/a.ipynb", "an absolute path"),
        ("C:\\a.ipynb", "an absolute path"),
        ("s3://bucket/a.ipynb", "not supported yet: a URL"),
        ("a\0.ipynb", "NUL"),
    ],
)
def test_paths_that_leave_the_project(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        inside(".", path)


@given(st.text(st.sampled_from("ab./\\~ "), min_size=1, max_size=12))
def test_no_path_gets_out(path: str) -> None:
    try:
        found = inside("x", path)
    except ValueError:
        return
    assert not found.startswith("/")
    assert ".." not in found.split("/")


def test_a_wrong_path_is_a_fault_and_the_task_stays() -> None:
    builder = Builder(folder=".", defaults={})
    (pipeline,) = builder.pipelines({"p": {"tasks": {"a": {"notebook": "/x.ipynb"}, "b": {}}}})
    assert [fault.key for fault in builder.faults] == [("pipelines", "p", "tasks", "a", "notebook")]
    assert [task.notebook for task in pipeline.tasks.values()] == ["", ""]
