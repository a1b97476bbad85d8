"""Small typed values that a notebook hands on: what `nbflow.output` displays, judged.

A display comes from executed code and is not trusted: its shape, name and size are checked. One that cannot be passed
on makes its cell fail, as an exception at that place would: a task downstream would miss it later and say less.
Must not know how displays reach a worker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nbflow.core.spec import NAME_PATTERN
from nbflow.core.values import check_size, decode, encode

MIME = "application/vnd.nbflow.output.v1+json"
MOST = 1000
"""Values that one attempt may hand on."""

_NAME = re.compile(NAME_PATTERN)


class OutputError(ValueError):
    """A displayed value that cannot be passed on; the message says why."""


def read_output(payload: object) -> tuple[str, Any]:
    """The name and the encoded value of one display, the value in its canonical encoding. Raises OutputError."""
    match payload:
        case {"name": str(name), "value": value}:
            pass
        case _:
            raise OutputError('nbflow.output: expected {"name": ..., "value": ...}')
    if not _NAME.fullmatch(name):
        raise OutputError(f"nbflow.output: {name[:80]!r} is not a name: a letter or _, then letters, digits, _ or -")
    try:
        decoded = decode(value)
        check_size(decoded, name=name)
        return name, encode(decoded, name=name)
    except ValueError as error:
        raise OutputError(f"nbflow.output({name!r}): {error}") from error


def check_room(outputs: Mapping[str, Any], name: str) -> None:
    """Raise OutputError where one more name would be too many."""
    if name not in outputs and len(outputs) >= MOST:
        raise OutputError(f"nbflow.output({name!r}): a task hands on at most {MOST} values")
