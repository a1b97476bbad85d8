"""Every value of a specification under its key."""

from __future__ import annotations

from datetime import date

from nbflow.core.settings import pipeline_settings, project_settings
from nbflow.core.spec import (
    Limits,
    Matrix,
    Param,
    ParamType,
    Pipeline,
    Preload,
    PreloadMode,
    ProjectSpec,
    RetryPolicy,
    Task,
)


def test_a_pipeline() -> None:
    pipeline = Pipeline(
        name="p",
        timeout=60,
        params={"day": Param(name="day", type=ParamType.DATE, default=date(2026, 1, 31), options=(date(2026, 1, 31),))},
        tasks={
            "a": Task(
                name="a",
                notebook="a.ipynb",
                params={"x": [1, 2]},
                secrets={"DB_URL": "env:X"},
                retry=RetryPolicy(retries=2, delay=5),
                limits=Limits(timeout=9, cpu=0.5, memory=10**9),
                matrix=Matrix(axes={"m": ("x", "y")}, exclude=({"m": "y"},)),
            )
        },
    )
    found = dict(pipeline_settings(pipeline))
    assert found["pipelines.p.timeout"] == 60
    assert found["pipelines.p.tasks.a.secrets.DB_URL"] == "env:X"
    assert found["pipelines.p.params.day.default"] == "2026-01-31"
    assert found["pipelines.p.params.day.options"] == ["2026-01-31"]
    assert found["pipelines.p.tasks.a.retries"] == 2
    assert found["pipelines.p.tasks.a.retry_delay"] == 5
    assert found["pipelines.p.tasks.a.timeout"] == 9
    assert found["pipelines.p.tasks.a.resources.cpu"] == 0.5
    assert found["pipelines.p.tasks.a.resources.memory"] == 10**9
    assert found["pipelines.p.tasks.a.matrix"] == {"m": ["x", "y"], "exclude": [{"m": "y"}]}
    assert found["pipelines.p.tasks.a.params.x"] == [1, 2]


def test_a_parameter_without_a_default() -> None:
    param = Param(name="x", type=ParamType.STR, required=True)
    found = dict(pipeline_settings(Pipeline(name="p", params={"x": param}, tasks={})))
    assert found["pipelines.p.params.x.default"] is None


def test_the_project() -> None:
    preloads = {
        "a": Preload(),
        "b": Preload(mode=PreloadMode.OFF),
        "c": Preload(mode=PreloadMode.GIVEN, modules=("pandas",)),
    }
    spec = ProjectSpec(
        root="/r", file="f", pipelines={}, outputs="/r/outputs", state="/r/state.db", pools={"w": 2}, preloads=preloads
    )
    assert dict(project_settings(spec)) == {
        "nbflow.timezone": "UTC",
        "nbflow.notebooks": ".",
        "nbflow.outputs": "/r/outputs",
        "nbflow.state": "/r/state.db",
        "pools.w": 2,
        "kernels.a.preload": "auto",
        "kernels.b.preload": False,
        "kernels.c.preload": ["pandas"],
    }
