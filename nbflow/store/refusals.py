"""What every store refuses, in the same words whichever adapter does. Must not know an adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nbflow.core.owners import describe
from nbflow.core.rows import LEASE_SECONDS
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


def first_fence(owner: str | None) -> int:
    """The fencing number of a new run: to have an owner is its first claim."""
    return 0 if owner is None else 1


def exists(run: str) -> ConflictError:
    """A run is created twice."""
    return ConflictError(f"run {run} exists already")


def unknown(run: str) -> ConflictError:
    """A run that the store does not have, or has no more."""
    return ConflictError(f"run {run} is not in the store")


def check_free(row: RunRow, owner: str, alive: Callable[[str], bool | None]) -> None:
    """Raise ConflictError where somebody else has a run and is not known to be dead, nor silent for too long."""
    if row.owner is None or row.owner == owner:
        return
    lives = alive(row.owner)
    if lives or (lives is None and not row.lapsed):
        raise held(row.run, row.owner, sure=lives is not None)


def held(run: str, owner: str, *, sure: bool = True) -> ConflictError:
    """A run that somebody else carries out, as far as one can tell."""
    hint = f"it is still going on: nbflow logs -f {run}"
    if not sure:
        free = f"{LEASE_SECONDS:g} s after its last sign of life it is free"
        hint = f"whether it still lives cannot be told from here; {free}"
    return ConflictError(f"run {run} is owned by {describe(owner)}", hint=hint)


def check_owner(run: str, row: RunRow | None, fence: int) -> RunRow:
    """The run as it is, where a fence is that of its owner; else ConflictError, naming who took over."""
    if row is None:
        raise unknown(run)
    if row.fence != fence:
        taker = describe(row.owner) if row.owner else "a process that has given it back since"
        raise ConflictError(f"run {run} has been taken over by {taker}", hint=f"look at it with: nbflow show {run}")
    if row.owner is None:
        raise ConflictError(f"run {run} is owned by nobody: it has not been claimed, or was given back")
    return row


def needed(run: str, taker: str) -> ConflictError:
    """A run that is to be taken out, with results that another one has taken over."""
    return ConflictError(f"run {taker} has taken results of run {run} over")


def behind(row: RunRow, before: int) -> ConflictError:
    """An append by one that does not know the end of its run."""
    return ConflictError(f"run {row.run} is at event {row.seq}, not {before}: somebody else wrote to it")
