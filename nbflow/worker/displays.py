"""What the cells of one attempt show, kept within bounds: what is too large goes to files beside the journal.

In its place stands a line of text that says so and names the file. Must not know messages or sockets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.worker.spool import Spools

MOST = 5_000_000
"""Characters of one value of a display that the notebook keeps, and of an error's traceback."""
NOTEBOOK = 10_000_000
"""Characters of displays that a notebook keeps in all; after that it keeps values of FEW characters."""
FEW = 10_000
IN_ALL = 15_000_000
"""Characters of displays and errors that a notebook keeps at most; what comes after that is left out of it."""
EACH = 300
"""What an output takes in the file of a notebook beside its values."""
BESIDE = 5_000
"""What a value counts that goes to a file: there are to be only so many files."""
TRACEBACK = 500_000
"""Characters of an error that the notebook keeps: half from its beginning, half from its end."""
MOST_WIDGET = 5_000_000
"""Characters of one message about a widget's state."""
NOTEBOOK_WIDGETS = 10_000_000
WARNINGS = 20
"""Widgets that are too large that a warning is given for."""

Output = dict[str, Any]
File = dict[str, str]
"""A value beside the notebook, as the journal and the notebook name it: `file`, `mime`."""


@dataclass(slots=True)
class _Shown:
    """What one cell shows, by display where it has an id: its size in the notebook, how many outputs bear the id, and
    the files that it refers to.
    """

    sizes: dict[str | None, int] = field(default_factory=dict)
    copies: dict[str | None, int] = field(default_factory=dict)
    files: dict[str | None, list[str]] = field(default_factory=dict)
    has_failed: bool = False

    def note(self, display_id: str | None, size: int, files: list[File]) -> None:
        """There is something more of a display."""
        self.sizes[display_id] = self.sizes.get(display_id, 0) + size
        self.files.setdefault(display_id, []).extend(file["file"] for file in files)


class Displays:
    """The displays of one attempt. Without `spools` what is too large is left out. Raises JournalError."""

    def __init__(self, spools: Spools | None, warn: Callable[[str], None]) -> None:
        self._spools = spools
        self._warn = warn
        self._cells: dict[int, _Shown] = {}
        self._widgets: dict[str, dict[str, int]] = {}
        self._spent_on_widgets = 0
        self._spent = 0
        self._refused: set[str] = set()

    def add(self, index: int, output: Output, display_id: str | None = None) -> tuple[Output, list[File]] | None:
        """An output of a cell as the notebook keeps it, and the files with what it does not keep.

        None where the notebook has had its share; the first error of a cell is kept even then.
        """
        shown = self._cells.setdefault(index, _Shown())
        is_first_error = output["output_type"] == "error" and not shown.has_failed
        if self._spent + EACH > IN_ALL and not is_first_error:
            return None
        shown.has_failed = shown.has_failed or is_first_error
        bounded, files, size = self._bounded(index, output, 1)
        shown.note(display_id, size, files)
        shown.copies[display_id] = shown.copies.get(display_id, 0) + 1
        self._spent += size
        return bounded, files

    def update(self, display_id: str, output: Output) -> tuple[Output, list[File]] | None:
        """What the displays of an id change to, all of them; None where the notebook has none."""
        cells = [index for index, shown in self._cells.items() if display_id in shown.sizes]
        if not cells:
            return None
        for index in cells:
            self._forget(self._cells[index], display_id)
        copies = {index: self._cells[index].copies[display_id] for index in cells}
        bounded, files, size = self._bounded(cells[0], output, sum(copies.values()))
        for index in cells:
            self._cells[index].note(display_id, size * copies[index], files if index == cells[0] else [])
            self._spent += size * copies[index]
        return bounded, files

    def clear(self, index: int) -> None:
        """The cell's outputs go."""
        shown = self._cells.pop(index, None)
        for display_id in list(shown.sizes) if shown is not None else ():
            self._forget(shown, display_id)  # type: ignore[arg-type]

    def takes_widget(self, comm: str, state: Mapping[str, Any], buffers: list[dict[str, Any]]) -> bool:
        """True where a part of a widget's state is kept; where it is too large, a warning says once that it is not."""
        sizes = {key: len(key) + size_of(value) for key, value in state.items()}
        sizes |= {repr(buffer.get("path")): len(str(buffer.get("data", ""))) for buffer in buffers}
        known = self._widgets.get(comm, {"": EACH})
        more = (
            sum(sizes.values()) - sum(known.get(key, 0) for key in sizes) + (EACH if comm not in self._widgets else 0)
        )
        if sum(sizes.values()) <= MOST_WIDGET and self._spent_on_widgets + more <= NOTEBOOK_WIDGETS:
            self._widgets[comm] = known | sizes
            self._spent_on_widgets += more
            return True
        if comm not in self._refused and len(self._refused) < WARNINGS:
            self._refused.add(comm)
            size = sum(sizes.values())
            self._warn(f"the state of a widget is too large for the notebook ({size:,} characters) and was left out")
        return False

    def _forget(self, shown: _Shown, display_id: str | None) -> None:
        self._spent -= shown.sizes.pop(display_id)
        files = shown.files.pop(display_id, [])
        if self._spools is not None:
            self._spools.drop(files)

    def _bounded(self, index: int, output: Output, copies: int) -> tuple[Output, list[File], int]:
        """An output without what is too large, the files of that, and the size of the rest: of one of its `copies`."""
        if output["output_type"] == "error":
            return self._bounded_error(index, output)
        data: dict[str, Any] = {}
        files: list[File] = []
        notes = []
        total = EACH
        for mime, value in output["data"].items():
            size = size_of(value)
            if self._fits(size, total, copies):
                data[mime] = value
                total += size
            else:
                notes.append(self._put_beside(index, mime, value, f"{size:,} characters of {mime[:80]}", files))
                total += BESIDE
        metadata = output["metadata"]
        if (size := size_of(metadata)) > FEW:
            notes.append(
                self._put_beside(index, "application/json", metadata, f"{size:,} characters of metadata", files)
            )
            metadata, size = {}, BESIDE
        total += size
        if not notes:
            return output, files, total
        text = data.get("text/plain", "")
        data["text/plain"] = "\n".join([*([text.rstrip("\n")] if isinstance(text, str) and text else []), *notes])
        return {**output, "data": data, "metadata": metadata}, files, total

    def _fits(self, size: int, total: int, copies: int) -> bool:
        """Whether a value may be kept in an output that takes `total` so far."""
        after = self._spent + (total + size) * copies
        return size <= MOST and (after <= NOTEBOOK or (size <= FEW and after <= IN_ALL))

    def _bounded_error(self, index: int, output: Output) -> tuple[Output, list[File], int]:
        text = "\n".join(output["traceback"]) or output["evalue"]
        size = len(text) + len(output["evalue"]) + len(output["ename"])
        limit = TRACEBACK if self._spent + min(size, TRACEBACK) <= NOTEBOOK else min(TRACEBACK, 2 * FEW)
        if size <= limit:
            return output, [], size + EACH
        files: list[File] = []
        half = limit // 2
        cut = max(0, len(text) - limit)
        note = self._put_beside(index, "text/plain", text, f"{cut:,} characters of this error", files)
        lines = [text[:half], note, text[max(half, len(text) - half) :]]
        short = {"ename": output["ename"][:FEW], "evalue": output["evalue"][:FEW]}
        return {**output, **short, "traceback": lines}, files, limit + BESIDE

    def _put_beside(self, index: int, mime: str, value: object, what: str, files: list[File]) -> str:
        """Write a value to a file, and the line that stands in its place."""
        if self._spools is None:
            return f"[truncated: {what} are left out here]"
        name = self._spools.value(index, mime, value)
        files.append({"file": name, "mime": mime})
        place = self._spools.published(name)
        return f"[truncated: {what} are left out here; all of it is beside this in {place}]"


def size_of(value: object) -> int:
    """The characters that a value takes, roughly."""
    if isinstance(value, str):
        return len(value)
    try:
        return len(json.dumps(value, separators=(",", ":")))
    except (TypeError, ValueError):
        return 0
