"""The commands that run something: run, test, resume, cancel."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from nbflow.cli.failures import show_error
from nbflow.cli.options import (
    Asked,
    Values,
    carrying_options,
    executor_option,
    request_of,
    selection_options,
    value_options,
)
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.states import look
from nbflow.cli.summary import print_plan, show_outcome, warn_changed, warn_missing
from nbflow.cli.text import clean, one_line
from nbflow.cli.uploads import settled
from nbflow.errors import IncompleteError, UnreachableError, UsageError
from nbflow.results import RunResult

if TYPE_CHECKING:
    from nbflow.cli.watch import Watch
    from nbflow.project import Project

NDJSON = "Print each event as a JSON line, as it happens; the last line is the run document."
VERBOSE = "Plain lines instead of the live table, also for each cell and what it prints."
CANCEL_POLL = 0.25
"""Seconds between two looks at the run that is waited for."""


@click.command("run")
@click.argument("pipeline")
@value_options
@selection_options
@click.option("-n", "--dry-run", is_flag=True, help="Print the plan and run nothing.")
@carrying_options
@click.option("--detach", is_flag=True, help="Run in the background: print the run's id and return.")
@click.option("-v", "--verbose", is_flag=True, help=VERBOSE)
@json_option(NDJSON)
@pass_session
def run_command(
    session: Session,
    /,
    *,
    pipeline: str,
    dry_run: bool,
    parallel: int | None,
    fail_fast: bool,
    executor: str,
    detach: bool,
    verbose: bool,
    **asked: Unpack[Asked],
) -> int:
    """Run a pipeline.

    \b
    nbflow run sales
    nbflow run sales -p region=us --date 2026-01-31
    nbflow run sales -s +report -j 2 --fail-fast

    The first Ctrl-C stops the run and saves its notebooks, a second one kills the kernels; `nbflow resume` goes on.
    """
    if dry_run and detach:
        raise UsageError("--dry-run and --detach exclude each other")
    from nbflow import plugins

    request = request_of(asked, asked, parallel=parallel, fail_fast=fail_fast, executor=executor)
    with session.project() as project:
        _warn_of_place(session, project)
        plugins.factory(plugins.EXECUTORS, executor)
        if dry_run:
            print_plan(session, project.plan(pipeline, request))
            return 0
        if detach:
            from nbflow.cli.detach import run_detached

            return run_detached(session, project, pipeline, request)
        from nbflow.cli.watch import viewer, watching

        def past(name: str) -> dict[str, float]:
            return project.runs.durations(name)  # to look at runs loads much, and is asked for when this one has begun

        shown = viewer(session.outputs, past, verbose=verbose)
        try:
            with watching(shown, session.outputs) as watch:
                result = project.run(pipeline, request=request, listeners=[watch], attach=watch.attach)
        except IncompleteError as error:
            return _break_off(session, project, error)
        return _finish(session, project, result, watch)


@click.command("resume")
@click.argument("run")
@executor_option
@click.option("--heir-of", hidden=True, help="The owner of the run, who has made it for this process: --detach.")
@click.option("-v", "--verbose", is_flag=True, help=VERBOSE)
@json_option(NDJSON)
@pass_session
def resume_command(session: Session, run: str, executor: str, heir_of: str | None, verbose: bool) -> int:
    """Continue a run that failed, was stopped or died.

    What succeeded is not run again. RUN is a run's id, the beginning or end of one, @last or @last-failed.

    \b
    nbflow resume @last-failed
    """
    from nbflow.cli.watch import viewer, watching
    from nbflow.core.status import RunStatus

    with session.project() as project:
        _warn_of_place(session, project)
        row = project.runs.find(run)
        warn_changed(session, project, row.run)
        begun = row.state != RunStatus.QUEUED
        shown = viewer(session.outputs, project.runs.durations, verbose=verbose)
        try:
            with watching(shown, session.outputs) as watch:
                result = project.execute(
                    row.run, resume=begun, heir_of=heir_of, executor=executor, listeners=[watch], attach=watch.attach
                )
        except IncompleteError as error:
            return _break_off(session, project, error)
        if not watch.is_attached and not session.outputs.json:
            session.out.line("nothing to resume: the run has succeeded")
        return _finish(session, project, result, watch)


@click.command("test")
@click.argument("task", metavar="PIPELINE.TASK")
@value_options
@executor_option
@json_option("Print the run document at the end.")
@pass_session
def test_command(session: Session, task: str, executor: str, **values: Unpack[Values]) -> int:
    """Run one task, recorded nowhere.

    Outputs of other tasks that it reads are those of their newest success. The executed notebook is kept in
    .nbflow/tests below the archive.

    \b
    nbflow test sales.clean -p day=2026-01-31
    nbflow test 'sales.train[ridge,eu]'
    """
    from nbflow.cli.watch import Nobody, PlainLines, watching

    pipeline, dot, name = task.partition(".")
    if not dot or not pipeline or not name:
        raise UsageError(f"'{task}' is not PIPELINE.TASK", hint="for example: nbflow test sales.clean")
    request = request_of(values, executor=executor)
    with session.project() as project:
        shown = Nobody() if session.outputs.json else PlainLines(session.out, verbose=True)
        with watching(shown, session.outputs) as watch:
            result = project.test(pipeline, name, request, listeners=[watch], attach=watch.attach)
        if session.outputs.json:
            session.out.document(result)
        else:
            _show_test(session, project, result)
        return _told(session, result, "its notebook is kept, in .nbflow/tests below the archive")


@click.command("cancel")
@click.argument("run")
@click.option("--force", is_flag=True, help="Kill the kernels now instead of interrupting them.")
@click.option("--wait", is_flag=True, help="Return once the run has ended.")
@json_option("Print the run document without its tasks.")
@pass_session
def cancel_command(session: Session, run: str, force: bool, wait: bool) -> int:
    """Stop a run that another process carries out.

    Its kernels are interrupted and its notebooks saved.

    \b
    nbflow cancel @last --wait
    """
    with session.records() as project:
        asked = project.cancel(run, by="nbflow cancel", force=force)
        if wait:
            _wait(project, asked)
        summary = project.runs.summary(project.runs.find(asked))
        if session.outputs.json:
            session.out.document(summary)
        else:
            went, is_over = look(str(summary["state"])).word, summary["ended"] is not None
            session.out.line(
                f"run {asked} is {went}" if wait or is_over else f"run {asked} is asked to stop; it is {went}"
            )
        return 0


def _wait(project: Project, run: str) -> None:
    """Until nobody carries the run out any more. One that nobody has begun is not waited for."""
    while True:
        row = project.runs.find(run)
        if not project.runs.is_held(row):
            return
        time.sleep(CANCEL_POLL)


def _warn_of_place(session: Session, project: Project) -> None:
    """Say what is doubtful about the place of the store, before a run relies on it."""
    from nbflow.core.database_url import is_database
    from nbflow.store.places import warnings

    if not is_database(project.spec.state):
        for text in warnings(Path(project.spec.state)):
            session.err.line(f"warning: {one_line(text)}")


def _finish(session: Session, project: Project, result: RunResult, watch: Watch) -> int:
    """The last words of a run."""
    if watch.is_late:
        project.archiving.sender.hurry()
    result = settled(session, project, result)
    _tell(session, project, result, is_whole=True)
    return _told(session, result, f"the run itself is recorded; see it with: nbflow show {result.run}")


def _break_off(session: Session, project: Project, error: IncompleteError) -> int:
    """The last words of a run that has ended, though not all of it could be written: what it came to, then why."""
    _tell(session, project, RunResult(project.archiving.mark(error.document)), is_whole=False)
    show_error(session.err, error.message, error.hint)
    return error.exit_code


def _tell(session: Session, project: Project, result: RunResult, *, is_whole: bool) -> None:
    if session.outputs.json:
        session.out.document(result, indent=None)
    else:
        page = project.archiving.page(result["pipeline"], result.run)
        show_outcome(session, result, page, is_whole=is_whole)
    warn_missing(session, project, result)


def _told(session: Session, result: RunResult, hint: str) -> int:
    """The exit code of what was run. That it could not be told is a failure too, but one that says less than its own.

    Raises UnreachableError for that where nothing else has failed.
    """
    try:
        session.out.demand()
    except UnreachableError as error:
        if result.ok:
            raise UnreachableError(error.message, hint=hint) from error
        show_error(session.err, error.message, hint)
    return result.exit_code


def _show_test(session: Session, project: Project, result: RunResult) -> None:
    """How the test of a task ended: the cells that failed, what it gave, where the notebook lies."""
    from nbflow.cli.cells import show_failure

    out = session.out
    for task in result["tasks"]:
        if task["attempts"] == 0:
            continue
        notebook = None if task["notebook"] is None else Path(project.spec.root, task["notebook"])
        if notebook is not None and task["error"] is not None:
            out.line()
            show_failure(out, notebook)
        for name, value in task["outputs"].items():
            out.line(f"  output    {one_line(name)} = {one_line(json.dumps(value, ensure_ascii=False))}")
        if notebook is not None:
            out.line(f"  notebook  {clean(session.shown_path(notebook))}")
