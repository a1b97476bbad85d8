"""The end of a run in a few lines: what came of it, what failed and why, where to look, what to do next."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.archive.words import count, duration
from nbflow.cli.output import Output
from nbflow.cli.session import Session
from nbflow.cli.states import look
from nbflow.cli.text import between, clean, clip, one_line
from nbflow.core.addresses import is_url
from nbflow.errors import ConfigError
from nbflow.results import RunResult

if TYPE_CHECKING:
    from nbflow.core.plan import Plan
    from nbflow.project import Project

MOST_FAILURES = 5
MOST_ERROR = 300
"""Characters of an error's message."""

MOST_MISSING = 3
"""Archived files that are not there of which the names are told."""

WIDEST = 120
"""Columns of a paragraph, however wide the terminal is."""


def show_outcome(session: Session, result: RunResult, page: Path, *, is_whole: bool = True) -> None:
    """Write the summary. `page` is where the run's page lies, if it is there; `is_whole` says that all was written."""
    out, seen = session.out, look(result.state)
    took = between(result.get("started"), result.get("ended"))
    head = out.paint(f"{out.glyph(seen)} {seen.word}", f"{seen.style} bold")
    out.line()
    out.line(f"{head}  {result.run}" + (f" in {duration(took)}" if took is not None else ""))
    _prose(out, tally(result))
    failures = [task for task in result["tasks"] if task["error"] is not None and task["state"] == "failed"]
    bad = out.paint(out.glyph(look("failed")), "red")
    for task in failures[:MOST_FAILURES]:
        _prose(out, f"{one_line(task['task'])}: {error_line(task)}", mark=f"{bad} ")
    if len(failures) > MOST_FAILURES:
        _prose(out, f"and {len(failures) - MOST_FAILURES:,} more")
    if shown := session.shown_file(page):
        _pointer(out, "page", clean(shown))
    if failures:
        _pointer(out, "logs", f"nbflow logs {shlex.quote(clean(result.run + '/' + failures[0]['task']))}")
    if not (result.ok and is_whole):
        _pointer(out, "resume", f"nbflow resume {result.run}")


def warn_changed(session: Session, project: Project, run: str) -> None:
    """Say on standard error which notebooks have changed since the run was planned."""
    from nbflow.execution import changed

    for name in changed(project.runs.state(project.runs.find(run)), project.spec.root):
        session.err.line(f"changed since the run was planned: {one_line(name)}; it runs as it is now")


def warn_refused(session: Session, project: Project, run: str) -> None:
    """Say on standard error why `nbflow resume` would be refused, where notebooks are gone or damaged."""
    from nbflow.execution import read_again

    try:
        read_again(project.runs.state(project.runs.find(run)), project.spec.root)
    except ConfigError as error:
        for fault in error.problems:
            session.err.line(one_line(f"resume would be refused: {fault.file}: {fault.message}"))


def warn_missing(session: Session, project: Project, result: RunResult) -> None:
    """Say on standard error which archived files of a run are not there any more: somebody has removed them."""
    found = (task[kind] for task in result["tasks"] for kind in ("notebook", "html"))
    files = [file for file in found if file is not None and not is_url(file)]
    if missing := [file for file in files if not os.path.lexists(Path(project.spec.root, file))]:
        more = f", and {len(missing) - MOST_MISSING:,} more" if len(missing) > MOST_MISSING else ""
        session.err.line(one_line(f"warning: archived files are missing: {', '.join(missing[:MOST_MISSING])}{more}"))


def _prose(out: Output, text: str, mark: str = "") -> None:
    """A paragraph, set in, in lines that fit the terminal."""
    room = min(out.width, WIDEST) - 4
    first, *rest = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    out.line(f"  {mark}{first}")
    for line in rest:
        out.line(f"    {line}")


def _pointer(out: Output, name: str, text: str) -> None:
    out.line(f"  {out.paint(f'{name:<6}', 'dim')}  {text}")


def tally(result: RunResult) -> str:
    """`3 succeeded, 1 failed` of the tasks; what asks for attention comes last."""
    states = Counter(str(task["state"]) for task in result["tasks"])
    order = ["succeeded", "skipped", "cancelled", "upstream_failed", "failed"]
    found = sorted(states, key=lambda state: order.index(state) if state in order else -1)
    if len(found) == 1:
        return f"{count(states[found[0]], 'task')} {look(found[0]).word}"
    return ", ".join(f"{states[state]:,} {look(state).word}" for state in found) or "no tasks"


def error_line(task: Mapping[str, Any]) -> str:
    """The error of a task's document on one line."""
    error = task["error"]
    message = clip(one_line(str(error["message"])), MOST_ERROR)
    name = one_line(str(error["ename"])) if error["kind"] == "exception" and error["ename"] else str(error["kind"])
    return message if message.startswith(name) else f"{name}: {message}"


def print_plan(session: Session, plan: Plan) -> None:
    """The plan of a run, as a table or a document."""
    from nbflow.core.views import plan_document

    document = plan_document(plan)
    if session.outputs.json:
        session.out.document(document)
        return
    out = session.out
    rows = [[task["task"], out.state(look(task["action"])), task["reason"]] for task in document["tasks"]]
    out.table(("task", "action", "reason"), rows)
    actions = Counter(str(task["action"]) for task in document["tasks"])
    out.line(", ".join(f"{number:,} to {action}" for action, number in sorted(actions.items(), key=_by_size)))


def _by_size(pair: tuple[str, int]) -> int:
    return -pair[1]
