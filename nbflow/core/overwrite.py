"""What is left of text in which carriage returns and backspaces move back over what was written: progress bars.

As a terminal and JupyterLab show it: what comes after a carriage return takes the place of what was there, character
by character; a backspace takes one back. Must not know cells, streams or where the text comes from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LONGEST_LINE = 65_536
"""Characters of a line that may still be overwritten; of a longer one the beginning is final."""
RESTART = "\r\x1b[2K"
"""Written before a text, it takes the place of the whole line."""

_MOVES = re.compile(r"[\r\b]|\x1b\[[0-2]?K")
_SEQUENCE = r"\x1b\[[0-?]*[ -/]*[@-~]"
_CELL = re.compile(rf"(?:{_SEQUENCE})*(?:(?!{_SEQUENCE}).)|(?:{_SEQUENCE})+", re.DOTALL)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*)?\Z")
_LONGEST_SEQUENCE = 32
_ENDS = re.compile(rf"(?:{_SEQUENCE})+\Z")


@dataclass(slots=True)
class Overwriter:
    """Takes text in pieces and gives back what is final. `line` is what the line without an end shows so far.

    The same text gives the same result, however it is cut.
    """

    line: str = ""
    _column: int = -1
    """Where the next character goes: a place among the characters of the line; -1 is its end."""
    _held: str = ""
    """The beginning of an escape sequence whose rest is still to come."""
    _colours: str = ""
    """Sequences whose character is still to come."""
    _final: list[str] = field(default_factory=list)

    def feed(self, text: str) -> str:
        """What has become final with this piece: whole lines, as a rule."""
        text = self._held + text
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST_SEQUENCE))
        self._held = begun.group() if begun else ""
        text = text.removesuffix(self._held)
        end = text.rfind("\n") + 1
        self._finish(text[:end])
        self._write(text[end:])
        return self._taken()

    def close(self) -> str:
        """The line without an end, which is now final too; the next one begins anew."""
        self._put(self._held)
        self._place_colours()
        self._final.append(self.line)
        self.line, self._column, self._held = "", -1, ""
        return self._taken()

    def _taken(self) -> str:
        found = "".join(self._final)
        self._final.clear()
        return found

    def _finish(self, text: str) -> None:
        """Whole lines. Most have nothing in them that moves."""
        if self._column != -1:
            first, end, text = text.partition("\n")
            if end:
                self._end_line(first)
        text = text.replace("\r\n", "\n")
        if _MOVES.search(text):
            for line in text.split("\n")[:-1]:
                self._end_line(line)
        elif text:
            self._final += [self.line, text]
            self.line = ""

    def _end_line(self, text: str) -> None:
        self._write(text.rstrip("\r"))
        self._place_colours()
        self._final += [self.line, "\n"]
        self.line, self._column = "", -1

    def _write(self, text: str) -> None:
        """Write a text without an end of line."""
        start = 0
        for move in _MOVES.finditer(text):
            self._put(text[start : move.start()])
            self._move(move.group())
            start = move.end()
        self._put(text[start:])

    def _put(self, text: str) -> None:
        text, self._colours = self._colours + text, ""
        if self._column != -1 and (ending := _ENDS.search(text)):
            # They belong to the character that comes next.
            text, self._colours = text[: ending.start()], ending.group()
        self._place(text)

    def _place(self, text: str) -> None:
        if not text:
            return
        if self._column == -1:
            self.line += text
        elif "\x1b" not in self.line and "\x1b" not in text:
            end = self._column + len(text)
            self.line = self.line[: self._column] + text + self.line[end:]
            self._column = end if end < len(self.line) else -1
        else:
            old, new = _CELL.findall(self.line), _CELL.findall(text)
            end = self._column + sum(not _ENDS.fullmatch(cell) for cell in new)
            self.line = "".join([*old[: self._column], *new, *old[end:]])
            self._column = end if end < len(_CELL.findall(self.line)) else -1
        if self._column == -1 and len(self.line) >= LONGEST_LINE:
            end = len(self.line) // LONGEST_LINE * LONGEST_LINE
            self._final.append(self.line[:end])
            self.line = self.line[end:]

    def _place_colours(self) -> None:
        colours, self._colours = self._colours, ""
        self._place(colours)

    def _move(self, move: str) -> None:
        self._place_colours()
        match move:
            case "\r":
                self._column = 0 if self.line else -1
            case "\b":
                self._back()
            case "\x1b[2K":
                self.line, self._column = "", -1
            case "\x1b[1K":
                return
            case _:
                if self._column != -1:
                    self.line, self._column = "".join(_CELL.findall(self.line)[: self._column]), -1

    def _back(self) -> None:
        """Take the character before the cursor back, as JupyterLab does; a terminal would only go there."""
        if "\x1b" not in self.line:
            place = len(self.line) if self._column == -1 else self._column
            self._column = -1 if place == len(self.line) else max(0, place - 1)
            self.line = self.line[: max(0, place - 1)] + self.line[place:]
            return
        cells = _CELL.findall(self.line)
        place = len(cells) if self._column == -1 else self._column
        while place and _ENDS.fullmatch(cells[place - 1]):
            place -= 1
        if place:
            self.line = "".join([*cells[: place - 1], *cells[place:]])
            self._column = -1 if place == len(cells) else place - 1


def collapse(text: str) -> str:
    """What is left of a whole text."""
    if not _MOVES.search(text):
        return text
    overwriter = Overwriter()
    return overwriter.feed(text) + overwriter.close()
