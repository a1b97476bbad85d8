"""run, resume, test and cancel, as far as they need no kernel."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nbflow.archive.files import FileArchive
from nbflow.core.attempt import TaskError, WorkOrder
from nbflow.core.decide import react
from nbflow.core.events import AttemptEnded, Stamped
from nbflow.core.messages import Report, Start
from nbflow.core.views import project as project_of
from nbflow.engine.owner import this_process
from nbflow.errors import ConflictError, NbflowError, UnreachableError
from nbflow.project import Project
from nbflow.store.sqlite import SqliteStore
from support.answering import GONE
from support.commands import Shell, Terminal, executed

NDJSON = ["run_created", "run_started"]


def test_json_lines_end_with_the_run_document(shell: Shell) -> None:
    said = shell("run", "sales", "--json")
    assert (said.code, said.err) == (0, "")
    *events, document = said.lines
    assert [event["type"] for event in events[:2]] == NDJSON
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["run"] for event in events} == {document["run"]}
    assert (document["schema"], document["state"]) == ("nbflow.run/1", "succeeded")
    assert shell("show", document["run"], "--json").json == document


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("how", [["--json"], []])
@pytest.mark.parametrize("arguments", [("run", "sales"), ("test", "sales.clean")])
def test_output_that_is_lost_is_told(
    arguments: tuple[str, str], how: list[str], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a failure, where nothing else has failed; what was run is recorded, and has its own exit code."""
    for code in (6, 1):
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            monkeypatch.setattr(sys, "stdout", full)
            said = shell(*arguments, *how)
        assert said.code == code
        assert said.err.startswith("error: cannot write any output: No space left on device\nhint: ")
        shell.script["clean/1"] = ["failed clean/1"]


def test_a_run_outlives_its_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(sys, "stdout", Gone())
    said = shell("run", "sales", "--verbose")
    assert (said.code, said.err) == (0, "")


def test_plain_lines_end_with_a_summary(shell: Shell) -> None:
    said = shell("run", "sales")
    assert said.code == 0
    lines = said.out.splitlines()
    assert "✓ extract" in lines[2]
    assert lines[-2] == "  4 tasks succeeded"
    assert lines[-1].startswith("  page    outputs/sales/sales-")
    assert "\x1b" not in said.out


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> UnreachableError:
    """No page of a run can be written."""
    full = UnreachableError("cannot write index.html: No space left on device", hint="make room")

    def refuse(*_: object) -> None:
        raise full

    monkeypatch.setattr(FileArchive, "publish", refuse)
    return full


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_an_end_is_told_though_its_page_cannot_be_written(state: str, shell: Shell, no_page: UnreachableError) -> None:
    """With the run's id and the way on; then what is in the way."""
    if state == "failed":
        shell.script["clean/1"] = ["failed clean/1 exception:ValueError"]
    said = shell("run", "sales")
    assert said.code == 6
    run = shell("runs", "--json").json["runs"][0]["run"]
    assert f"{state}  {run}" in said.out
    assert said.out.splitlines()[-1] == f"  resume  nbflow resume {run}"
    assert said.err == f"error: {no_page.message}\nhint: make room\n"


@pytest.mark.usefixtures("no_page")
def test_json_lines_end_with_the_run_document_though_its_page_cannot_be_written(shell: Shell) -> None:
    for command in (["run", "sales"], ["resume", "@last"]):
        shell.script |= {f"clean/{number}": [f"failed clean/{number} exception:ValueError"] for number in (1, 2)}
        said = shell(*command, "--json")
        assert said.code == 6
        *events, document = said.lines
        assert events[-1]["type"] == "run_finished"
        assert shell("show", document["run"], "--json").json == document
        assert said.err.startswith("error: cannot write index.html")


def test_a_run_that_could_not_be_given_back_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UnreachableError("the store's disk is full")

    monkeypatch.setattr(SqliteStore, "release", refuse)
    said = shell("run", "sales", "--json")
    assert (said.code, said.lines[-1]["state"]) == (6, "succeeded")
    assert said.err == "error: the store's disk is full\n"


def failing_after_the_beginning(monkeypatch: pytest.MonkeyPatch, error: NbflowError) -> None:
    append = SqliteStore.append

    def fail(store: SqliteStore, events: Sequence[Stamped], *more: Any) -> None:
        if any(isinstance(one.event, AttemptEnded) for one in events):
            raise type(error)(error.message, hint=error.hint)
        append(store, events, *more)

    monkeypatch.setattr(SqliteStore, "append", fail)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (UnreachableError("the store's disk is full", hint="make room"), "make room; then: nbflow resume {run}"),
        (UnreachableError("the store is gone"), "see to that; then: nbflow resume {run}"),
        (ConflictError("it has been taken over", hint="look at it"), "look at it"),
    ],
)
def test_an_engine_that_is_stopped_names_its_run(
    error: NbflowError, hint: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing_after_the_beginning(failing, error)
        said = shell("run", "sales", "--json")
    first, last = said.lines[0], said.lines[-1]
    told = hint.format(run=first["run"])
    assert last == {"error": {"message": error.message, "hint": told, "exit_code": said.code}, "run": first["run"]}
    with monkeypatch.context() as failing:
        failing_after_the_beginning(failing, error)
        again, plain = shell("resume", "@last", "--json"), shell("resume", "@last")
    assert again.lines[-1] == last
    assert plain.err.splitlines()[-2:] == [f"error: {error.message}", f"hint: {told}"]


def test_where_there_is_no_run_yet_none_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise UnreachableError("the store's disk is full", hint="make room")

    monkeypatch.setattr(SqliteStore, "create", fail)
    said = shell("run", "sales", "--json")
    assert said.lines == [{"error": {"message": "the store's disk is full", "hint": "make room", "exit_code": 6}}]


def test_a_failure_exits_with_1_and_resume_goes_on(shell: Shell) -> None:
    shell.script["clean/1"] = ["failed clean/1 exception:ValueError"]
    said = shell("run", "sales")
    assert said.code == 1
    assert "  ✗ clean: ValueError: it broke" in said.out
    shell.executor.calls.clear()
    again = shell("resume", "@last", "--json")
    assert again.code == 0
    assert [call for call in shell.executor.calls if call.startswith("submit")] == [
        "submit clean/2",
        "submit train[ridge]/1",
        "submit train[gbm]/1",
    ]
    assert again.lines[0]["type"] == "run_resumed"
    assert again.lines[-1] == shell("show", "@last", "--json").json


def test_a_run_that_succeeded_has_nothing_to_resume(shell: Shell) -> None:
    run = shell.run()
    before = shell("logs", run, "--json").json
    shell.executor.calls.clear()
    said = shell("resume", run)
    assert said.code == 0
    assert said.out.startswith("nothing to resume")
    assert shell("resume", run, "--json").lines == [shell("show", run, "--json").json]
    assert shell.executor.calls == []
    assert shell("logs", run, "--json").json == before


def test_archived_files_that_are_not_there_any_more_are_told(shell: Shell) -> None:
    """In one line; the exit code tells what came of the run."""
    shell.notebooks = dict.fromkeys(("extract", "clean", "train[ridge]", "train[gbm]"), executed(("1", "ok", [])))
    done = shell("run", "sales", "--json")
    assert (done.code, done.err) == (0, "")
    notebooks = [task["notebook"] for task in done.lines[-1]["tasks"]]
    for place in notebooks:
        Path(place).unlink()
    said = shell("resume", "@last")
    assert said.code == 0
    assert said.err == f"warning: archived files are missing: {', '.join(notebooks[:3])}, and 1 more\n"


def test_the_flags_of_a_run(shell: Shell) -> None:
    shell.script["train[ridge]/1"] = ["failed train[ridge]/1"]
    arguments = ["-s", "train", "-s", "extract", "-x", "clean", "-j", "1", "--fail-fast", "-F", "--date", "2026-01-31"]
    said = shell("run", "sales", *arguments, "-p", "region=us=a", "--json")
    assert said.code == 1
    document = said.lines[-1]
    assert document["logical_date"] == "2026-01-30T23:00:00Z", "midnight in the project's zone"
    assert document["params"]["region"] == "us=a"
    states = {task["task"]: task["state"] for task in document["tasks"]}
    assert states == {
        "extract": "succeeded",
        "clean": "skipped",
        "train[ridge]": "failed",
        "train[gbm]": "cancelled",
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-j", "0"], "-j"),
        (["-j", "many"], "-j"),
        (["--executor", "loacl"], "did you mean 'local'?"),
        (["-p", "region"], "-p 'region'"),
        (["-n", "--detach"], "exclude each other"),
        (["--params-file", "none.json"], "none.json"),
        (["more"], "more"),
    ],
)
def test_a_bad_request_runs_nothing(arguments: list[str], text: str, shell: Shell) -> None:
    said = shell("run", "sales", *arguments)
    assert said.code == 2
    assert text in said.err
    assert not (shell.folder.root / "outputs" / "sales").exists()
    assert shell("runs", "--json").json["runs"] == []


def test_a_run_of_somebody_else_is_a_conflict(shell: Shell) -> None:
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
        project.runs.store.claim(run, this_process(), lambda _: True)
        said = shell("resume", run)
    assert said.code == 4
    assert f"run {run} is going on in process {os.getpid()}" in said.err


def signalled(shell: Shell, *numbers: signal.Signals) -> None:
    """The attempt of `extract` meets these signals; it ends when it is told to."""
    told = threading.Event()

    def behaviour(order: WorkOrder) -> Sequence[Report]:
        if order.task == "extract":
            for number in numbers:
                os.kill(os.getpid(), number)
            return ()
        return [_report(f"succeeded {order.task}/{order.attempt}")]

    def cancel(task: str, attempt: int, *, force: bool, error: TaskError | None) -> None:
        shell.executor.calls.append(f"cancel {task}/{attempt}" + (" force" if force else ""))
        if not told.is_set() and (force or len(numbers) == 1):
            told.set()
            assert shell.executor.report is not None
            shell.executor.report(_report(f"stopped {task}/{attempt}"))

    shell.executor.behaviour = behaviour
    shell.executor.cancel = cancel  # type: ignore[method-assign]


def _report(text: str) -> Any:
    from support.notation import parse_message

    return parse_message(text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_run_in_good_order(number: signal.Signals, shell: Shell) -> None:
    signalled(shell, number)
    said = shell("run", "sales")
    assert said.code == 130
    again = "; Ctrl-C again kills them" if number == signal.SIGINT else f" (because of {number.name})"
    assert f"stopping: the kernels are interrupted and the notebooks saved{again}\n" in said.out
    assert "■ interrupted" in said.out
    assert "cancel extract/1" in shell.executor.calls
    assert "cancel extract/1 force" not in shell.executor.calls
    document = shell("show", "@last", "--json").json
    assert document["state"] == "interrupted"
    assert {task["state"] for task in document["tasks"]} == {"cancelled"}


def test_the_second_signal_kills(shell: Shell) -> None:
    signalled(shell, signal.SIGINT, signal.SIGINT, signal.SIGINT)
    said = shell("run", "sales")
    assert said.code == 130
    assert "stopping now: the kernels are killed" in said.out
    assert shell.executor.calls.count("cancel extract/1 force") == 1


def test_a_run_that_was_cancelled_exits_with_5(shell: Shell) -> None:
    def behaviour(order: WorkOrder) -> Sequence[Report]:
        assert shell.executor.report is not None
        with Project.open(shell.folder.file) as project:
            project.cancel(order.run, by="nbflow cancel")
        return ()

    def cancel(task: str, attempt: int, *, force: bool, error: TaskError | None) -> None:
        assert shell.executor.report is not None
        shell.executor.report(_report(f"stopped {task}/{attempt}"))

    shell.executor.behaviour = behaviour
    shell.executor.cancel = cancel  # type: ignore[method-assign]
    said = shell("run", "sales")
    assert said.code == 5
    assert "■ cancelled" in said.out


def test_cancel_posts_a_request(shell: Shell) -> None:
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
        project.runs.store.claim(run, this_process(), lambda _: True)
        said = shell("cancel", run, "--force")
        assert said.out == f"run {run} is asked to stop; it is {project.runs.find(run).state}\n"
        [request] = project.runs.store.take(run)
    assert (request.by, request.force) == ("nbflow cancel", True)


def test_cancel_ends_a_run_that_nobody_carries_out(shell: Shell) -> None:
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
    said = shell("cancel", run)
    assert (said.code, said.out) == (0, f"run {run} is cancelled\n")


def left_by_the_dead(shell: Shell) -> str:
    """A run that has begun, and whose process is gone."""
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
        state = project.runs.state(project.runs.find(run))
        fence = project.runs.store.claim(run, GONE, lambda _: False)
        events = react(state, [Start(owner=GONE)], state.created_at)
        project.runs.store.append(events, project_of(state), fence)
    return run


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_whoever_meets_a_dead_run_is_told_once(shell: Shell, options: list[str]) -> None:
    run = left_by_the_dead(shell)
    said = shell("runs", *options)
    assert said.code == 0
    assert said.err == f"run {run} was interrupted: its process had died; go on with: nbflow resume {run}\n"
    assert run in said.out
    assert shell("runs", *options).err == ""


def test_dead_runs_that_cannot_be_ended_now_are_told_in_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise UnreachableError("no room\nat all")

    run = left_by_the_dead(shell)
    with monkeypatch.context() as full:
        full.setattr(FileArchive, "check", fail)
        said = shell("runs", "--json")
    assert said.code == 0
    assert [(one["run"], one["state"]) for one in said.json["runs"]] == [(run, "interrupted")]
    assert said.err == f"warning: run {run}, whose process has died, cannot be ended now: no room at all\n"


def test_who_goes_on_with_a_dead_run_need_not_be_told_how(shell: Shell) -> None:
    run = left_by_the_dead(shell)
    said = shell("resume", run)
    assert "nbflow resume" not in said.err
    assert said.code == 0


def test_cancel_is_content_that_a_dead_run_has_just_been_ended(shell: Shell) -> None:
    run = left_by_the_dead(shell)
    said = shell("cancel", run)
    assert (said.code, said.out) == (0, f"run {run} is interrupted\n")
    assert said.err.startswith(f"run {run} was interrupted: its process had died")
    assert shell("cancel", run).code == 4


def test_cancel_of_what_has_ended_is_a_conflict(shell: Shell) -> None:
    run = shell.run()
    said = shell("cancel", run, "--json")
    assert said.code == 4
    assert said.json["error"]["message"] == f"run {run} has already ended: succeeded"
    assert shell("cancel", "nope").code == 3


def test_cancel_waits_for_the_owner_only(shell: Shell) -> None:
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
        fence = project.runs.store.claim(run, this_process(), lambda _: True)
        timer = threading.Timer(0.6, project.runs.store.release, (run, fence))
        timer.start()
        said = shell("cancel", run, "--wait", "--json")
        timer.join()
    assert said.code == 0
    assert said.json["run"] == run


def test_a_test_runs_one_task_once_and_records_nothing(shell: Shell) -> None:
    shell.script["extract/1"] = ["failed extract/1 exception:ValueError"]
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["ValueError: no"]}
    shell.notebooks["extract"] = executed(("good()", "ok", []), ("bad()", "failed", [error]))
    said = shell("test", "sales.extract", "-p", "limit=3")
    assert said.code == 1
    assert [call for call in shell.executor.calls if call.startswith("submit")] == ["submit extract/1"]
    assert "✗ cell 2/2  failed" in said.out
    assert "  │ bad()\nValueError: no\n" in said.out
    assert "good()" not in said.out
    assert said.out.endswith("  notebook  outputs/.nbflow/tests/sales/extract.ipynb\n")
    assert shell("runs", "--json").json["runs"] == []


def test_a_test_may_be_of_one_copy_and_shows_its_outputs(shell: Shell) -> None:
    shell.script["train[gbm]/1"] = ["succeeded train[gbm]/1 rmse=1.5"]
    said = shell("test", "sales.train[gbm]")
    assert said.code == 0
    assert "  output    rmse = 1.5" in said.out
    assert [call for call in shell.executor.calls if call.startswith("submit")] == ["submit train[gbm]/1"]
    document = shell("test", "sales.train[gbm]", "--json").json
    assert document["state"] == "succeeded"
    assert json.dumps(document)


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ("sales", 2),
        ("sales.", 2),
        (".clean", 2),
        ("slaes.clean", 3),
        ("sales.claen", 3),
        ("sales.+clean", 3),
        ("sales.train[none]", 3),
        ("sales.tag:x", 3),
        ("sales.*", 3),
    ],
)
def test_what_cannot_be_tested(task: str, code: int, shell: Shell) -> None:
    said = shell("test", task)
    assert said.code == code
    assert "hint: " in said.err
    assert "open" not in shell.executor.calls


def test_a_test_can_be_stopped(shell: Shell) -> None:
    signalled(shell, signal.SIGINT)
    assert shell("test", "sales.extract").code == 130


def test_an_archive_that_cannot_be_written_is_found_before_anything_runs(shell: Shell) -> None:
    shell.folder.write("outputs", "a file")
    said = shell("run", "sales", "--json")
    assert said.code == 6
    assert said.json["error"]["exit_code"] == 6
    assert shell.executor.calls == []


def test_a_run_that_waits_to_be_begun_is_not_resumed(shell: Shell) -> None:
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
    said = shell("resume", run)
    assert said.code == 0
    assert f"run {run}: 4 tasks" in said.out
    assert "resumed" not in said.out
    types = [event["type"] for event in shell("logs", run, "--json").json["events"]]
    assert "run_resumed" not in types


def test_resume_and_explain_say_which_notebooks_have_changed(shell: Shell) -> None:
    shell.script["clean/1"] = ["failed clean/1"]
    run = shell.run()
    for name in ("extract", "clean"):
        shell.folder.notebook(f"{name}.ipynb", "region = 'us'")
    told = "changed since the run was planned: clean.ipynb; it runs as it is now"
    assert shell("explain", run, "--json").err.splitlines() == [told]
    said = shell("resume", run, "--json")
    assert said.err.splitlines() == [told]
    assert said.lines[-1]["state"] == "succeeded"


def test_resume_is_refused_where_a_notebook_cannot_be_run_any_more(shell: Shell) -> None:
    shell.script["clean/1"] = ["failed clean/1"]
    run = shell.run()
    before = shell("logs", run, "--json").json["events"]
    (shell.folder.root / "clean.ipynb").unlink()
    shell.folder.write("train.ipynb", '{"cells": [')
    shell.folder.write("extract.ipynb", "not needed any more")
    shell.executor.calls.clear()
    said = shell("resume", run)
    assert said.code == 2
    assert said.err.splitlines() == [
        "clean.ipynb: there is no such notebook",
        f"  hint: put it back, then: nbflow resume {run}; or begin anew: nbflow run sales",
        "train.ipynb: not a notebook: not valid JSON at line 1, column 12: Expecting value",
        "  hint: the file may be cut off or damaged",
        "error: 2 problems in clean.ipynb, train.ipynb",
    ]
    document = shell("resume", run, "--json").json
    assert document["run"] == run
    assert [problem["file"] for problem in document["error"]["problems"]] == ["clean.ipynb", "train.ipynb"]
    assert "open" not in shell.executor.calls
    assert shell("logs", run, "--json").json["events"] == before
    assert shell("explain", run, "--json").err.splitlines() == [
        "resume would be refused: clean.ipynb: there is no such notebook",
        "resume would be refused: train.ipynb: not a notebook: not valid JSON at line 1, column 12: Expecting value",
    ]
    shell.folder.notebook("clean.ipynb", "region = 'eu'")
    shell.folder.notebook("train.ipynb")
    assert shell("resume", run, "--json").lines[-1]["state"] == "succeeded"


@pytest.mark.parametrize("how", [["-n"], [], ["--detach"]])
def test_the_executor_is_looked_for_before_anything(shell: Shell, how: list[str]) -> None:
    said = shell("run", "sales", "--executor", "hpc", *how)
    assert said.code == 2
    assert "'hpc'" in said.err
    assert shell("runs", "--json").json["runs"] == []


def test_a_store_in_a_doubtful_place_is_told_of_before_a_run(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "warning" not in shell("run", "sales").err
    monkeypatch.setattr("nbflow.store.places._mounts", lambda: [("/", "nfs4")])
    for command in (("run", "sales", "--json"), ("resume", "@last")):
        said = shell(*command)
        assert said.code == 0
        assert "warning: " in said.err
        assert "on a network file system (nfs4)" in said.err
    assert shell("runs").err == ""
