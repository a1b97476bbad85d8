"""The outputs of cells that the notebook does not keep: counted, and written to one file for each cell.

The journal tells how many there are when there is the first, and at the cell's end. Must not know messages, sockets, or
why an output is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nbflow.worker.paced import Appends
from nbflow.worker.spool import Spools, TextSpool


@dataclass(slots=True)
class _Left:
    count: int = 0
    spool: TextSpool | None = None
    is_told: bool = False


class Surplus:
    """What is left out of one attempt's notebook. Without `spools` it is counted only. Raises JournalError."""

    def __init__(self, journal: Appends, spools: Spools | None) -> None:
        self._journal = journal
        self._spools = spools
        self._cells: dict[int, _Left] = {}

    def add(self, index: int, output: dict[str, Any]) -> None:
        """An output of a cell, as nbformat has it: one line of JSON in the file."""
        left = self._cells.setdefault(index, _Left())
        if left.spool is None and self._spools is not None:
            left.spool = self._spools.surplus(index)
        begins = left.count == 0 or (left.spool is not None and not left.spool.is_open)
        left.count += 1
        left.is_told = False
        if begins:
            self._tell(index, left, is_open=left.spool is not None)
        if left.spool is not None:
            left.spool.write(json.dumps(output, separators=(",", ":"), default=str) + "\n")

    def end(self, index: int) -> None:
        """The cell has ended, or what it shows is to go."""
        left = self._cells.get(index)
        if left is not None and not left.is_told:
            if left.spool is not None:
                left.spool.pause()
            self._tell(index, left, is_open=False)
            left.is_told = True

    def clear(self, index: int) -> None:
        """The cell's outputs go."""
        left = self._cells.pop(index, None)
        if left is not None and left.spool is not None:
            left.spool.drop()

    def rest(self) -> None:
        """Nothing comes at the moment: what a crash could lose is written."""
        for left in self._cells.values():
            if left.spool is not None:
                left.spool.sync()

    def flush(self) -> None:
        """The attempt has ended."""
        for index in self._cells:
            self.end(index)

    def _tell(self, index: int, left: _Left, *, is_open: bool) -> None:
        file = {} if left.spool is None else {"file": left.spool.path.name}
        self._journal.append("left_out", cell=index, count=left.count, open=is_open, **file)
