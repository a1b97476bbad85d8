"""Records that take the place of one another, on their way to the journal: of many that come fast not all are written.

A plot that is drawn again and again, a widget's state, what a cell shows after it has cleared what it had shown. At
first each is written; beyond that, each place where something is shown has so many characters a second, and of what
is held meanwhile only the newest. Must not know messages, sockets or what a record means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbflow.worker.displays import size_of

AT_ONCE = 10_000_000
"""Characters that are written at once; beyond, each place has PACE characters a second."""
PACE = 10_000
LONGEST_WAIT = 60.0
"""Seconds that something is held at most."""
_CLEARS = frozenset({"clear", "widget_clear"})
_EACH = 100
"""What a record takes beside what it brings."""

Body = dict[str, Any]
Key = int | str
"""A place where something is shown: a cell's index, the id of a display or of a widget."""


class Appends(Protocol):
    """What records are written to."""

    def append(self, kind: str, **body: Any) -> None:
        """Write one record."""


class _Pace:
    """When a place may be written again."""

    def __init__(self) -> None:
        self._written = 0
        self._due: dict[Key, float] = {}

    def is_due(self, key: Key, size: int) -> bool:
        return self._written + size <= AT_ONCE or time.monotonic() >= self._due.get(key, 0.0)

    def wrote(self, key: Key, size: int) -> None:
        self._written += size
        self._due[key] = time.monotonic() + min(LONGEST_WAIT, size / PACE)

    def forget(self) -> None:
        """Forget places that may be written."""
        now = time.monotonic()
        self._due = {key: due for key, due in self._due.items() if due > now}


class Newest:
    """What takes the place of what came before under the same id, or is merged with it where that is still held."""

    def __init__(self, write: Callable[[str, Body], None], merge: Callable[[Body, Body], Body] | None = None) -> None:
        self._write = write
        self._merge = merge
        self._pace = _Pace()
        self._held: dict[str, Body] = {}

    def add(self, key: str, body: Body) -> None:
        """Something new: written at once, or held until it is due. What refers to files never waits."""
        if self._merge is not None and key in self._held:
            body = self._merge(self._held[key], body)
        self._held[key] = body
        if "files" in body or self._pace.is_due(key, size_of(body)):
            self.flush(key)

    def flush(self, key: str) -> None:
        """Write what is held of an id."""
        if (body := self._held.pop(key, None)) is not None:
            self._pace.wrote(key, size_of(body) + _EACH)
            self._write(key, body)

    def flush_all(self) -> None:
        """Write what is held."""
        for key in list(self._held):
            self.flush(key)

    def rest(self) -> bool:
        """Write what is due. True where something is held still."""
        for key in [key for key, body in self._held.items() if self._pace.is_due(key, size_of(body))]:
            self.flush(key)
        self._pace.forget()
        return bool(self._held)


@dataclass(slots=True)
class _Place:
    """What is held of one place, and what the journal has of it: something that a clear would remove (`is_dirty`),
    that refers to files (`has_files`), and that goes with the next output as it is (`is_going`).
    """

    held: list[tuple[str, Body]] = field(default_factory=list)
    size: int = 0
    is_paced: bool = False
    is_dirty: bool = False
    has_files: bool = False
    is_going: bool = False

    def wrote(self, kind: str, body: Body) -> None:
        """The journal has one record more."""
        if kind not in _CLEARS:
            self.is_dirty, self.is_going = True, False
            self.has_files = self.has_files or _refers(body)
        elif body["wait"]:
            self.is_going = True
        else:
            self.is_dirty = self.has_files = self.is_going = False


class Cleared:
    """The records of what cells and Output widgets show. What is cleared before it was due is never written."""

    def __init__(self, journal: Appends) -> None:
        self._journal = journal
        self._pace = _Pace()
        self._places: dict[Key, _Place] = {}

    def append(self, kind: str, **body: Any) -> None:
        """A record of the cell that it names."""
        self.add(body["cell"], kind, body)

    def add(self, key: Key, kind: str, body: Body) -> None:
        """A record of a place: written at once unless the place has been cleared too much."""
        place = self._places.setdefault(key, _Place())
        place.held.append((kind, body))
        if place.is_paced:
            place.size += size_of(body) + _EACH
        if not place.is_paced or _refers(body) or self._pace.is_due(key, place.size):
            self.flush(key)

    def clear(self, key: Key, kind: str, body: Body, *, is_followed: bool) -> None:
        """All that a place has shown goes now. The record says so to the journal, where it would not know.

        `is_followed`: by an output, which takes what was to go.
        """
        place = self._places.setdefault(key, _Place())
        place.is_paced = True
        place.held.clear()
        place.size = 0
        if place.is_dirty and not (place.is_going and is_followed and not place.has_files):
            place.held.append((kind, body))
            if place.has_files or (not is_followed and self._pace.is_due(key, 0)):
                self.flush(key)  # files go now

    def flush(self, key: Key) -> None:
        """Write what is held of a place."""
        place = self._places.get(key)
        if place is None or not place.held:
            return
        held, place.held = place.held, []
        for kind, body in held:
            self._journal.append(kind, **body)
            place.wrote(kind, body)
        if place.is_paced:
            self._pace.wrote(key, place.size)
            place.size = 0

    def flush_display(self, display_id: str) -> None:
        """Write what is held of places that show a display: a record that changes it is to follow."""
        for key, place in list(self._places.items()):
            if any(body.get("display") == display_id for _, body in place.held):
                self.flush(key)

    def flush_all(self) -> None:
        """Write what is held."""
        for key in list(self._places):
            self.flush(key)

    def rest(self) -> bool:
        """Write what is due. True where something is held still."""
        for key, place in list(self._places.items()):
            if place.held and self._pace.is_due(key, place.size):
                self.flush(key)
        self._pace.forget()
        return any(place.held for place in self._places.values())


def _refers(body: Mapping[str, Any]) -> bool:
    """Whether a record refers to files beside the journal."""
    return "files" in body or "file" in body
