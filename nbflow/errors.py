"""The errors that a user may see, each with the exit code of the command line.

A module raises one of these where the user, the machine or another process is at fault; anything else that
escapes is a bug of nbflow. This module must not import anything of nbflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a file: where it is, what is wrong, what to do.

    `line` and `col` count from 1; None where a fault has no place. `key` is the dotted path of the key.
    `source` is the line of the file, for the caret, or the part of it that begins `offset` characters further on;
    neither is part of the JSON document.
    """

    file: str
    line: int | None
    col: int | None
    key: str
    message: str
    hint: str | None = None
    source: str | None = None
    warning: bool = False
    offset: int = 0

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.col) if part is not None)
        text = f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"
        if self.source is not None and self.col is not None:
            text += f"\n  {self.source}\n  {' ' * (self.col - 1 - self.offset)}^"
        return text + (f"\n  hint: {self.hint}" if self.hint else "")


class NbflowError(Exception):
    """Base of all errors that a user may see: a message of one to five lines, a hint and an exit code.

    `run` is the id of the run that was being carried out; None where there is none.
    """

    exit_code = 2
    run: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(NbflowError):
    """The request itself is wrong: a flag, a parameter, a selection."""


class ConfigError(NbflowError):
    """Files of the project are wrong; all their problems at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class NotFoundError(NbflowError):
    """No such pipeline, run or task."""

    exit_code = 3


class ConflictError(NbflowError):
    """Somebody else holds it: already running, paused, locked."""

    exit_code = 4


class UnreachableError(NbflowError):
    """The store, an executor, a kernel or the archive cannot be reached or written."""

    exit_code = 6


class StoppedError(NbflowError):
    """A run was stopped on request while there was nowhere to record that."""

    exit_code = 130


class IncompleteError(UnreachableError):
    """A run has ended, and that is recorded, but not all of it could be written. `document` is its run document.

    Exits with the code of `error`, which says what was in the way.
    """

    def __init__(self, error: NbflowError, document: dict[str, Any]) -> None:
        super().__init__(error.message, hint=error.hint)
        self.exit_code = error.exit_code
        self.document = document


class NoRoomError(UnreachableError):
    """The disk of `folder` is full."""

    def __init__(self, message: str, *, folder: Path, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.folder = folder
