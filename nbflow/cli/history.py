"""The commands that look at runs: runs, explain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from nbflow.archive.words import count, duration
from nbflow.cli.output import Output
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.states import look
from nbflow.cli.summary import warn_changed, warn_refused
from nbflow.cli.text import Cell, between, moment, one_line

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.project import Project

STATES = ("queued", "running", "succeeded", "failed", "cancelled", "interrupted")


@click.command("runs")
@click.option("--pipeline", metavar="PIPELINE", help="Of this pipeline only.")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="In this state only. Repeatable.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="At most so many."
)
@json_option()
@pass_session
def runs_command(session: Session, pipeline: str | None, states: tuple[str, ...], limit: int) -> None:
    """List runs, the newest first.

    \b
    nbflow runs --pipeline sales --state failed
    """
    from nbflow.core.views import RUNS_SCHEMA

    with session.records() as project:
        if pipeline is not None and session.broken is None:
            require_pipeline(project, pipeline)
        documents = [project.runs.summary(row) for row in project.runs.rows(pipeline, states, limit)]
        if session.outputs.json:
            session.out.document({"schema": RUNS_SCHEMA, "runs": documents})
        elif not documents:
            session.out.line("no runs" if pipeline or states else "no runs yet; begin one with: nbflow run PIPELINE")
        else:
            zone = project.spec.timezone
            rows = [_row(session.out, document, zone) for document in documents]
            session.out.table(("run", "state", "started", "took", "for"), rows)


@click.command("explain")
@click.argument("what", metavar="RUN[/TASK]")
@json_option()
@pass_session
def explain_command(session: Session, what: str) -> None:
    """Say why each task ran, waited, was skipped or failed.

    Also why it was tried again, and what `nbflow resume` would do now.

    \b
    nbflow explain @last
    nbflow explain @last/report
    """
    from nbflow.core.dispatch import waits as waiting
    from nbflow.core.pools import turns_of
    from nbflow.runs import copies_named

    run, slash, name = what.partition("/")
    with session.records() as project:
        row = project.runs.find(run)
        state = project.runs.seen(row)
        # Of a list that has become empty, what it had before tells why.
        wanted = (copies_named(state, name) or state.made[name]) if slash else list(state.tasks)
        waits = waiting(state, turns_of(state.created, project.runs.store.pools()))
        documents = {task["task"]: task for task in project.runs.document(row)["tasks"]}
        histories = _histories(project.runs.events(row), wanted)
        document = {
            "run": row.run,
            "state": project.runs.state_of(row),
            "tasks": [
                {
                    "task": task,
                    "state": documents[task]["state"],
                    "reason": documents[task]["reason"],
                    "waits_for": _open_upstreams(documents, state.tasks[task].planned.waits_for),
                    "waits": waits.get(task),
                    "history": histories[task],
                }
                for task in wanted
            ],
            "resume": list(project.runs.resumed(row, datetime.now(UTC))),
        }
        warn_changed(session, project, row.run)
        if document["state"] not in ("queued", "running", "succeeded"):
            warn_refused(session, project, row.run)
        if session.outputs.json:
            session.out.document(document)
        else:
            _explain(session.out, document, project.spec.timezone)


def require_pipeline(project: Project, pipeline: str) -> None:
    """Raise NotFoundError where there is no such pipeline. One that is gone may still have runs."""
    if pipeline not in project.spec.pipelines and not project.runs.rows(pipeline, limit=1):
        project.pipeline(pipeline)


def _row(out: Output, document: Mapping[str, Any], zone: str) -> list[Cell | str]:
    took = between(document["started"], document["ended"])
    return [
        Cell(str(document["run"]), "bold"),
        out.state(look(str(document["state"]))),
        moment(document["started"] or document["created"], zone),
        Cell("" if took is None else duration(took), right=True),
        Cell(moment(document["logical_date"], zone, seconds=False), "dim"),
    ]


def _histories(events: Iterable[Stamped], wanted: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """For each task its events that say something, with the reason in words."""
    from nbflow.core import events as ev
    from nbflow.core.views import instant

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    for stamped in events:
        task = getattr(stamped.event, "task", None)
        entries = found.get(task) if task is not None else None
        said = None if entries is None else _said(stamped, entries[-1]["type"] if entries else None)
        if entries is not None and said is not None:
            entries.append({"at": instant(stamped.at), "type": ev.type_of(stamped.event), "text": said})
        elif isinstance(stamped.event, ev.TaskExpanded):
            for number, copy in enumerate(stamped.event.copies, start=1):
                text = f"item {number:,} of {len(stamped.event.copies):,} of for_each"
                if copy.name in found:
                    found[copy.name].append({"at": instant(stamped.at), "type": "task_expanded", "text": text})
        elif isinstance(stamped.event, ev.RunResumed):
            for name in found.keys() & set(stamped.event.tasks):
                found[name].append({"at": instant(stamped.at), "type": "run_resumed", "text": stamped.event.reason})
    return found


def _said(stamped: Stamped, before: str | None) -> str | None:
    """An event in words; `before` is the type of what was said last of its task."""
    from nbflow.cli.progress import describe_error, describe_left
    from nbflow.core import events as ev

    event = stamped.event
    match event:
        case ev.TaskQueued():
            return "may run again" if before == "retry_scheduled" else f"may run: {event.reason}"
        case ev.TaskExpanded():
            return event.reason
        case ev.AttemptEnded():
            outcome = event.outcome
            took = f" after {duration(outcome.duration)}" if outcome.duration else ""  # of one that is lost, unknown
            why = f": {describe_error(outcome.error)}" if outcome.error is not None else ""
            left = f"; {describe_left(outcome.left_behind)}" if outcome.left_behind else ""
            return f"attempt {event.attempt} {outcome.verdict.value}{took}{why}{left}"
        case ev.RetryScheduled():
            delay = (event.due - stamped.at).total_seconds()
            return f"waits {duration(delay)} to be tried again: {event.reason}"
        case ev.TaskFailed():
            return event.reason if before == "attempt_ended" else f"{event.reason}: {describe_error(event.error)}"
        case ev.TaskSkipped():
            return f"skipped: {event.reason}"
        case ev.TaskBlocked():
            return f"not run: {event.reason}"
        case ev.TaskReused():
            return f"reused from {event.reused_from}: {event.reason}"
        case ev.TaskCancelled():
            return f"cancelled: {event.reason.removeprefix('cancelled ')}"
        case _:
            return None


def _open_upstreams(documents: Mapping[str, Mapping[str, Any]], upstream: Iterable[str]) -> list[str]:
    open_states = ("pending", "queued", "running", "retrying")
    return [name for name in upstream if documents[name]["state"] in open_states]


def _explain(out: Output, document: Mapping[str, Any], zone: str) -> None:
    seen = look(document["state"])
    out.line(f"run {out.paint(document['run'], 'bold')}  {out.paint(f'{out.glyph(seen)} {seen.word}', seen.style)}")
    out.line()
    for task in document["tasks"]:
        seen = look(task["state"])
        out.line(f"{out.paint(out.glyph(seen), seen.style)} {out.paint(one_line(task['task']), 'bold')}  {seen.word}")
        for entry in task["history"]:
            out.line(f"    {out.paint(moment(entry['at'], zone), 'dim')}  {one_line(entry['text'])}")
        if task["state"] == "pending" and task["waits_for"]:
            out.line(f"    waits for {one_line(', '.join(task['waits_for']))}")
        elif task["waits"]:
            out.line(f"    {one_line(task['waits'])}")
    again = document["resume"]
    if document["state"] in ("queued", "running"):
        return
    out.line()
    if document["state"] == "succeeded" or not again:
        out.line("resume would run nothing")
    else:
        out.line(f"resume would run {count(len(again), 'task')}: {one_line(', '.join(again))}")
