"""The notebook of an attempt whose worker is dead, or never lived: made of the journal, else of the source.

One without a journal whose notebook is in the archive has ended: it is left as it is, and tells the outcome.

Ends what the dead worker has left behind first. May be called again: an attempt that has ended is not ended twice,
and one that ended by itself before its worker died keeps its own outcome. Must not start kernels.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder, fate
from nbflow.core.masking import Masker
from nbflow.kernels.autopsy import lack_of_memory
from nbflow.kernels.groups import clear_away
from nbflow.kernels.memory import Mark, kills_since
from nbflow.kernels.runtime import remove_left_over
from nbflow.kernels.sweep import end_marked
from nbflow.worker import journal as jr
from nbflow.worker.adopt import adopted
from nbflow.worker.attempt import (
    Prepared,
    ending_record,
    prepare,
    process_start,
    settle,
    settle_unwritten,
    write_ending,
    write_header,
)
from nbflow.worker.control import Control
from nbflow.worker.fold import Folded, FoldError, fold
from nbflow.worker.remains import last_moment, remains
from nbflow.worker.search import bare
from nbflow.worker.secrets import Around, Values, is_at_hand, resolve
from nbflow.worker.session import Ending

PATIENCE = 20.0
"""Seconds for a worker that has lost its owner to end by itself: it interrupts, saves and goes."""
_SAME_START = 1.5
"""Seconds by which two readings of a process's start may differ: the clock may have been set in between."""


def recover(order: WorkOrder, reason: str, *, patience: float = PATIENCE) -> Outcome:
    """Bring an attempt to its end and publish its notebook; the outcome is `lost` unless it had ended before.

    A worker of the attempt that still lives gets `patience` seconds and is then killed.
    """
    try:
        until = last_moment(order.journal)
        journal = _take_over(order, patience)
        values = _values(order)
        masker = Masker(values.secrets)
        try:
            if next(journal.records(), None) is None and (known := adopted(order)) is not None:
                return known
            _end(order, journal, values, reason, until)
            return settle(order, journal, masker)
        except jr.JournalError as error:
            return _salvage(order, journal, f"{reason}; {error.message}", masker)
        finally:
            journal.close()
    except (jr.JournalError, FoldError) as error:
        failure = TaskError(kind=ErrorKind.LOST, message=f"{reason}; its notebook cannot be made: {error}")
        return Outcome(verdict=Verdict.FAILED, error=failure)


def _salvage(order: WorkOrder, journal: jr.Journal, reason: str, masker: Masker) -> Outcome:
    """The journal cannot be completed: make the notebook of what it holds. Raises JournalError and FoldError."""
    records = list(journal.records())
    folded = fold(records)
    if not folded.ended:
        records.append(ending_record(_lost(folded, reason), None))
    return settle_unwritten(order, records, masker)


def _values(order: WorkOrder) -> Values:
    """The values of the attempt's secrets, as far as they are at hand: no program is started for one that is over."""
    references = {name: text for name, text in order.secrets.items() if is_at_hand(text)}
    return resolve(references, Around(root=order.root, environment=os.environ, control=Control()))


def _prepared(order: WorkOrder, values: Values) -> Prepared:
    """What the attempt would have begun with. What cannot be masked, for want of a value, is left out."""
    prepared = replace(prepare(order), secrets=values, masker=Masker(values.secrets))
    missing = sorted(order.secrets.keys() - values.secrets.keys())
    if not missing:
        return prepared
    text = f"the cells and the parameters are left out, since nothing can mask the secret {', '.join(missing)} in them"
    values = replace(values, warnings=(*values.warnings, text))
    return replace(prepared, secrets=values, document=bare(prepared.document), parameters={})


def _end(order: WorkOrder, journal: jr.Journal, values: Values, reason: str, until: float) -> None:
    """Complete the journal, and end what the attempt has left behind; it may have begun processes until an instant."""
    left = end_marked(order.journal, remains(journal.path, until))
    clear_away()
    if next(journal.records(), None) is None:
        write_header(journal, order, _prepared(order, values))
    folded = fold(journal.records())
    if folded.runtime is not None:
        remove_left_over(folded.runtime)
    if not folded.ended:
        for one in left:
            journal.append("warning", text=f"a process that the attempt had left behind {fate(one)}: {one}")
        write_ending(journal, _lost(folded, reason), None)


def _lost(folded: Folded, reason: str) -> Ending:
    message = f"{reason}{_of_memory(folded.memory_mark)}"
    error = TaskError(kind=ErrorKind.LOST, message=message, cell=folded.running)
    return Ending(verdict=Verdict.FAILED, error=error)


def _of_memory(found: Mapping[str, Any] | None) -> str:
    """Whether the system has ended processes for lack of memory since the kernel of the attempt was started."""
    mark = None if found is None else Mark(**found)
    kills = kills_since(mark)
    return f"; {lack_of_memory(kills, grouped=mark.grouped)}" if mark is not None and kills else ""


def _take_over(order: WorkOrder, patience: float) -> jr.Journal:
    if not Path(order.journal).exists():
        return jr.Journal.create(order.journal)
    return jr.Journal.reopen(order.journal, patience=patience, evict=lambda: _kill_worker(order))


def _kill_worker(order: WorkOrder) -> None:
    """Kill the worker that has the journal, if it is still the process that the journal names."""
    import psutil

    first = next(jr.records(Path(order.journal)), None)
    worker = first["worker"] if first is not None else None
    if worker is None:
        return
    try:
        if abs(process_start(worker["pid"]) - worker["started"]) < _SAME_START:
            os.kill(worker["pid"], signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
