"""The commands about the project itself: init, validate, schema, doctor."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.failures import problem_document, summary
from nbflow.cli.files import write_file
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.states import look
from nbflow.cli.text import clean, one_line
from nbflow.errors import ConfigError

if TYPE_CHECKING:
    from nbflow.doctor import Check
    from nbflow.errors import Problem


@click.command("init")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@json_option()
@pass_session
def init_command(session: Session, directory: Path | None) -> None:
    """Write pipelines.toml from the notebooks of a folder.

    The folder is DIR, or this one; folders in it count too. An empty one gets two notebooks to start from as well.
    Overwrites nothing.

    \b
    nbflow init
    nbflow init analysis
    """
    from nbflow.beginning import FILE, begin_project
    from nbflow.project import Project

    folder = Path() if directory is None else directory
    written = begin_project(folder)
    with Project.open(folder / FILE) as project:
        names = list(project.spec.pipelines)
    if session.outputs.json:
        session.out.document({"files": [str(path.absolute()) for path in written], "pipelines": names})
        return
    for path in written:
        session.out.line(f"wrote {clean(session.shown_path(path))}")
    here = f" -C {shlex.quote(session.shown_path(folder))}" if directory is not None else ""
    session.out.line()
    for number, command in enumerate(("validate", "graph", *(f"run {name}" for name in names))):
        session.out.line(f"{session.out.paint('next' if number == 0 else '    ', 'dim')}  nbflow{here} {command}")


@click.command("validate")
@json_option()
@pass_session
def validate_command(session: Session) -> int:
    """Check the project's file, its notebooks and their kernels.

    Says all that is wrong at once, each with its place. Warnings do not fail.
    """
    from nbflow.config.check import check

    checked = check(session.file, profile=session.profile)
    faults = [problem for problem in checked.problems if not problem.warning]
    warnings = [problem for problem in checked.problems if problem.warning]
    if session.outputs.json:
        session.out.document(
            {
                "ok": not faults,
                "problems": [problem_document(problem) for problem in faults],
                "warnings": [problem_document(problem) for problem in warnings],
            }
        )
        return ConfigError.exit_code if faults else 0
    out = session.out
    for problem in warnings:
        out.line(f"{out.paint('warning:', 'yellow')} {clean(str(problem))}")
    for problem in faults:
        out.line(clean(str(problem)))
    out.line(_verdict(session, faults, warnings))
    return ConfigError.exit_code if faults else 0


@click.command("schema")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE.")
@json_option("The schema is JSON in any case.")
@pass_session
def schema_command(session: Session, output: Path | None) -> None:
    """Print the JSON Schema of pipelines.toml.

    Editors check and complete the file by it, where its first line names it: #:schema ./.nbflow.schema.json

    \b
    nbflow schema -o .nbflow.schema.json
    """
    from nbflow.beginning import schema_text

    if output is None:
        session.out.write(schema_text())
    else:
        write_file(output, schema_text())
        session.err.line(f"wrote {session.shown_path(output)}")


@click.command("doctor")
@json_option()
@pass_session
def doctor_command(session: Session) -> int:
    """Look for what is wrong with the installation.

    Packages, kernels, folders, and the project here: each with what to do about it.
    """
    from nbflow.doctor import examine

    checks: list[Check] = []
    for check in examine(session.file, session.profile):
        checks.append(check)
        if not session.outputs.json:
            _show_check(session, check)
    failed = [check for check in checks if check.exit_code]
    if session.outputs.json:
        found = [
            {"check": one.name, "state": one.finding.value, "message": one.message, "hint": one.hint} for one in checks
        ]
        session.out.document({"ok": not failed, "checks": found})
    return failed[0].exit_code if failed else 0


def _show_check(session: Session, check: Check) -> None:
    out, seen = session.out, look(check.finding.value)
    name = out.paint(f"{one_line(check.name):<10}", "bold")
    out.line(f"{out.paint(out.glyph(seen), seen.style)} {name}  {one_line(check.message)}")
    if check.hint and check.finding.value != "ok":
        out.line(f"  {out.paint('hint:', 'cyan')} {clean(check.hint)}")


def _verdict(session: Session, faults: Sequence[Problem], warnings: Sequence[Problem]) -> str:
    out = session.out
    if faults:
        return f"{out.paint('error:', 'red bold')} {summary(list(faults))}"
    more = f", {summary(list(warnings)).replace('problem', 'warning', 1)}" if warnings else ""
    return f"{out.paint(out.glyph(look('ok')), 'green')} {session.file} is valid{more}"
