"""The command logs: what happens in a run as lines, with what its cells print; of a task, its executed notebook."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.lines import Lines, is_of
from nbflow.cli.progress import Progress
from nbflow.cli.session import Session, interrupted, json_option, pass_session
from nbflow.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.rows import RunRow
    from nbflow.core.state import RunState
    from nbflow.project import Project
    from nbflow.runs import Runs

POLL = 0.25
"""Seconds between two looks for new events."""


@click.command("logs")
@click.argument("what", metavar="RUN[/TASK]")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what happens and what cells print, until the run or task ends."
)
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="The notebook of an earlier attempt of the task."
)
@click.option("-v", "--verbose", is_flag=True, help="Of a run, the cells too, and what they print.")
@json_option("Print the events as one JSON document; with --follow, each as a JSON line.")
@pass_session
def logs_command(session: Session, what: str, follow: bool, attempt: int | None, verbose: bool) -> None:
    """Show what happened in a run, or in one task of it.

    Of a task that has ended, that is its executed notebook: code, outputs and tracebacks. While a task runs, it is what
    is known of its cells so far. The exit code is 0 however the run ends; `nbflow show` tells how it did.

    \b
    nbflow logs @last
    nbflow logs @last/clean
    nbflow logs -f @last/clean
    """
    run, slash, name = what.partition("/")
    if attempt is not None and (not slash or follow):
        raise UsageError("--attempt goes with one task: RUN/TASK, and not with --follow")
    with session.records() as project:
        row = project.runs.find(run)
        task = one_task(project.runs.state(row), name) if slash else None
        notebook = None
        if task is not None and not follow and not session.outputs.json:
            notebook = _notebook(project, row, task, attempt)
        if notebook is None:
            verbose = verbose or follow or task is not None
            _write_events(session, project.runs, row, task, follow=follow, verbose=verbose)
            if follow and (cause := _interruption(project.runs, row)):
                session.err.line(interrupted(row.run, cause))
        else:
            from nbflow.cli.cells import show_notebook

            show_notebook(session.out, notebook)


def one_task(state: RunState, text: str) -> str:
    """The copy that a text means. Raises NotFoundError where there is none, or where there are several."""
    from nbflow.runs import copies_named

    found = copies_named(state, text)
    if not found:  # of a list that became empty when the run was resumed
        raise NotFoundError(
            f"'{text}' has no copies any more in run {state.run}: its for_each has no items",
            hint=f"name one that it had before: {_some(state.made[text])}",
        )
    if len(found) > 1:
        raise NotFoundError(f"'{text}' has {len(found)} copies in run {state.run}", hint=f"name one of: {_some(found)}")
    return found[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _notebook(project: Project, row: RunRow, task: str, attempt: int | None) -> Path | None:
    """The archived notebook of a task; None where there is none yet. Raises NotFoundError for no such attempt."""
    state = project.runs.state(row)
    numbers = [one.number for one in state.tasks[task].attempts]
    if task in state.live and attempt in (None, max(numbers)):
        return None
    if attempt is None or attempt == max(numbers, default=0):
        found = project.runs.document(row).task(task)["notebook"]
        return project.archiving.fetcher.notebook(found) if found is not None else None
    if attempt not in numbers:
        known = ", ".join(map(str, numbers)) or "none"
        raise NotFoundError(f"{state.run}/{task} has no attempt {attempt}", hint=f"its attempts: {known}")
    from nbflow.archive import layout

    settings, slug = state.created.settings, state.tasks[task].planned.slug
    path = layout.attempt_path(settings.folder, slug, attempt)
    return project.archiving.fetcher.notebook(f"{settings.outputs}/{path}")


def _write_events(session: Session, runs: Runs, row: RunRow, task: str | None, *, follow: bool, verbose: bool) -> None:
    events = _events(runs, row, task, follow=follow)
    if session.outputs.json:
        _write_json(session, row, (one for one in events if is_of(getattr(one.event, "task", None), task)), follow)
        return
    show: Callable[[Stamped], None] | None = None
    for stamped in events:
        if show is None:
            show = _plain_lines(session, stamped, task, verbose=verbose)
        else:
            show(stamped)


def _write_json(session: Session, row: RunRow, events: Iterable[Stamped], follow: bool) -> None:
    """One document, as it is known where it ends; of what is followed, a line for each event as it comes."""
    from nbflow.core.views import event_document

    if not follow:
        session.out.document({"run": row.run, "events": [event_document(one) for one in events]})
        return
    for stamped in events:
        session.out.document(event_document(stamped), indent=None)


def _plain_lines(session: Session, first: Stamped, task: str | None, *, verbose: bool) -> Callable[[Stamped], None]:
    """A writer of lines; the first event of a run is its creation, which tells the tasks."""
    from nbflow.core.state import fold

    return Lines(session.out, Progress(fold([first])), verbose=verbose, only=task)


def _events(runs: Runs, row: RunRow, task: str | None, *, follow: bool) -> Iterator[Stamped]:
    """The events so far and, where they are followed, those to come until the task has ended, or nobody carries the
    run out any more.
    """
    seq, is_over = 0, False
    while True:
        state = runs.state_of(runs.find(row.run))
        for stamped in runs.events(row, seq):
            seq = stamped.seq
            is_over = _is_over(stamped, task, is_over)
            yield stamped
        if not follow or is_over or state not in ("queued", "running"):
            return
        time.sleep(POLL)


def _interruption(runs: Runs, row: RunRow) -> str | None:
    """Why a run that was followed has come to an end of which there is no event; None where it has not."""
    from nbflow.rescue import cause

    now = runs.find(row.run)
    is_left = now.state in ("queued", "running") and runs.state_of(now) == "interrupted"
    return cause(now) if is_left else None


def _is_over(stamped: Stamped, task: str | None, before: bool) -> bool:
    """Whether a task has ended, after one more event."""
    from nbflow.core.events import RunResumed, TaskExpanded, type_of
    from nbflow.core.status import TRANSITIONS

    event = stamped.event
    if isinstance(event, RunResumed):
        return before and task not in event.tasks
    if isinstance(event, TaskExpanded) and event.copies:
        return before
    change = TRANSITIONS.get(type_of(event)) if getattr(event, "task", None) == task else None
    return before if change is None else change[1].ended
