"""A run as it would be made: from the file and the notebooks as they are now, with nothing kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.asked import Request
from nbflow.core.events import RunCreated
from nbflow.core.spec import Preload
from nbflow.errors import ConfigError, UsageError
from nbflow.planning import TEST, make
from nbflow.project import Project
from support.answering import TOML, Answering, notebook, use, write_project


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> type[Answering]:
    return use(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, executor: type[Answering]) -> Iterator[Project]:
    with Project.open(write_project(tmp_path)) as opened:
        yield opened


def planned(project: Project, request: Request | None = None, executor: Answering | None = None) -> RunCreated:
    path = Path(project.spec.root, "pipelines.toml")
    pipeline = project.pipeline("sales")
    return make(project.spec, pipeline, request or Request(), path=path, runs=project.runs, executor=executor)


def test_a_run_as_it_would_be_made(project: Project) -> None:
    created = planned(project, Request(params={"region": "us"}, select=["extract"]))
    assert created.params == {"region": "us"}
    assert [(one.name, one.action.value) for one in created.plan.tasks] == [("extract", "run"), ("report", "skip")]
    assert all(one.sha256 for one in created.plan.tasks)
    assert created.settings.facts["python"]
    assert project.runs.rows() == []


def test_faults_of_its_notebooks_refuse_it_and_those_of_others_do_not(tmp_path: Path, project: Project) -> None:
    more = TOML + '\n[pipelines.other.tasks]\nx = { notebook = "missing.ipynb" }\n'
    (tmp_path / "pipelines.toml").write_text(more)
    planned(project)
    (tmp_path / "report.ipynb").write_text(notebook("region"))
    with pytest.raises(ConfigError, match="rows"):
        planned(project)


def test_a_test_takes_results_whatever_they_were_made_with(project: Project) -> None:
    first = project.run("sales").run
    asked = Request(select=["report"], params={"region": "us"})
    with pytest.raises(UsageError, match="these parameters"):
        planned(project, asked)
    created = planned(project, Request(select=["report"], params={"region": "us"}, trigger=TEST))
    assert created.plan.tasks[0].reused_from == first


@pytest.mark.parametrize("select", [[], ["extract"]])
def test_the_executor_is_told_what_it_needs(project: Project, executor: type[Answering], select: list[str]) -> None:
    planned(project, Request(select=select), executor())
    assert executor.prepared == [{"python3": Preload()}]
