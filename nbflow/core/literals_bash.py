"""Exact literals of Bash, where every value is text: scalars only. Must not check names in general."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from nbflow.core.values import InexactValueError

_ITS_OWN = re.compile(
    r"_|BASH.*|COMP_.*|HIST.*|LD_.*|PS[0-4]|PROMPT_.*|S?RANDOM|SECONDS|EPOCH.*|LINENO|OPT(IND|ERR|ARG)|FUNC.*"
    r"|DIRSTACK|GROUPS|PIPESTATUS|E?UID|PPID|SHELLOPTS|SHELL|SHLVL|ENV|IFS|PATH|CDPATH|PWD|OLDPWD|INPUTRC|TMOUT"
    r"|TIMEFORMAT|MAIL.*|GLOBIGNORE|EXECIGNORE|FIGNORE|IGNOREEOF|COLUMNS|LINES|LC_.*|LANG|READLINE_.*|COPROC"
)
"""Variables that mean something to Bash. Some run their value: `RANDOM='a[$(id)]'` executes `id` when it is
assigned, PROMPT_COMMAND before the next prompt; some are read-only."""


def assignments(params: Mapping[str, Any]) -> list[str]:
    """One line for each parameter. Raises ValueError for what has no one text."""
    return [_assignment(name, value) for name, value in params.items()]


def _assignment(name: str, value: Any) -> str:
    if _ITS_OWN.fullmatch(name):
        raise ValueError(f"{name}: Bash has a use of its own for this name")
    match value:
        case bool():
            text = "true" if value else "false"
        case int() | float() | str() | PurePosixPath():
            text = str(value)
        case date():
            text = value.isoformat()
        case _:
            kind = "None" if value is None else type(value).__name__
            raise InexactValueError(name, kind, f"Bash has text, numbers and dates only, no {kind}")
    if "\0" in text:
        raise InexactValueError(name, "str", "Bash has no NUL in text")
    return f"{name}={_quoted(text)}"


def _quoted(text: str) -> str:
    """Single quotes, in which nothing has a meaning; else `$'...'` with codes, so that a value is one line, and the
    history of an interactive Bash, which is expanded before quotes are read, finds no `!`."""
    if not any(map(_needs_code, text)):
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(f"\\{ord(c):03o}" if _needs_code(c) or c in "\\'" else c for c in text) + "'"


def _needs_code(char: str) -> bool:
    return char < " " or char in "!\x7f"
