"""The command show: a run, a task of a run, a pipeline with where its values came from, or a notebook's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from nbflow.archive.layout import run_folder
from nbflow.archive.words import count, duration
from nbflow.cli.facts import print_facts, shown_value
from nbflow.cli.notebook import show_notebook
from nbflow.cli.output import Output
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.states import look
from nbflow.cli.summary import error_line
from nbflow.cli.text import Cell, between, moment
from nbflow.core.sizes import size
from nbflow.errors import NotFoundError
from nbflow.sources import TEXT

if TYPE_CHECKING:
    from nbflow.core.spec import Origin
    from nbflow.project import Project
    from nbflow.results import RunResult

RESUMABLE = ("failed", "cancelled", "interrupted")
"""States of runs with which `nbflow resume` goes on; one that is queued is begun by it, which is not to be advised."""

SECONDS = ("retry_delay", "timeout", "cell_timeout", "start_timeout")
"""Keys whose values are seconds."""


@click.command("show")
@click.argument("what")
@json_option()
@pass_session
def show_command(session: Session, what: str) -> None:
    """Show a pipeline, a run, a task, or a notebook's parameters.

    WHAT is the name of a pipeline, PIPELINE.TASK, a run's id, the beginning or end of one, @last, @last-failed,
    RUN/TASK, or the path of a notebook.

    \b
    nbflow show sales               every value and where it came from
    nbflow show @last               a run and its tasks
    nbflow show @last/clean         one task of it
    nbflow show extract.ipynb       the parameters that a notebook declares
    """
    if what.endswith((".ipynb", *TEXT)) and show_notebook(session, what):
        return
    with session.records() as project:
        pipeline, dot, task = what.partition(".")
        if what in project.spec.pipelines:
            _show_settings(session, project, what, None)
        elif dot and pipeline in project.spec.pipelines:
            _show_settings(session, project, pipeline, task)
        else:
            _show_run(session, project, what)


def _show_run(session: Session, project: Project, what: str) -> None:
    from nbflow.cli.logs import one_task

    run, slash, name = what.partition("/")
    try:
        row = project.runs.find(run)
    except NotFoundError as error:
        if run.startswith("@"):
            raise
        if session.broken is not None:
            raise session.broken from error
        hint = "`nbflow list` and `nbflow runs` say what there is; a notebook is named by its path"
        raise NotFoundError(f"there is no pipeline, run or notebook '{what}'", hint=hint) from error
    document = project.runs.document(row)
    if slash:
        task = document.task(one_task(project.runs.state(row), name))
        if session.outputs.json:
            session.out.document(task)
        else:
            _print_task(session.out, task, project.spec.timezone)
    elif session.outputs.json:
        session.out.document(document)
    else:
        _print_run(session, project, document)


def _print_run(session: Session, project: Project, document: RunResult) -> None:
    out, zone = session.out, project.spec.timezone
    took = between(document["started"], document["ended"])
    page = project.archiving.page(document["pipeline"], document.run)
    print_facts(
        out,
        {
            "run": Cell(document.run, "bold"),
            "pipeline": document["pipeline"],
            "state": out.state(look(document.state)),
            "for": moment(document["logical_date"], zone),
            "started": moment(document["started"], zone),
            "took": "" if took is None else duration(took),
            "made by": document["trigger"],
            **{f"param {name}": shown_value(value) for name, value in document["params"].items()},
            "page": session.shown_file(page),
            "archive": _archive(project, document),
            "resume": f"nbflow resume {document.run}" if document.state in RESUMABLE else "",
        },
    )
    out.line()
    rows = [_task_row(out, task) for task in document["tasks"]]
    out.table(("task", "state", "took", "attempts", "cells", ""), rows)


def _archive(project: Project, document: RunResult) -> str:
    """Where a run lies on object storage, and whether all of it does; nothing where the archive is a folder."""
    if project.archiving.url is None or "archived" not in document:
        return ""
    folder = run_folder(str(document["pipeline"]), document.run)
    place = f"{project.archiving.url}/{folder}"
    waiting = len(project.archiving.waiting(folder))
    return place if document["archived"] == "done" else f"{place}, {count(waiting, 'file')} pending"


def _task_row(out: Output, task: Mapping[str, Any]) -> list[Cell | str]:
    took = between(task["started"], task["ended"])
    cells = task["cells"]
    ran = cells["ok"] + cells["failed"]
    return [
        Cell(task["task"], "bold"),
        out.state(look(task["state"])),
        Cell("" if took is None else duration(took), right=True),
        Cell(str(task["attempts"] or ""), right=True),
        Cell(f"{ran}/{cells['total']}" if cells["total"] else "", right=True),
        Cell(error_line(task), "red") if task["error"] else Cell(task["reason"], "dim"),
    ]


def _print_task(out: Output, task: Mapping[str, Any], zone: str) -> None:
    took = between(task["started"], task["ended"])
    cells = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in task["cells"].items() if number)
    print_facts(
        out,
        {
            "task": Cell(task["task"], "bold"),
            "state": out.state(look(task["state"])),
            "reason": task["reason"],
            "error": Cell(error_line(task) if task["error"] else "", "red"),
            "after": ", ".join(task["upstream"]),
            "attempts": str(task["attempts"] or ""),
            "started": moment(task["started"], zone),
            "took": "" if took is None else duration(took),
            "cells": cells,
            **{f"param {name}": shown_value(value) for name, value in task["params"].items()},
            **{f"output {name}": shown_value(value) for name, value in task["outputs"].items()},
            "reused from": task["reused_from"] or "",
            "archived": task.get("archived") or "",
            "notebook": task["notebook"] or "",
            "page": task["html"] or "",
        },
    )


def _show_settings(session: Session, project: Project, pipeline: str, task: str | None) -> None:
    """The values of a pipeline, or of one of its tasks, each with where it came from."""
    from nbflow.core.settings import pipeline_settings, project_settings

    known = project.pipeline(pipeline).tasks
    if task is not None and task not in known:
        names = ", ".join(list(known)[:20])
        raise NotFoundError(f"pipeline '{pipeline}' has no task '{task}'", hint=f"its tasks: {names}")
    top = f"pipelines.{pipeline}." if task is None else f"pipelines.{pipeline}.tasks.{task}."
    found = [(key, value) for key, value in pipeline_settings(project.pipeline(pipeline)) if key.startswith(top)]
    found = [*(project_settings(project.spec) if task is None else ()), *found]
    origins = project.spec.origins
    if session.outputs.json:
        values = [{"key": key, "value": value, **_origin_document(origins.get(key))} for key, value in found]
        session.out.document({"pipeline": pipeline, "task": task, "values": values})
        return
    rows: list[list[Cell | str]] = []
    for key, value in found:
        shown = key.removeprefix(f"pipelines.{pipeline}.")
        is_set = (origin := origins.get(key)) is not None and origin.layer != "default"
        rows.append([Cell(shown, "" if is_set else "dim"), _setting(shown, value), Cell(_origin_text(origin), "dim")])
    session.out.table(("key", "value", "from"), rows)


def _setting(key: str, value: Any) -> str:
    """A value of a specification; seconds as a duration, bytes as a size."""
    if isinstance(value, float | int) and key.rsplit(".", 1)[-1] in SECONDS:
        return duration(value)
    return size(value) if isinstance(value, int) and key.endswith(".resources.memory") else shown_value(value)


def _origin_text(origin: Origin | None) -> str:
    if origin is None or origin.file is None:
        return "default"
    place = f"{origin.file}:{origin.line}" if origin.line is not None else origin.file
    return place if origin.layer in ("task", "pipeline", "project") else f"{place} ({origin.layer})"


def _origin_document(origin: Origin | None) -> dict[str, Any]:
    if origin is None:
        return {"layer": "default", "file": None, "line": None}
    return {"layer": origin.layer, "file": origin.file, "line": origin.line}
