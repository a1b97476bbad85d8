"""What a crash has kept from the journal though it lies beside it: the ends of what was going to files.

Must not know archives.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nbflow.worker import journal as jr
from nbflow.worker.fold import Folded
from nbflow.worker.spool import mend, spool_folder


def missing_tails(journal: Path, folded: Folded) -> Iterator[jr.Record]:
    """The records that are missing in the journal; the files are made whole. Raises JournalError where that fails."""
    for cell, text in folded.open_texts:
        found = mend(spool_folder(journal) / text.file, text.tail)
        rest = max(0, found.characters - text.told)
        tail = found.tail[-rest:] if rest else ""
        yield {"type": "tail", "cell": cell, "name": text.stream, "text": tail, "omitted": rest - len(tail)}
    for cell, surplus in folded.open_surplus:
        count = max(surplus.count, mend(spool_folder(journal) / str(surplus.file), 0).lines)
        yield {"type": "left_out", "cell": cell, "count": count, "file": surplus.file, "open": False}
