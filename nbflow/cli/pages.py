"""The commands about pages: open, report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.files import write_file
from nbflow.cli.logs import one_task
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.uploads import settle
from nbflow.errors import NotFoundError

if TYPE_CHECKING:
    from nbflow.project import Project


@click.command("open")
@click.argument("what", metavar="RUN[/TASK]")
@click.option("--print", "print_only", is_flag=True, help="Print the path and open nothing.")
@json_option()
@pass_session
def open_command(session: Session, what: str, print_only: bool) -> None:
    """Open the page of a run or a task in the browser.

    Prints its path; where there is no display, that is all.

    \b
    nbflow open @last
    nbflow open @last/report
    """
    run, slash, name = what.partition("/")
    with session.records() as project:
        page = _task_page(project, run, name) if slash else project.seal(run)
    opened = not print_only and _has_display() and _open(page)
    if session.outputs.json:
        session.out.document({"path": str(page), "opened": opened})
    else:
        session.out.line(str(page))


@click.command("report")
@click.argument("run")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Copy the page to FILE.")
@json_option()
@pass_session
def report_command(session: Session, run: str, output: Path | None) -> None:
    """Make the page of a run if it is not there, and print its path.

    Where the archive is object storage, what still waits on this machine is uploaded.

    \b
    nbflow report @last
    nbflow report @last -o report.html
    """
    with session.records() as project:
        found, page = project.runs.find(run).run, project.seal(run)
        if output is not None:
            write_file(output, page.read_bytes())
            page = output.absolute()
        if session.outputs.json:
            session.out.document({"path": str(page)})
        else:
            session.out.line(str(page))
        if project.doubt is None:
            settle(session, project)
        if (trouble := project.archiving.sender.trouble(found)) is not None:
            raise project.doubt or trouble


def _task_page(project: Project, run: str, name: str) -> Path:
    row = project.runs.find(run)
    task = one_task(project.runs.state(row), name)
    document = project.runs.document(row).task(task)
    if document["html"] is None:
        raise NotFoundError(
            f"{row.run}/{task} has no page: it is {document['state']}", hint=f"why: nbflow explain {row.run}/{task}"
        )
    return project.archiving.fetcher.place(document["html"])


def _has_display() -> bool:
    """Whether a browser has a place to show itself; one in the terminal is not what `open` promises."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _open(page: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(page.absolute().as_uri())
    except webbrowser.Error:
        return False
