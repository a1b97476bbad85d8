"""How a process ended, in words; what it said last. Pure.

Must not know processes themselves.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from itertools import dropwhile

_SHOWN = 2_000
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")

_TRACEBACK = "Traceback (most recent call last):\n"


def describe_exit(code: int) -> tuple[str, int | None]:
    """How a process ended, in words, and the number of the signal that ended it, if one did."""
    if code >= 0:
        return f"exit code {code}", None
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"signal {-code}, {name}", -code


def last_words(data: bytes, longest: int = _SHOWN, mask: Callable[[str], str] = str) -> str:
    """The end of what a process wrote, without colours and control characters: `longest` characters of it.

    `mask` is applied to all of it before.
    """
    text = mask(_CONTROL.sub("", data.decode("utf-8", "replace")).strip())
    return text if len(text) <= longest else f"...{text[-longest:]}"


def without_traceback(words: str) -> str:
    """What a process wrote from its last exception on; all of it where there is none, or only a torn traceback."""
    _, found, rest = words.rpartition(_TRACEBACK)
    lines = list(dropwhile(lambda line: line.startswith(" "), rest.splitlines())) if found else []
    return "\n".join(lines) or words
