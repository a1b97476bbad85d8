"""Exact literals of Bash, where every value is text: scalars, and lists of them. Must not check names in general.

The lines are printable ASCII: an interactive Bash reads them by readline, which changes other bytes by its locale and
its keys; and each parameter is one line, for kernels that send a cell line by line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
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
    """One line for each parameter, after one that makes them plain. Raises ValueError for what has no one text."""
    lines = [_assignment(name, value) for name, value in params.items()]
    texts = [name for name, value in params.items() if type(value) is not int]
    # A variable that the notebook has declared with `-i` would calculate its new value, and run what stands in it.
    return [f"declare +i {' '.join(texts)}", *lines] if texts else lines


def _assignment(name: str, value: Any) -> str:
    if _ITS_OWN.fullmatch(name):
        raise ValueError(f"{name}: Bash has a use of its own for this name")
    if isinstance(value, list):
        return f"{name}=({' '.join(_write(item, f'{name}[{i}]') for i, item in enumerate(value))})"
    return f"{name}={_write(value, name)}"


def _write(value: Any, path: str) -> str:
    match value:
        case bool():
            text = "true" if value else "false"
        case int() | float() | str() | PurePosixPath():
            text = str(value)
        case date() | time():
            text = value.isoformat()
        case _:
            kind = "None" if value is None else type(value).__name__
            reason = f"Bash has text, numbers, dates and times, and lists of them, no {kind}"
            raise InexactValueError(path, kind, f"{reason} in a list" if path.endswith("]") else reason)
    if "\0" in text:
        raise InexactValueError(path, "str", "Bash has no NUL in text")
    return quoted(text)


def quoted(text: str) -> str:
    """Single quotes, in which nothing has a meaning; else `$'...'` with the codes of UTF-8, so that a value is one
    line, and the history of an interactive Bash, which is expanded before quotes are read, finds no `!`."""
    if not any(map(_needs_code, text)):
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(_codes(char) if _needs_code(char) or char in "\\'" else char for char in text) + "'"


def _codes(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode())


def _needs_code(char: str) -> bool:
    return char == "!" or not " " <= char <= "~"
