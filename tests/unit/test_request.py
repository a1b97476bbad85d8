"""From a request to the first event of a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.events import RunCreated
from nbflow.core.plan import Action, Plan, Source
from nbflow.core.rows import Past
from nbflow.core.spec import Matrix, Param, ParamType, Pipeline, ProjectSpec, Task
from nbflow.core.values import decode
from nbflow.errors import UsageError
from nbflow.request import History, Request, likeness, make_basis, make_run, only, plan_run, to_instant
from nbflow.runs import Likeness
from support.build import planned

NOW = datetime(2026, 1, 31, 5, 0, tzinfo=UTC)
NO_HISTORY = History(past=lambda _: None, previous=lambda: None)


def a_pipeline(**params: Param) -> Pipeline:
    tasks = {
        "clean": Task(name="clean", notebook="clean.ipynb"),
        "train": Task(
            name="train",
            notebook="train.ipynb",
            needs=("clean",),
            params={"rows": "{{ tasks.clean.outputs.rows }}"},
            matrix=Matrix(axes={"model": ("ridge", "gbm")}),
        ),
    }
    return Pipeline(name="sales", tasks=tasks, params=params, max_parallel=3, timeout=60.0)


def made(pipeline: Pipeline, request: Request, history: History = NO_HISTORY) -> RunCreated:
    spec = ProjectSpec(
        root="/p",
        file="pipelines.toml",
        pipelines={"sales": pipeline},
        timezone="Europe/Prague",
        outputs="/p/out",
        state="/p/out/s",
        pools={"db": 2},
    )
    plan = plan_run(pipeline, request, {"clean.ipynb": Source(accepts=("day",), sha256="1")}, history)
    return make_run(spec, pipeline, request, make_basis(spec, pipeline, request, NOW), plan, facts={"host": "h"})


def params_of(run: RunCreated) -> Mapping[str, Any]:
    return {name: decode(value) for name, value in run.params.items()}


def test_a_run_is_made() -> None:
    run = made(a_pipeline(), Request(jobs=4, fail_fast=True))
    assert run.run.startswith("sales-20260131T060000-")
    assert run.logical_date == NOW
    settings = run.settings
    assert (settings.outputs, settings.folder) == ("out", f"sales/{run.run}")
    assert settings.journals == f"/p/out/.nbflow/journals/{run.run}"
    assert (settings.jobs, settings.fail_fast, settings.max_parallel, settings.timeout) == (4, True, 3, 60.0)
    assert settings.pools == {"db": 2}
    assert [one.name for one in run.plan.tasks] == ["clean", "train[ridge]", "train[gbm]"]


def test_two_runs_of_one_instant_have_two_names() -> None:
    assert made(a_pipeline(), Request()).run != made(a_pipeline(), Request()).run


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (date(2026, 7, 1), datetime(2026, 6, 30, 22, tzinfo=UTC)),
        (datetime(2026, 7, 1, 8), datetime(2026, 7, 1, 6, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 7, 1, 8, tzinfo=UTC), datetime(2026, 7, 1, 8, tzinfo=UTC)),
    ],
)
def test_logical_dates_are_of_the_project_s_zone(given: date, expected: datetime) -> None:
    assert to_instant(given, "Europe/Prague") == expected
    day = Param(name="day", type=ParamType.DATE, default="{{ run.date }}")
    run = made(a_pipeline(day=day), Request(logical_date=given))
    assert run.logical_date == expected
    assert params_of(run) == {"day": given if not isinstance(given, datetime) else date(2026, 7, 1)}


def test_texts_are_read_by_the_declared_type_and_values_are_taken_as_they_are() -> None:
    pipeline = a_pipeline(
        day=Param(name="day", type=ParamType.DATE, required=True),
        limit=Param(name="limit", type=ParamType.INT, default=1),
        name=Param(name="name", type=ParamType.STR, default=""),
    )
    run = made(pipeline, Request(params={"day": "2026-01-02", "name": "5"}, texts={"limit": "7"}))
    assert params_of(run) == {"day": date(2026, 1, 2), "limit": 7, "name": "5"}


def test_texts_win_over_values() -> None:
    limit = Param(name="limit", type=ParamType.INT, default=1)
    assert params_of(made(a_pipeline(limit=limit), Request(params={"limit": 2}, texts={"limit": "3"}))) == {"limit": 3}


@pytest.mark.parametrize(
    "request_",
    [
        Request(texts={"limit": "many"}),
        Request(params={"limit": "5"}),
        Request(params={"limit": True}),
        Request(texts={"limits": "5"}),
        Request(params={"limit": 0}),
    ],
)
def test_parameters_that_do_not_fit(request_: Request) -> None:
    limit = Param(name="limit", type=ParamType.INT, default=1, min=1)
    with pytest.raises(UsageError, match="limit"):
        made(a_pipeline(limit=limit), request_)


def test_variables_are_read_once_and_only_those_that_expressions_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "eu")
    monkeypatch.setenv("OTHER", "x")
    region = Param(name="region", type=ParamType.STR, default="{{ env('REGION') }}")
    run = made(a_pipeline(region=region), Request())
    assert params_of(run) == {"region": "eu"}
    assert run.settings.env == {"REGION": "eu"}


def test_outputs_of_what_is_not_selected_come_from_history() -> None:
    history = History(past=lambda _: Past(run="sales-1", outputs={"rows": 3}), previous=lambda: None)
    plan = made(a_pipeline(), Request(select=["train"]), history).plan
    assert [(one.name, one.action) for one in plan.tasks] == [
        ("clean", Action.REUSE),
        ("train[ridge]", Action.RUN),
        ("train[gbm]", Action.RUN),
    ]
    with pytest.raises(UsageError, match="has not succeeded before"):
        made(a_pipeline(), Request(select=["train"]))


def test_one_copy_of_a_task() -> None:
    plan = only(made(a_pipeline(), Request()).plan, "train[gbm]")
    assert [one.name for one in plan.tasks] == ["clean", "train[gbm]"]
    listed = Plan(pipeline="p", tasks=(planned("score", for_each=["a"]), planned("report", "score")))
    assert [one.only for one in only(listed, "score[a]").tasks] == ["score[a]", None]


def test_the_archive_may_lie_outside_of_the_project(tmp_path: Path) -> None:
    spec = ProjectSpec(root=str(tmp_path / "p"), file="f", pipelines={}, outputs=str(tmp_path / "o"), state="s")
    pipeline = a_pipeline()
    plan = plan_run(pipeline, Request(), {}, NO_HISTORY)
    basis = make_basis(spec, pipeline, Request(), NOW)
    assert make_run(spec, pipeline, Request(), basis, plan, facts={}).settings.outputs == "../o"


def test_a_run_may_take_results_of_those_that_are_alike() -> None:
    named = Param(name="version", type=ParamType.STR, default="{{ run.id }}")
    limit = Param(name="limit", type=ParamType.INT, default=1)
    pipeline = a_pipeline(version=named, limit=limit)
    spec = ProjectSpec(root="/p", file="f", pipelines={}, outputs="/p/o", state="s", timezone="Europe/Prague")

    def of(request: Request) -> Likeness:
        return likeness(spec, pipeline, request, make_basis(spec, pipeline, request, NOW))

    assert of(Request()) == of(Request(params={"limit": 1})), "what is named after its run does not count"
    assert of(Request()) != of(Request(params={"limit": 2}))
    assert of(Request()) != of(Request(params={"version": "1"}))
    assert of(Request()) != of(Request(logical_date=date(2026, 1, 30)))


def test_no_jobs_is_no_request() -> None:
    with pytest.raises(UsageError, match="jobs is 0"):
        made(a_pipeline(), Request(jobs=0))
