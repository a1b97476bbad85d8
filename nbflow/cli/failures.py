"""How a command fails: one to five lines on standard error, a JSON document for programs, and the exit code."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from typing import Any

import click

from nbflow.archive.words import count
from nbflow.cli.output import Output, Outputs
from nbflow.cli.text import clean
from nbflow.errors import ConfigError, NbflowError, Problem

USAGE = 2
BUG = 70
"""A fault of nbflow itself: none of the contract's codes, so that no script takes it for one (EX_SOFTWARE)."""
INTERRUPTED = 130


def fail(error: Exception, outputs: Outputs) -> int:
    """Tell what went wrong, and return the exit code. The document names the run that was being carried out."""
    match error:
        case ConfigError():
            show_problems(error.problems, outputs.err)
            document = _document(error, summary(error.problems), error.exit_code)
            document["problems"] = [problem_document(problem) for problem in error.problems]
        case NbflowError():
            show_error(outputs.err, error.message, error.hint)
            document = _document(error, error.message, error.exit_code)
        case click.ClickException():
            message, hint = _usage(error)
            show_error(outputs.err, message, hint)
            document = {"message": message, "hint": hint, "exit_code": USAGE}
        case _:
            document = _bug(error, outputs.err)
    if outputs.json:
        run = error.run if isinstance(error, NbflowError) else None
        outputs.out.document({"error": document} | ({"run": run} if run is not None else {}), indent=None)
    return int(document["exit_code"])


def show_error(err: Output, message: str, hint: str | None = None) -> None:
    """`error: message` and, where there is one, `hint: ...`."""
    err.line(f"{err.paint('error:', 'red bold')} {_indented(message)}")
    if hint:
        err.line(f"{err.paint('hint:', 'cyan')} {_indented(hint)}")


def show_problems(problems: list[Problem], err: Output) -> None:
    """Each problem with its place, and how many there are."""
    for problem in problems:
        err.line(clean(str(problem)))
    err.line(f"{err.paint('error:', 'red bold')} {summary(problems)}")


def summary(problems: list[Problem]) -> str:
    """`3 problems in pipelines.toml`; the files with the most problems first."""
    files = Counter(problem.file for problem in problems)
    named = ", ".join(clean(name) for name, _ in files.most_common(3)) + (", ..." if len(files) > 3 else "")
    return f"{count(len(problems), 'problem')} in {named}" if problems else "the project has problems"


def problem_document(problem: Problem) -> dict[str, Any]:
    """A problem as the JSON documents have it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "col": problem.col,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
    }


def _document(error: NbflowError, message: str, code: int) -> dict[str, Any]:
    return {"message": message, "hint": error.hint, "exit_code": code}


def _usage(error: click.ClickException) -> tuple[str, str | None]:
    """What click found wrong with the command line, in our style."""
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    hint: str | None = getattr(error, "hint", None)
    if hint is None and context is not None:
        hint = f"see `{context.command_path} --help`"
    return message, hint


def _bug(error: Exception, err: Output) -> dict[str, Any]:
    if os.environ.get("NBFLOW_DEBUG"):
        err.line(clean("".join(traceback.format_exception(error))))
    message = f"this is a bug of nbflow: {type(error).__name__}: {error}"
    hint = "please report it with the traceback, which NBFLOW_DEBUG=1 in the environment shows"
    show_error(err, message, hint)
    return {"message": message, "hint": hint, "exit_code": BUG}


def _indented(text: str) -> str:
    """Further lines of a message, below the first and set in."""
    return clean(text).replace("\n", "\n  ")
