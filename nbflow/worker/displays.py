"""What the cells of one attempt show, kept within bounds: what is too large goes to files beside the journal.

In its place stands a line of text that says so and names the file. Must not know messages or sockets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.worker.spool import Spools

MOST = 5_000_000
"""Characters of one value of a display that the notebook keeps, and of an error's traceback."""
NOTEBOOK = 10_000_000
"""Characters of displays that a notebook keeps in all; after that it keeps values of FEW characters."""
FEW = 10_000
TRACEBACK = 500_000
"""Characters of an error that the notebook keeps: half from its beginning, half from its end."""
MOST_WIDGET = 5_000_000
"""Characters of one message about a widget's state."""
NOTEBOOK_WIDGETS = 10_000_000

AT_ONCE = 20_000_000
"""Characters of changes of displays that are written at once; beyond, each display has PACE characters a second."""
PACE = 10_000
LONGEST_WAIT = 60.0
"""Seconds that a change is held at most where more follow."""

_OURS = "application/vnd.nbflow."

Output = dict[str, Any]
File = dict[str, str]
"""A value beside the notebook, as the journal and the notebook name it: `file`, `mime`."""


@dataclass(slots=True)
class _Shown:
    """What one cell shows: its size in the notebook, and the files that it refers to; by display where it has an id."""

    sizes: dict[str | None, int] = field(default_factory=dict)
    files: dict[str | None, list[str]] = field(default_factory=dict)


class Displays:
    """The displays of one attempt. Without `spools` what is too large is left out. Raises JournalError."""

    def __init__(self, spools: Spools | None, warn: Callable[[str], None]) -> None:
        self._spools = spools
        self._warn = warn
        self._cells: dict[int, _Shown] = {}
        self._widgets: dict[str, int] = {}
        self._spent = 0
        self._refused: set[str] = set()

    def add(self, index: int, output: Output, display_id: str | None = None) -> tuple[Output, list[File]]:
        """An output of a cell as the notebook keeps it, and the files with what it does not keep."""
        bounded, files, size = self._bounded(index, output)
        shown = self._cells.setdefault(index, _Shown())
        shown.sizes[display_id] = shown.sizes.get(display_id, 0) + size
        shown.files.setdefault(display_id, []).extend(file["file"] for file in files)
        self._spent += size
        return bounded, files

    def update(self, display_id: str, output: Output) -> tuple[Output, list[File]]:
        """What the displays of an id change to."""
        cells = [index for index, shown in self._cells.items() if display_id in shown.sizes]
        for index in cells:
            self._forget(self._cells[index], display_id)
        bounded, files = output, list[File]()
        for index in cells[:1]:
            bounded, files = self.add(index, output, display_id)
        for index in cells[1:]:
            self._cells[index].sizes[display_id] = 0
        return bounded, files

    def clear(self, index: int) -> None:
        """The cell's outputs go."""
        shown = self._cells.pop(index, None)
        for display_id in list(shown.sizes) if shown is not None else ():
            self._forget(shown, display_id)  # type: ignore[arg-type]

    def takes_widget(self, comm: str, state: Mapping[str, Any], buffers: list[dict[str, Any]]) -> bool:
        """True where a part of a widget's state is kept; where it is too large, a warning says once that it is not."""
        size = _size(dict(state)) + sum(len(str(buffer.get("data", ""))) for buffer in buffers)
        others = sum(self._widgets.values()) - self._widgets.get(comm, 0)
        if size <= MOST_WIDGET and others + size <= NOTEBOOK_WIDGETS:
            self._widgets[comm] = max(size, self._widgets.get(comm, 0))
            return True
        if comm not in self._refused:
            self._refused.add(comm)
            self._warn(f"the state of a widget is too large for the notebook ({size:,} characters) and was left out")
        return False

    def _forget(self, shown: _Shown, display_id: str | None) -> None:
        self._spent -= shown.sizes.pop(display_id)
        files = shown.files.pop(display_id, [])
        if self._spools is not None:
            self._spools.drop(files)

    def _bounded(self, index: int, output: Output) -> tuple[Output, list[File], int]:
        """An output without what is too large, the files of that, and the size of the rest."""
        if output["output_type"] == "error":
            return self._bounded_error(index, output)
        limit = MOST if self._spent < NOTEBOOK else FEW
        data: dict[str, Any] = {}
        files: list[File] = []
        notes = []
        total = 0
        for mime, value in output["data"].items():
            size = _size(value)
            if size <= min(limit, max(FEW, NOTEBOOK - self._spent - total)) or mime.startswith(_OURS):
                data[mime] = value
                total += size
            else:
                notes.append(self._put_beside(index, mime, value, f"{size:,} characters of {mime}", files))
        if not notes:
            return output, files, total
        text = data.get("text/plain", "")
        data["text/plain"] = "\n".join([*([text.rstrip("\n")] if isinstance(text, str) and text else []), *notes])
        return {**output, "data": data}, files, total

    def _bounded_error(self, index: int, output: Output) -> tuple[Output, list[File], int]:
        text = "\n".join(output["traceback"]) or output["evalue"]
        size = len(text) + len(output["evalue"])
        if size <= TRACEBACK:
            return output, [], size
        files: list[File] = []
        note = self._put_beside(index, "text/plain", text, f"{len(text) - TRACEBACK:,} characters of this error", files)
        half = TRACEBACK // 2
        lines = [text[:half], note, text[max(half, len(text) - half) :]]
        return {**output, "evalue": output["evalue"][:FEW], "traceback": lines}, files, TRACEBACK

    def _put_beside(self, index: int, mime: str, value: object, what: str, files: list[File]) -> str:
        """Write a value to a file, and the line that stands in its place."""
        if self._spools is None:
            return f"[truncated: {what} are left out here]"
        name = self._spools.value(index, mime, value)
        files.append({"file": name, "mime": mime})
        place = self._spools.published(name)
        return f"[truncated: {what} are left out here; all of it is beside this in {place}]"


class Updates:
    """Changes of displays on their way to the journal. Each takes the place of the one before: of many that come one
    after the other (a plot that is drawn again and again) not all are written.
    """

    def __init__(self, write: Callable[[str, Output], None]) -> None:
        self._write = write
        self._written = 0
        self._due: dict[str, float] = {}
        self._held: dict[str, Output] = {}

    def add(self, display_id: str, body: Output) -> None:
        """What a display changes to: written at once, or held until it is due. One with files never waits."""
        size = _size(body)
        now = time.monotonic()
        if self._written + size > AT_ONCE and now < self._due.get(display_id, 0.0) and "files" not in body:
            self._held[display_id] = body
            return
        self._held.pop(display_id, None)
        self._written += size
        self._due[display_id] = now + min(LONGEST_WAIT, size / PACE)
        self._write(display_id, body)

    def flush(self) -> None:
        """Write what is held."""
        for display_id, body in self._held.items():
            self._write(display_id, body)
        self._held.clear()


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    try:
        return len(json.dumps(value, separators=(",", ":")))
    except (TypeError, ValueError):
        return 0
