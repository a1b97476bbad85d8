"""What running cells print, reported while they run: for those who watch, a little at a time.

Text is gathered and goes out after a second, on a clock of the event loop, so that a cell that prints a line and then
computes for an hour is seen. The longer an attempt goes on talking, the rarer and shorter its reports become. A cell
that ends before its first report has none: the report of its end tells its text. Must not know journals or kernels.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nbflow.core.messages import CellOutput, Report
from nbflow.core.overwrite import collapse

PATIENCE = 1.0
"""Seconds from the first text of a cell to its report, and between two reports at least."""
STRETCH = 0.05
"""Seconds by which each report makes the next one wait longer: 140 are made in ten minutes, 360 in an hour, 1,800 in
a day."""
LONGEST, SHORT = 2_000, 200
"""Characters of a report, and of one after the first PLENTY characters of an attempt."""
PLENTY = 256_000
LEFT_OUT = "[... some of the text is left out here ...]\n"

_RAW = 8 * LONGEST
"""Characters that are gathered for a report; colours, and lines that are written again in place, come off."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]{0,99}[ -/]{0,99}|\][^\x07\x1b]{0,999}\x1b?|[ -/]{0,99})")
"""An escape sequence of which the rest is still to come."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_END = re.compile(r"\r*\n|\r")


@dataclass(slots=True)
class _Cell:
    """A code cell, and its text that is not reported yet. `since` is the loop's time at which that began.

    `rest` is the beginning of something whose end is still to come. `in_line`: what was reported last is not the whole
    line. `dropped` says whether text had to be left out, and `lines` whether there were whole lines in it.
    """

    number: int
    pieces: deque[str] = field(default_factory=deque)
    size: int = 0
    since: float = 0.0
    rest: str = ""
    dropped: bool = False
    lines: bool = False
    reported: bool = False
    in_line: bool = False

    def add(self, text: str) -> None:
        """Gather a piece; of too much only the end is kept."""
        self._drop(text, max(0, len(text) - _RAW))
        self.pieces.append(text[-_RAW:])
        self.size += len(self.pieces[-1])
        while self.size - len(self.pieces[0]) >= _RAW:
            self.size -= len(self.pieces[0])
            self._drop(self.pieces[0], len(self.pieces.popleft()))

    def take(self, longest: int) -> str:
        """The text so far as it is to be reported."""
        text = ("" if self.dropped else self.rest) + "".join(self.pieces)
        is_lost = self.lines
        if self.dropped:
            # The line that was cut through goes, as there may be half an escape sequence at its beginning. A progress
            # bar has lost nothing, its line was written again.
            end = _LINE_END.search(text)
            is_lost = is_lost or end is None or end[0] != "\r"
            text = text[end.start() if end[0] == "\r" else end.end() :] if end is not None else text
        self.rest = _unfinished(text)
        told = plain(text.removesuffix(self.rest), in_line=self.in_line)
        if len(told) > longest:
            is_lost, told = True, told[-longest:]
            told = told.partition("\n")[2] or told
        if is_lost:
            told = ("\n" if self.in_line else "") + LEFT_OUT + told.removeprefix("\n")
        if told:
            self.in_line = not told.endswith("\n")
        self.clear()
        return told

    def clear(self) -> None:
        """Forget what is not reported."""
        self.pieces.clear()
        self.size, self.dropped, self.lines = 0, False, False

    def _drop(self, text: str, size: int) -> None:
        if size:
            self.dropped, self.lines = True, self.lines or text.find("\n", 0, size) >= 0


class Live:
    """Reports what the cells of one attempt print. Belongs to the event loop that it is given."""

    def __init__(
        self, task: str, attempt: int, report: Callable[[Report], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._task = task
        self._attempt = attempt
        self._report = report
        self._loop = loop
        self._cells: dict[int, _Cell] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last = loop.time() - PATIENCE
        self._reports = 0
        self._size = 0

    def begin(self, cell: int, number: int) -> None:
        """A cell begins; `number` counts code cells from 1."""
        self._cells[cell] = _Cell(number)

    def hear(self, cell: int, text: str) -> None:
        """A piece of a cell's text, also of one that has ended; text of a cell that never began is nobody's."""
        found = self._cells.get(cell)
        if found is None or not text:
            return
        if not found.pieces:
            found.since = self._loop.time()
        found.add(text)
        self._wake(self._due(found))

    def end(self, cell: int) -> None:
        """A cell has ended: tell the rest. Where nothing is told yet, the preview in the report of its end will do.

        That it does not hold all is told as long as there is room.
        """
        found = self._cells[cell]
        if found.reported or (found.size > LONGEST and self._size <= PLENTY):
            self._tell(cell, found)
        found.clear()
        self._wait_for_others()

    def close(self) -> None:
        """The attempt has ended: tell what came after the ends of its cells."""
        for cell, found in self._cells.items():
            self._tell(cell, found)
        self._wait_for_others()

    def _due(self, cell: _Cell) -> float:
        """When a cell's text is to be reported. The first of a cell does not have to wait for its turn."""
        pace = PATIENCE + STRETCH * self._reports if cell.reported else PATIENCE
        return max(cell.since + PATIENCE, self._last + pace)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_time)

    def _wait_for_others(self) -> None:
        """Set the timer anew, by what is left to be told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for found in self._cells.values():
            if found.pieces:
                self._wake(self._due(found))

    def _on_time(self) -> None:
        self._timer = None
        for cell, found in self._cells.items():
            self._tell(cell, found)
        self._last = self._loop.time()

    def _tell(self, cell: int, found: _Cell) -> None:
        if not found.pieces:
            return
        text = found.take(SHORT if self._size > PLENTY else LONGEST)
        if text:
            found.reported = True
            self._reports += 1
            self._size += len(text)
            self._report(CellOutput(task=self._task, attempt=self._attempt, cell=cell, number=found.number, text=text))


def plain(text: str, *, in_line: bool = False) -> str:
    """A text without escape sequences and control characters; of a line that was written again, its last state.

    With `in_line` it goes on in a line whose beginning is told already: written again, that line begins anew.
    """
    text = _COLOUR.sub("", text)
    end = _LINE_END.search(text)
    goes_back = text.startswith("\b") or (end is not None and end[0] == "\r")
    return ("\n" if in_line and goes_back else "") + _CONTROL.sub("", _ESCAPE.sub("", collapse(text)))


def _unfinished(text: str) -> str:
    """The end of a text that means nothing yet: returns to the beginning of a line, a part of an escape sequence."""
    last = text.rfind("\x1b")
    if last >= 0 and _BEGUN.fullmatch(text, last):
        return text[last:]
    return text[len(text.rstrip("\r")) :]
