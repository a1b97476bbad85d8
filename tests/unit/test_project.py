"""The composition root and the Python API, on a real store and archive, with an executor that only answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow.asked import Request
from nbflow.carrying import Carrier
from nbflow.core.decide import react
from nbflow.core.events import Stamped, type_of
from nbflow.core.messages import Cancel, Start, StopMode
from nbflow.core.retention import Retention
from nbflow.core.spec import Preload, PreloadMode
from nbflow.core.views import project as project_of
from nbflow.engine.owner import this_process
from nbflow.errors import ConfigError, ConflictError, NotFoundError, UnreachableError, UsageError
from nbflow.execution import changed
from nbflow.project import Project
from support.answering import GONE, TOML, Answering, notebook, use, write_project


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> type[Answering]:
    return use(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_project(tmp_path)


@pytest.fixture
def project(file: Path, executor: type[Answering]) -> Iterator[Project]:
    with nbflow.Project.open(file) as opened:
        yield opened


def test_a_run_from_end_to_end(project: Project, executor: type[Answering], file: Path) -> None:
    seen: list[Stamped] = []
    result = project.run("sales", params={"region": "us"}, listeners=[seen.append])
    assert (result.state, result.exit_code) == ("succeeded", 0)
    assert [order.params for order in executor.orders] == [{"region": "us"}, {"region": "us", "rows": 10}]
    assert [type_of(one.event) for one in seen][-1] == "run_finished"
    assert [one.seq for one in seen] == list(range(2, len(seen) + 2))
    folder = file.parent / "outputs" / "sales" / result.run
    assert json.loads((folder / "run.json").read_text())["state"] == "succeeded"
    assert (folder / "index.html").exists()
    assert project.runs.document(project.runs.find("@last")) == result


def test_a_failure_is_data_and_resume_does_not_repeat_what_succeeded(
    project: Project, executor: type[Answering]
) -> None:
    executor.failing = {"report"}
    failed = project.run("sales")
    assert (failed.state, failed.exit_code) == ("failed", 1)
    assert failed.task("report")["error"]["ename"] == "ValueError"
    executor.failing, executor.orders = set(), []
    done = project.execute(failed.run, resume=True)
    assert done.state == "succeeded"
    assert [(order.task, order.attempt) for order in executor.orders] == [("report", 2)]


def test_a_plan_changes_nothing(project: Project, file: Path) -> None:
    plan = project.plan("sales", Request(select=["extract"]))
    assert [(one.name, one.action.value) for one in plan.tasks] == [("extract", "run"), ("report", "skip")]
    assert not (file.parent / "outputs").exists()


def test_looking_at_runs_creates_nothing(project: Project, file: Path) -> None:
    assert project.runs.rows() == []
    assert not (file.parent / "outputs").exists()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Request(params={"region": "mars"}), UsageError),
        (Request(params={"nothing": 1}), UsageError),
        (Request(select=["nothing"]), NotFoundError),
    ],
)
def test_a_request_that_cannot_be_met_leaves_no_run(
    project: Project, file: Path, request_: Request, error: type[Exception]
) -> None:
    with pytest.raises(error):
        project.run("sales", request=request_)
    assert not (file.parent / "outputs").exists()


def test_an_unknown_executor_leaves_no_run(file: Path) -> None:
    with nbflow.Project.open(file) as project, pytest.raises(UsageError, match="lokal"):
        project.run("sales", request=Request(executor="lokal"))
    assert not (file.parent / "outputs").exists()


def test_an_unknown_pipeline(project: Project) -> None:
    with pytest.raises(NotFoundError) as caught:
        project.run("sale")
    assert caught.value.hint == "did you mean 'sales'?"


def test_faults_of_notebooks_are_found_before_anything_runs(project: Project, file: Path) -> None:
    (file.parent / "report.ipynb").write_text(notebook("region"))
    with pytest.raises(ConfigError, match="rows"):
        project.run("sales")
    assert any("rows" in problem.message or "rows" in problem.key for problem in project.validate())


def test_faults_of_another_pipeline_are_not_in_the_way(executor: type[Answering], file: Path) -> None:
    file.write_text(TOML + '\n[pipelines.sales2.tasks]\nx = { notebook = "gone.ipynb" }\n')
    with nbflow.Project.open(file) as project:
        assert project.run("sales").ok
        with pytest.raises(ConfigError, match="gone"):
            project.run("sales2")


def test_a_notebook_may_be_edited_between_two_runs(project: Project, executor: type[Answering], file: Path) -> None:
    project.run("sales", request=Request(select=["extract"]))
    (file.parent / "extract.ipynb").write_text(notebook("region", "more"))
    project.run("sales", request=Request(select=["extract"]))
    first, second = executor.orders
    assert first.sha256 != second.sha256


def test_faults_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing\\.toml"):
        Project.open(tmp_path / "missing.toml")
    (tmp_path / "pipelines.toml").write_text("[pipelines.a.tasks]\nx = { notebok = 'x.ipynb' }\n")
    with pytest.raises(ConfigError, match="notebook"):
        Project.open(tmp_path / "pipelines.toml")


def test_an_archive_that_cannot_be_written_is_found_before_anything_runs(
    project: Project, executor: type[Answering], file: Path
) -> None:
    (file.parent / "outputs").write_text("a file where the folder should be")
    with pytest.raises(UnreachableError):
        project.run("sales")
    assert executor.orders == []


def test_a_link_out_of_the_archive_is_found_before_anything_runs(
    project: Project, executor: type[Answering], file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    executor.failing = {"report"}
    failed = project.run("sales").run
    executor.orders.clear()
    elsewhere, place = tmp_path_factory.mktemp("elsewhere"), file.parent / "outputs/sales"
    place.rename(elsewhere / "sales")
    place.symlink_to(elsewhere / "sales")
    for act in (lambda: project.run("sales"), lambda: project.execute(failed, resume=True)):
        with pytest.raises(UnreachableError, match="by a symbolic link") as refused:
            act()
        assert refused.value.hint in ("remove the link", f"remove the link; then: nbflow resume {failed}")
    assert executor.orders == []
    assert [row.run for row in project.runs.rows()] == [failed]


def test_a_run_of_another_living_process_is_left_alone(project: Project, executor: type[Answering]) -> None:
    executor.failing = {"report"}
    failed = project.run("sales")
    project.runs.store.claim(failed.run, "elsewhere:1:1", lambda _: False)
    with pytest.raises(ConflictError, match="process 1 on elsewhere"):
        project.execute(failed.run, resume=True)


def test_cancel_asks_only_those_that_run(project: Project) -> None:
    done = project.run("sales")
    with pytest.raises(ConflictError, match="has already ended: succeeded"):
        project.cancel(done.run, by="me")


def test_a_request_to_stop_that_came_too_late_does_not_stop_the_resumed_run(
    project: Project, executor: type[Answering]
) -> None:
    executor.failing = {"report"}
    failed = project.run("sales")
    project.runs.store.post(failed.run, Cancel(mode=StopMode.CANCEL, by="somebody"))
    executor.failing = set()
    assert project.execute(failed.run, resume=True).state == "succeeded"
    assert project.runs.store.take(failed.run) == []


def test_a_store_that_fails_twice_tells_the_first_fault(
    project: Project, executor: type[Answering], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(what: str) -> Callable[..., None]:
        def fail(*_: object) -> None:
            raise UnreachableError(what)

        return fail

    run, store = project.create("sales"), project.runs.store
    monkeypatch.setattr(store, "append", broken("the disk is full"))
    monkeypatch.setattr(store, "release", broken("the store is closed"))
    with pytest.raises(UnreachableError, match="the disk is full"):
        project.execute(run)


def test_results_are_reused_for_the_same_date_and_parameters_only(project: Project, executor: type[Answering]) -> None:
    day = date(2026, 1, 31)
    first = project.run("sales", request=Request(logical_date=day))
    again = project.run("sales", request=Request(logical_date=day, select=["report"]))
    assert again.task("extract")["reused_from"] == first.run
    assert again.ok
    third = project.run("sales", request=Request(logical_date=day, select=["report"]))
    assert third.task("extract")["reused_from"] == first.run, "the run that made it, not the one that took it over"
    for other in (
        Request(logical_date=date(2026, 2, 1), select=["report"]),
        Request(logical_date=day, select=["report"], params={"region": "us"}),
    ):
        with pytest.raises(UsageError, match="with this date and these parameters"):
            project.run("sales", request=other)


def test_a_run_that_nobody_carries_out_is_ended_by_cancel(project: Project, file: Path) -> None:
    run = project.create("sales")
    assert project.cancel(run, by="me") == run
    document = project.runs.document(project.runs.find(run))
    assert document.state == "cancelled"
    assert {task["state"] for task in document["tasks"]} == {"cancelled"}
    assert (file.parent / "outputs" / "sales" / run / "index.html").exists()
    assert project.execute(run, resume=True).state == "succeeded"


def test_a_run_whose_process_died_gets_its_report_and_can_be_resumed(
    project: Project, executor: type[Answering]
) -> None:
    run = project.create("sales")
    state = project.runs.state(project.runs.find(run))
    fence = project.runs.store.claim(run, "gone:1:1", lambda _: False)
    events = react(state, [Start(owner="gone:1:1")], state.created_at)
    project.runs.store.append(events, project_of(state), fence)
    project.runs.store.release(run, fence)
    assert project.runs.state_of(project.runs.find(run)) == "interrupted"
    assert project.seal(run).exists()
    document = project.runs.document(project.runs.find(run))
    assert (document.state, document.task("extract")["state"]) == ("interrupted", "cancelled")
    error = document.task("extract")["error"]
    assert error["kind"] == "lost"
    assert project.execute(run, resume=True).state == "succeeded"


def test_a_run_whose_process_died_before_its_page_is_completed_by_the_next_command(
    project: Project, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last event and the end of its process: nobody was told of a run that was interrupted."""
    with monkeypatch.context() as dying:
        dying.setattr(Carrier, "seal", lambda *_: None)
        run = project.run("sales").run
    project.runs.store.claim(run, GONE, lambda _: False)
    page = project.archiving.page("sales", run)
    assert not page.exists()
    with Project.open(file) as later:
        row = later.runs.find(run)
        assert (row.state, row.owner) == ("succeeded", None)
        assert page.exists()
        assert later.rescued == {}
        assert later.runs.store.going() == []


def test_a_run_that_was_made_for_another_process_is_kept_for_it(
    project: Project, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = project.create("sales", owned=True)
    owner = project.runs.find(run).owner
    assert owner == this_process()
    with Project.open(file) as other:
        assert other.runs.state_of(other.runs.find(run)) == "queued"
        assert other.rescued == {}
        with pytest.raises(ConflictError, match="is going on in process"):
            other.execute(run)
        with pytest.raises(ConflictError, match="is going on in process"):
            other.execute(run, heir_of="elsewhere:1:1")
        assert other.execute(run, heir_of=owner).state == "succeeded"
        row = other.runs.find(run)
        assert (row.owner, row.document["stopped"]) == (None, None)


def test_a_run_whose_maker_died_before_it_began_is_interrupted_and_goes_on(
    project: Project, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr("nbflow.engine.owner.this_process", lambda: GONE)
        run = project.create("sales", owned=True)
    waiting = project.create("sales")
    with Project.open(file) as later:
        assert [(row.run, row.state) for row in later.runs.rows()] == [(waiting, "queued"), (run, "interrupted")]
        assert list(later.rescued) == [run]
        assert later.archiving.page("sales", run).exists()
        assert later.execute(run, resume=True).state == "succeeded"


def test_whoever_finds_a_dead_run_knows_of_it(project: Project, file: Path) -> None:
    run = project.create("sales")
    state = project.runs.state(project.runs.find(run))
    fence = project.runs.store.claim(run, GONE, lambda _: False)
    project.runs.store.append(react(state, [Start(owner=GONE)], state.created_at), project_of(state), fence)
    with Project.open(file) as later:
        assert later.cancel(run, by="me") == run, "it has just been ended, as was asked"
        assert list(later.rescued) == [run]
        assert later.runs.find(run).state == "interrupted"
        later.execute(run, resume=True)
        assert later.rescued == {}, "it went on"
    with Project.open(file) as last, pytest.raises(ConflictError, match="has already ended: succeeded"):
        last.cancel(run, by="me")


def test_a_run_is_taken_out(project: Project) -> None:
    run = project.run("sales").run
    rule = Retention(runs=("@last",))
    assert project.prune(rule, agree=lambda found: not found.runs) is None
    done = project.prune(rule)
    assert done is not None
    assert [one.run for one in done.runs] == [run]
    assert project.runs.rows() == []


def test_a_sealed_archive_is_not_written_again(project: Project) -> None:
    page = project.seal(project.run("sales").run)
    before = page.stat().st_mtime_ns
    assert project.seal("@last") == page
    assert page.stat().st_mtime_ns == before


def test_notebooks_that_changed_since_a_run_was_planned(
    project: Project, executor: type[Answering], file: Path
) -> None:
    executor.failing = {"report"}
    run = project.run("sales").run
    assert changed(project.runs.state(project.runs.find(run)), str(file.parent)) == []
    for name in ("extract", "report"):
        (file.parent / f"{name}.ipynb").write_text(notebook("region", "rows", "more"))
    found = changed(project.runs.state(project.runs.find(run)), str(file.parent))
    assert found == ["report.ipynb"], "what succeeded will not run again"


def test_a_report_of_a_run_that_ended(project: Project, file: Path) -> None:
    done = project.run("sales")
    page = file.parent / "outputs" / "sales" / done.run / "index.html"
    before = page.read_bytes()
    page.unlink()
    assert project.seal("@last") == page
    assert page.read_bytes() == before
    with pytest.raises(ConflictError, match="not ended"):
        project.seal(project.create("sales"))


def test_resuming_a_run_that_succeeded_completes_its_archive(
    project: Project, file: Path, executor: type[Answering], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may have died after the last event and before the page, which then tells of an earlier end."""
    executor.failing = {"report"}
    run = project.run("sales").run
    folder = file.parent / "outputs" / "sales" / run
    executor.failing = set()
    with monkeypatch.context() as dying:
        dying.setattr(Carrier, "seal", lambda *_: None)
        assert project.execute(run, resume=True).state == "succeeded"
    assert json.loads((folder / "run.json").read_text("utf-8"))["state"] == "failed"
    assert project.execute(run, resume=True).state == "succeeded"
    assert json.loads((folder / "run.json").read_text("utf-8"))["state"] == "succeeded"


def test_testing_a_task_records_nothing(project: Project, executor: type[Answering], file: Path) -> None:
    project.run("sales")
    executor.orders = []
    result: dict[str, Any] = project.test("sales", "report", Request(texts={"region": "us"}))
    assert result["state"] == "succeeded"
    (order,) = executor.orders
    assert order.params == {"region": "us", "rows": 10}
    assert order.outputs.endswith("outputs/.nbflow/tests")
    assert len(project.runs.rows()) == 1


class TestPreparation:
    """An executor loads while the run is made ready, and is closed whatever comes."""

    def test_run(self, project: Project, executor: type[Answering]) -> None:
        project.run("sales")
        assert executor.prepared == [{}, {"python3": Preload()}]
        assert executor.closed

    def test_what_the_notebooks_import_and_what_is_declared(self, file: Path, executor: type[Answering]) -> None:
        document = json.loads(notebook("region"))
        document["cells"].append({**document["cells"][0], "id": "q", "metadata": {}, "source": "import pandas.io"})
        (file.parent / "extract.ipynb").write_text(json.dumps(document))
        nbflow.Project.open(file).run("sales")
        assert executor.prepared[-1] == {"python3": Preload(modules=("pandas.io",))}
        file.write_text(f"kernels.python3.preload = false\n{TOML}")
        nbflow.Project.open(file).run("sales")
        assert executor.prepared[-1] == {"python3": Preload(mode=PreloadMode.OFF)}

    def test_test(self, project: Project, executor: type[Answering]) -> None:
        project.test("sales", "extract")
        assert executor.prepared == [{}, {"python3": Preload()}]
        assert executor.closed

    def test_a_selection_is_known_with_the_plan(self, file: Path, executor: type[Answering]) -> None:
        document = json.loads(notebook("region", "rows"))
        document["cells"].append({**document["cells"][0], "id": "q", "metadata": {}, "source": "import pandas"})
        (file.parent / "report.ipynb").write_text(json.dumps(document))
        nbflow.Project.open(file).run("sales", request=Request(exclude=["report"]))
        assert executor.prepared == [{}, {"python3": Preload()}]

    def test_resume_prepares_what_is_left(self, project: Project, executor: type[Answering]) -> None:
        executor.failing = {"report"}
        run = project.run("sales").run
        executor.prepared.clear()
        executor.failing = set()
        project.execute(run, resume=True)
        assert executor.prepared == [{}, {"python3": Preload()}]
        executor.prepared.clear()
        project.execute(run, resume=True)
        assert executor.prepared == []

    def test_a_run_that_is_refused(self, project: Project, file: Path, executor: type[Answering]) -> None:
        (file.parent / "report.ipynb").unlink()
        with pytest.raises(ConfigError):
            project.run("sales")
        assert executor.prepared == [{}]
        assert len(executor.closed) == 1
