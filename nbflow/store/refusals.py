"""What every store refuses, in the same words whichever adapter does. Must not know an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbflow.errors import ConflictError

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.rows import Projection, RunRow


def check_batch(events: Sequence[Stamped], projection: Projection) -> int:
    """The sequence number that comes before some events of one run, which lead to the projection.

    Raises ValueError for no events, for a gap within them, and for those that lead elsewhere: a bug of the caller.
    """
    if not events:
        raise ValueError("there are no events to keep")
    before = events[0].seq - 1
    for place, stamped in enumerate(events, start=before + 1):
        if (stamped.run, stamped.seq) != (projection.row.run, place):
            raise ValueError(f"event {stamped.seq} of {stamped.run} where {place} of {projection.row.run} is due")
    if projection.row.seq != events[-1].seq:
        raise ValueError(f"the projection is at event {projection.row.seq}, the events end at {events[-1].seq}")
    return before


def exists(run: str) -> ConflictError:
    """A run is created twice."""
    return ConflictError(f"run {run} exists already")


def unknown(run: str) -> ConflictError:
    """A run that the store does not have, or has no more."""
    return ConflictError(f"run {run} is not in the store")


def held(run: str, owner: str) -> ConflictError:
    """A run that somebody else carries out."""
    return ConflictError(f"run {run} is owned by {owner}", hint=f"it is still going on: nbflow logs -f {run}")


def stale(run: str, row: RunRow | None, before: int, fence: int) -> ConflictError:
    """An append by one that does not own the run, or no more. `row` is the run as it is."""
    if row is None:
        return unknown(run)
    if row.fence != fence:
        taker = row.owner or "a process that has given it back since"
        return ConflictError(f"run {run} has been taken over by {taker}")
    if row.owner is None:
        return ConflictError(f"run {run} is owned by nobody: it has not been claimed, or was given back")
    return ConflictError(f"run {run} is at event {row.seq}, not {before}: somebody else wrote to it")
