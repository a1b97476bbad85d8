"""Whether a decision about slots still holds when it is kept later than it was made. Must not know a database."""

from __future__ import annotations

from collections.abc import Iterable

from nbflow.core.rows import PoolUse


def may_be_taken(wanted: Iterable[PoolUse], seen: Iterable[PoolUse], now: Iterable[PoolUse]) -> bool:
    """Whether a run would get slots of a pool of which others have got some since.

    `wanted` is what the run is to have, `seen` what all runs had when that was decided, `now` what they have.
    """
    before, since = list(seen), list(now)
    for use in wanted:
        others_then, others_now = _held(before, use), _held(since, use)
        own = sum(one.held for one in before if (one.run, one.pool) == (use.run, use.pool))
        if use.held > own and others_now > others_then:
            return True
    return False


def _held(uses: Iterable[PoolUse], of: PoolUse) -> int:
    """How many slots of a pool runs hold that are not this one."""
    return sum(use.held for use in uses if use.pool == of.pool and use.run != of.run)
