"""Where a command writes: its standard output and error, coloured or not, gone or not.

Must not know commands, runs or states.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from nbflow.cli.states import Look
from nbflow.cli.text import Cell, table
from nbflow.errors import UnreachableError

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


class Output:
    """A stream of text.

    Where its reader is gone (`nbflow runs | head`), a write raises BrokenPipeError; where the disk is full or the
    terminal closed, UnreachableError. A `lasting` one goes on in silence instead: a run must not end because nobody
    looks.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lasting = False
        self.gone = False
        self._failure: OSError | None = None
        self.is_terminal = _is_terminal(stream)
        self.colour = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.unicode = _takes_unicode(stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    @property
    def is_live(self) -> bool:
        """Whether lines can be written again in place.

        What a notebook starts with `!` is given a terminal that cannot: its kernel has JPY_PARENT_PID.
        """
        return self.is_terminal and os.environ.get("TERM") != "dumb" and not os.environ.get("JPY_PARENT_PID")

    @property
    def width(self) -> int:
        """Columns of the terminal; what is not one is given the room that it needs."""
        return shutil.get_terminal_size().columns if self.is_terminal else 1_000_000

    def write(self, text: str) -> None:
        """Write a text as it is and see it off."""
        if self.gone:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self.abandon()
            if self.lasting and (self.is_terminal or isinstance(error, BrokenPipeError)):
                return
            if isinstance(error, BrokenPipeError):
                raise
            self._failure = error
            if not self.lasting:
                self.demand()

    def demand(self) -> None:
        """Raise UnreachableError where something was lost that somebody may look for; also of a lasting one, whose run
        is over by now.
        """
        if self._failure is not None:
            raise UnreachableError(f"cannot write any output: {self._failure.strerror or self._failure}")

    def see_off(self) -> None:
        """Write what somebody else has left in the stream. Raises as `write` does."""
        self.write("")

    def is_closed(self) -> bool:
        """Whether the reader is gone, also where something else than `write` has come upon it."""
        if not self.gone and _has_no_reader(self._stream):
            self.abandon()
        return self.gone

    def line(self, text: str = "") -> None:
        """Write a line."""
        self.write(text + "\n")

    def document(self, value: Any, *, indent: int | None = 2) -> None:
        """Write a JSON document in ASCII: every program reads it, and nothing in it can reach a terminal."""
        self.line(json.dumps(value, indent=indent))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell | str]], indent: str = "") -> None:
        """Write rows in columns; on a terminal, the last column is cut where it would not fit."""
        head = [Cell(name.upper(), "dim") for name in header]
        room = self.width - len(indent) if self.is_terminal else None
        for row in table([*([head] if header else []), *rows], room):
            shown = "  ".join(self.paint(cell.text, cell.style) for cell in row)
            self.line(indent + (shown if self.colour else shown.rstrip()))

    def paint(self, text: str, style: str) -> str:
        """The text in a style: names of colours, `bold`, `dim`, several with a blank between them."""
        if not style or not self.colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in style.split())}m{text}\x1b[0m"

    def glyph(self, look: Look) -> str:
        """The glyph of a state, in characters that the stream can take."""
        return look.glyph if self.unicode else look.ascii

    def state(self, look: Look) -> Cell:
        """Glyph and word of a state as a cell of a table."""
        return Cell(f"{self.glyph(look)} {look.word}", look.style)

    def abandon(self) -> None:
        """Write no more, and let nothing that is still buffered fail when the process ends."""
        self.gone = True
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, self._stream.fileno())
            os.close(silent)
        except (OSError, ValueError):
            return


@dataclass(frozen=True, slots=True)
class Outputs:
    """The two of a process. `json`: what is written to `out` is for programs."""

    out: Output
    err: Output
    json: bool

    def last(self) -> None:
        """From now on, nobody left to read is no failure."""
        self.out.lasting = self.err.lasting = True

    @classmethod
    def of_process(cls, *, as_json: bool) -> Outputs:
        """Standard output and error as they are now."""
        return cls(Output(sys.stdout), Output(sys.stderr), as_json)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _has_no_reader(stream: TextIO) -> bool:
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _takes_unicode(stream: TextIO) -> bool:
    try:
        "✓●━…".encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
