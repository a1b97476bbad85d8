"""What the cells of one attempt print, turned into records of the journal, within bounds.

Of each stream of a cell the head goes to the journal as it comes; of what is beyond, all goes to a file and the tail
is kept in memory until the cell ends. Lines that are written over and over again (progress bars) count as what is left
of them. Must not know messages, sockets or limits of time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nbflow.core.overwrite import RESTART, Overwriter
from nbflow.worker.paced import Appends
from nbflow.worker.spool import Spools, TextSpool

HEAD = TAIL = 500_000
"""Characters of each stream of a cell that the notebook keeps from its beginning and from its end."""
NOTEBOOK = 5_000_000
"""Characters that a notebook keeps in all; a stream that begins after that keeps FEW of its beginning and its end."""
FEW = 10_000

_LINE = 12
"""What a line takes in the file of a notebook beside its characters."""
_PIECE = 262_144
"""Characters that are looked at in one go: a text that comes at once may be large."""
_UPDATES = 1_000_000
"""Characters of lines written again that go to the journal at once; beyond, a stream has one a second."""
_UPDATE_EVERY = 1.0


@dataclass(slots=True, kw_only=True)
class _Stream:
    """One stream of one cell. `written` characters are in the journal for good; `shown` is what it has of the line
    that is still open, and may be written again. `head` is kept until all goes to a file. `omitted` characters lie
    between the head and the tail. `size` is what it takes in the notebook's file. `closed` is the last line of what is
    there for good, `base` as much of it as the line that is open goes on from in the same output.
    """

    cell: int
    name: str
    limit: int
    tail_limit: int
    line: Overwriter = field(default_factory=Overwriter)
    written: int = 0
    shown: str = ""
    head: list[str] = field(default_factory=list)
    updates: int = 0
    updated: float = 0.0
    spool: TextSpool | None = None
    tail: deque[str] = field(default_factory=deque)
    kept: int = 0
    omitted: int = 0
    size: int = 0
    closed: str = ""
    base: str = ""

    @property
    def fits(self) -> bool:
        """True where all of it is in the head, the line without an end too."""
        return self.spool is None and not self.kept and len(self.line.line) <= self.limit - self.written

    def take(self, final: str) -> tuple[str, str]:
        """What the journal gets of a text that is final, and what is beyond the head."""
        if not final:
            return "", ""
        room = self.limit - self.written
        part = final if len(final) <= room else final[:room]
        said = part[len(self.shown) :] if part.startswith(self.shown) else RESTART + self.base + part
        self.shown = ""
        self.closed = (self.closed + part).rpartition("\n")[2]
        if "\n" in part:
            self.base = ""
        self.written += len(part)
        self.size += _size(part)
        if self.spool is None and part:
            self.head.append(part)
        return said, final[room:] if len(final) > room else ""

    def open_line(self, *, at_once: bool = False) -> str:
        """What the journal gets of the line that has no end yet. Unless `at_once`, not each time that it changes."""
        view = self.line.line[: self.limit - self.written]
        if view == self.shown:
            return ""
        if view.startswith(self.shown):
            said = view[len(self.shown) :]
        else:
            now = time.monotonic()
            if not at_once and self.updates > _UPDATES and now - self.updated < _UPDATE_EVERY:
                return ""
            self.updates += len(view)
            self.updated = now
            said = RESTART + self.base + view
        self.shown = view
        return said

    def keep(self, text: str) -> None:
        """Add to the tail. What is left out is not even copied."""
        first = max(0, len(text) - self.tail_limit)
        self.omitted += first
        self.tail.append(text[first:] if first else text)
        self.kept += len(text) - first
        while self.kept > self.tail_limit:
            oldest = self.tail.popleft()
            drop = min(len(oldest), self.kept - self.tail_limit)
            if drop < len(oldest):
                self.tail.appendleft(oldest[drop:])
            self.kept -= drop
            self.omitted += drop

    def take_tail(self) -> tuple[str, int]:
        """The tail and how much is left out before it; both begin anew."""
        found = "".join(self.tail), self.omitted
        self.tail.clear()
        self.kept = self.omitted = 0
        return found


class Texts:
    """The texts of one attempt. Without `spools` only heads and tails are kept. Raises JournalError."""

    def __init__(self, journal: Appends, spools: Spools | None) -> None:
        self._journal = journal
        self._spools = spools
        self._streams: dict[tuple[int, str], _Stream] = {}
        self._last: dict[int, str] = {}
        self._said: dict[int, str] = {}
        self._restless: dict[tuple[int, str], _Stream] = {}
        self._spent = 0

    def add(self, index: int, name: str, text: str) -> None:
        """A piece of text of a stream of a cell; an empty one says nothing, and interrupts no other."""
        if not text:
            return
        if is_turn := self._last.get(index) != name:
            self._close_last(index)
        self._last[index] = name
        stream = self._streams.get((index, name))
        if stream is None:
            few = self._spent >= NOTEBOOK
            stream = _Stream(cell=index, name=name, limit=FEW if few else HEAD, tail_limit=FEW if few else TAIL)
            self._streams[index, name] = stream
        if is_turn:  # what the other has said may not be in the notebook: then this one's output goes on
            stream.base = stream.closed if self._said.get(index) == name else ""
            stream.closed = stream.base
        self._restless[index, name] = stream
        for start in range(0, len(text), _PIECE):
            self._take(stream, stream.line.feed(text[start : start + _PIECE]), stream.open_line)

    def interrupt(self, index: int) -> None:
        """Another output of the cell comes: what is printed after it is shown after it, and overwrites nothing."""
        self._close_last(index)
        self._said.pop(index, None)

    def _close_last(self, index: int) -> None:
        name = self._last.pop(index, None)
        if name is not None and (stream := self._streams.get((index, name))) is not None:
            self._close(stream)

    def end(self, index: int) -> None:
        """The cell has ended. It may still say something, from its threads."""
        for stream in self._of(index):
            if stream.fits:
                self._say(stream, stream.open_line(at_once=True))
            else:
                self._close(stream)
                self._write_tail(stream)

    def flush(self) -> None:
        """The attempt has ended."""
        for stream in self._streams.values():
            self._close(stream)
            self._write_tail(stream)

    def clear(self, index: int) -> None:
        """The cell's outputs go."""
        for stream in self._of(index):
            if stream.spool is not None:
                stream.spool.drop()
            self._spent -= stream.size
            del self._streams[index, stream.name]
            self._restless.pop((index, stream.name), None)
        self._last.pop(index, None)
        self._said.pop(index, None)

    def write_tails(self, index: int) -> None:
        """The cell's outputs will go when something new comes, which may never be."""
        self.interrupt(index)
        for stream in self._of(index):
            self._write_tail(stream)

    def rest(self) -> None:
        """Nothing comes at the moment: whatever was put off is written."""
        for stream in self._restless.values():
            self._say(stream, stream.open_line(at_once=True))
            if stream.spool is not None:
                stream.spool.sync()
        self._restless.clear()

    def _of(self, index: int) -> list[_Stream]:
        return [stream for (cell, _), stream in self._streams.items() if cell == index]

    def _close(self, stream: _Stream) -> None:
        self._take(stream, stream.line.close(), str)

    def _take(self, stream: _Stream, final: str, more: Callable[[], str]) -> None:
        before = stream.size
        said, beyond = stream.take(final)
        self._spent += stream.size - before
        self._say(stream, said + more())
        if beyond:
            if self._spools is not None:
                self._spool(stream, beyond, self._spools)
            stream.keep(beyond)

    def _say(self, stream: _Stream, text: str) -> None:
        if text:
            self._said[stream.cell] = stream.name
            output = {"output_type": "stream", "name": stream.name, "text": text}
            self._journal.append("output", cell=stream.cell, output=output)

    def _spool(self, stream: _Stream, text: str, spools: Spools) -> None:
        """Add to the file with the whole text. The journal tells each time that it is open from here on."""
        begins = stream.spool is None
        spool = stream.spool = stream.spool or spools.text(stream.cell, stream.name)
        if not spool.is_open:
            facts = {"file": spool.path.name, "head": stream.written, "tail": stream.tail_limit}
            self._journal.append("spool", cell=stream.cell, name=stream.name, **facts)
        if begins:
            spool.write("".join(stream.head))
            stream.head.clear()
        spool.write(text)

    def _write_tail(self, stream: _Stream) -> None:
        if stream.spool is not None:
            stream.spool.pause()
        if stream.kept:
            text, omitted = stream.take_tail()
            stream.size += _size(text)
            self._spent += _size(text)
            self._journal.append("tail", cell=stream.cell, name=stream.name, text=text, omitted=omitted)


def _size(text: str) -> int:
    """What a text takes in the file of a notebook."""
    return len(text) + _LINE * text.count("\n")
