"""The table of keys against the complete example of the documented file: every key of it is known."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from nbflow.config.keys import FILE, INCLUDED, PROFILES
from nbflow.config.shape import Reading

COMPLETE = tomllib.loads((Path(__file__).parent / "complete.toml").read_text("utf-8"))


def said(table: Any, value: Any) -> list[str]:
    reading = Reading()
    table.read(value, (), reading)
    return [
        f"{'.'.join(fault.key)}: {fault.message}" + (f" ({fault.hint})" if fault.hint else "")
        for fault in reading.faults
    ]


def test_every_key_of_the_complete_example_is_known() -> None:
    assert sorted(said(FILE, COMPLETE)) == [
        "alerts: not supported yet: alerts",
        "assets: not supported yet: assets",
        "executors: not supported yet: executors",
        "kernels.py312.python: not supported yet: python",
        "kernels.py312.requires: not supported yet: requires",
        "pipelines.sales.deadline: not supported yet: deadline",
        "pipelines.sales.on_failure: not supported yet: on_failure",
        "pipelines.sales.overlap: not supported yet: overlap",
        "pipelines.sales.reports: not supported yet: reports",
        "pipelines.sales.schedule: not supported yet: schedule",
        "pipelines.sales.tasks.clean.cache: not supported yet: cache",
        "pipelines.sales.tasks.extract.produces: not supported yet: produces",
        "pipelines.sales.tasks.train.executor: not supported yet: executor",
    ]


def test_resources_are_limits_and_gpu_is_for_executors_to_come() -> None:
    task = {"notebook": "a.ipynb", "resources": {"cpu": 0, "memory": 4, "gpu": 1, "ram": 1}}
    assert said(FILE, {"pipelines": {"p": {"tasks": {"a": task}}}}) == [
        "pipelines.p.tasks.a.resources.cpu: expected a number from 0.01 on, not the number 0",
        (
            "pipelines.p.tasks.a.resources.memory: expected a size of at least 16 MB, not the number 4 "
            '(write a size with its dimension, such as "500MB" or "4GB")'
        ),
        "pipelines.p.tasks.a.resources.gpu: not supported yet: gpu",
        "pipelines.p.tasks.a.resources.ram: unknown key (known keys: cpu, gpu, memory)",
    ]


@pytest.mark.parametrize("key", ["on_success", "on_late", "on_retry", "on_recovery"])
def test_other_documented_keys_of_a_pipeline_are_known(key: str) -> None:
    pipeline = {"tasks": {"a": {"notebook": "a.ipynb"}}, key: ["x"]}
    assert said(FILE, {"pipelines": {"p": pipeline}}) == [f"pipelines.p.{key}: not supported yet: {key}"]


def test_inputs_of_a_task_are_known() -> None:
    task = {"notebook": "a.ipynb", "inputs": ["x.csv"]}
    assert said(FILE, {"pipelines": {"p": {"tasks": {"a": task}}}}) == [
        "pipelines.p.tasks.a.inputs: not supported yet: inputs"
    ]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        *((alias, "needs") for alias in ("depends_on", "dependencies", "upstream", "after", "need", "Needs")),
        *((alias, "notebook") for alias in ("file", "path", "nb", "note_book")),
        *((alias, "params") for alias in ("parameters", "param", "args")),
        *((alias, "secrets") for alias in ("env", "secret")),
        ("trigger_rule", "run_if"),
        ("run-if", "run_if"),
        ("max_retries", "retries"),
        ("condition", "when"),
    ],
)
def test_a_wrong_key_of_a_task_leads_to_the_right_one(key: str, meant: str) -> None:
    task = {"notebook": "a.ipynb", key: 1}
    assert said(FILE, {"pipelines": {"p": {"tasks": {"a": task}}}})[0] == (
        f'pipelines.p.tasks.a.{key}: unknown key (did you mean "{meant}"?)'
    )


def test_a_key_in_the_wrong_table_is_told_where_it_belongs() -> None:
    assert said(FILE, {"needs": [], "retries": 1, "nbflow": {"schedule": "x", "pools": {}}}) == [
        "needs: does not belong here (`needs` belongs in a task)",
        "retries: does not belong here (`retries` belongs in [defaults], a pipeline or a task)",
        "nbflow.schedule: does not belong here (`schedule` belongs in a pipeline)",
        "nbflow.pools: does not belong here (`pools` belongs in the top of the file)",
    ]


def test_a_task_straight_below_a_pipeline_is_told_where_tasks_stand() -> None:
    assert said(FILE, {"pipelines": {"p": {"tasks": {}, "extract": {"notebook": "a.ipynb"}}}}) == [
        "pipelines.p.extract: unknown key (tasks stand below `tasks`: [pipelines.p.tasks.extract])"
    ]


def test_names_that_the_archive_needs_are_refused() -> None:
    tasks = {"Index": {"notebook": "a.ipynb"}}
    assert said(FILE, {"pipelines": {"reports": {"tasks": tasks}}}) == [
        "pipelines.reports: illegal name of a pipeline: the archive keeps reports in a folder of this name",
        "pipelines.reports.tasks.Index: illegal name of a task: the page of a run is index.html",
    ]


@pytest.mark.parametrize("name", ["x = 1", "a-b", "é", "class", "__name__", "x" * 65, "a.b", ""])
def test_parameters_whose_names_could_be_code_are_refused(name: str) -> None:
    pipeline = {"params": {name: 1}, "tasks": {"a": {"notebook": "a.ipynb", "params": {name: 1}}}}
    found = said(FILE, {"pipelines": {"p": pipeline}})
    assert len(found) == 2
    assert all("illegal name of a parameter" in one for one in found)


def test_an_included_file_holds_pipelines_defaults_and_pools_only() -> None:
    assert said(
        INCLUDED, {"nbflow": {"include": ["x"]}, "pools": {"a": 1}, "defaults": {}, "profiles": {}, "x": 1}
    ) == [
        "nbflow: does not belong here (`nbflow` belongs in the project's own pipelines.toml)",
        "profiles: does not belong here (`profiles` belongs in the project's own pipelines.toml)",
        "x: unknown key (known keys: defaults, pipelines, pools)",
    ]


def test_a_profile_holds_what_a_file_holds_but_profiles() -> None:
    assert said(PROFILES, {"prod": {"defaults": {"retries": 1}, "profiles": {}}}) == [
        "prod.profiles: does not belong here (`profiles` belongs in the top of the file)"
    ]
