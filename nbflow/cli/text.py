"""Text for people: safe to print, aligned, short. Pure; must not know streams, colours of states, or runs.

Whatever comes from outside (names, titles, errors, outputs) passes `clean` or `one_line` before it is printed: a
control character could rewrite the terminal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from nbflow.core.overwrite import collapse

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\ufeff]"
)
"""Control characters but tab and newline; marks that turn the direction of text; separators; lone surrogates."""

ELLIPSIS = "…"


def clean(text: str) -> str:
    """Text with everything that a terminal could obey shown as an escape; tabs and newlines stay."""
    return _UNSAFE.sub(_escaped, text)


def one_line(text: str) -> str:
    """The same on one line: runs of blanks and newlines are one space."""
    return clean(" ".join(text.split()))


def plain_output(text: str) -> str:
    """What a cell printed, without escape sequences, as a terminal would have left it."""
    return clean(_ESCAPE.sub("", collapse(_SGR.sub("", text))))


def coloured_output(text: str) -> str:
    """The same with its colours: of all escape sequences only those that colour are kept."""
    shown, last = [], 0
    text = collapse(text)
    for match in _SGR.finditer(text):
        shown += [clean(_ESCAPE.sub("", text[last : match.start()])), match[0]]
        last = match.end()
    shown.append(clean(_ESCAPE.sub("", text[last:])))
    return "".join(shown) + ("\x1b[0m" if len(shown) > 1 else "")


def width(text: str) -> int:
    """Columns that a line takes on a terminal."""
    return len(text) if text.isascii() else sum(_columns(letter) for letter in text)


def clip(text: str, room: int) -> str:
    """The text, or its beginning and an ellipsis, in at most `room` columns."""
    if width(text) <= room:
        return text
    kept, used = [], 0
    for letter in text:
        used += _columns(letter)
        if used > room - 1:
            break
        kept.append(letter)
    return "".join(kept).rstrip() + ELLIPSIS if room > 0 else ""


def between(start: str | None, end: str | None) -> float | None:
    """Seconds from one instant of a document to another; None where one is missing."""
    if start is None or end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def moment(at: datetime | str | None, zone: str, *, seconds: bool = True) -> str:
    """An instant as local time of a zone: `2026-01-31 06:00:00`; nothing for None."""
    if at is None:
        return ""
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    return instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table. `style` is a name that `Output.paint` knows; `right` aligns numbers."""

    text: str
    style: str = ""
    right: bool = False


def table(rows: Sequence[Sequence[Cell | str]], room: int | None = None) -> list[list[Cell]]:
    """Rows with their cells padded to equal columns, two blanks apart, cleaned.

    With `room`, the last column is clipped so that a line takes at most so many columns.
    """
    made = [[_cell(cell) for cell in row] for row in rows]
    if not made:
        return []
    widths = [max(width(row[column].text) for row in made) for column in range(len(made[0]))]
    if room is not None:
        widths[-1] = max(min(widths[-1], room - sum(widths[:-1]) - 2 * (len(widths) - 1)), 8)
    return [[_padded(cell, widths, column) for column, cell in enumerate(row)] for row in made]


def _cell(cell: Cell | str) -> Cell:
    made = cell if isinstance(cell, Cell) else Cell(cell)
    return Cell(one_line(made.text), made.style, made.right)


def _padded(cell: Cell, widths: Sequence[int], column: int) -> Cell:
    is_last = column == len(widths) - 1
    text = clip(cell.text, widths[column]) if is_last else cell.text
    gap = " " * (widths[column] - width(text))
    if cell.right:
        return Cell(gap + text, cell.style)
    return Cell(text if is_last else text + gap, cell.style)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
