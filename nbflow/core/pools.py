"""Pools, which all runs of a project share: whose turn it is, what a run holds and wants, and what it waits for.

What others hold comes from the store; a run knows its own from its state. Must not know stores, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from nbflow.core import events as ev
from nbflow.core.rows import PoolUse
from nbflow.core.spec import EMPTY
from nbflow.core.state import RunState


class Overtaken(Exception):
    """What was decided about slots was not kept, and is not going to be: others may have got slots since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What other runs have of the pools, and since when this one (`run`, that uses `pools`) waits its turn at each.

    Who has waited longest is next; who gets slots goes to the end of the line. So runs take turns, however many tasks
    each of them has.
    """

    run: str = ""
    pools: tuple[str, ...] = ()
    others: Sequence[PoolUse] = ()
    since: Mapping[str, datetime] = field(default_factory=lambda: EMPTY)

    def room(self, pool: str, size: int) -> int:
        """Slots of a pool that this run may hold: what others leave, and those leave whose turn it is."""
        return size - sum(use.held + (use.wanted if self._is_ahead(use) else 0) for use in self._of(pool))

    def among(self, others: Sequence[PoolUse]) -> Turns:
        """The turns of this run among others, which have so much by now."""
        return replace(self, others=others) if others or self.others else self

    def after(self, state: RunState, events: Iterable[ev.Event], now: datetime) -> Turns:
        """The turns once this run has got slots for some attempts."""
        begun = [event.task for event in events if isinstance(event, ev.AttemptSubmitted)]
        moved = {pool: now for name in begun if (pool := state.tasks[name].planned.pool) is not None}
        return replace(self, since={**self.since, **moved}) if moved else self

    def waiting(self, wanted: Mapping[str, int], now: datetime) -> Turns:
        """The turns of this run as long as it waits for these slots (by pool), and for no others."""
        since = {pool: self.since.get(pool, now) for pool in wanted}
        return replace(self, since=since) if since != self.since else self

    def uses(self, state: RunState, wanted: Mapping[str, int]) -> tuple[PoolUse, ...]:
        """What this run holds and wants of its pools, for the others."""
        return tuple(
            PoolUse(
                run=self.run,
                pool=pool,
                held=state.used["pool", pool],
                wanted=wanted.get(pool, 0),
                since=self.since.get(pool),
            )
            for pool in self.pools
        )

    def reason(self, pool: str, size: int, held: int) -> str:
        """What a task waits for: `waits for pool a (2 of 2 taken, by run X)`. `held` are the run's own slots."""
        taken = held + sum(use.held for use in self._of(pool))
        holders = [use.run for use in self._of(pool) if use.held]
        ahead = [use.run for use in self._of(pool) if self._is_ahead(use)]
        by = f", by run {' and '.join(holders[:2])}{' and others' if len(holders) > 2 else ''}" if holders else ""
        turn = "" if taken >= size or not ahead else f"; it is the turn of run {ahead[0]}"
        return f"waits for pool {pool} ({taken} of {size} taken{by}{turn})"

    @property
    def before(self) -> list[str]:
        """The runs for which this one waits."""
        found = (use for pool in self.since for use in self._of(pool) if use.held or self._is_ahead(use))
        return list(dict.fromkeys(use.run for use in found))

    def _of(self, pool: str) -> list[PoolUse]:
        return [use for use in self.others if use.pool == pool]

    def _is_ahead(self, use: PoolUse) -> bool:
        """Whether another run waits, and has done so for longer. One that gives no sign of life waits for nothing."""
        if not use.wanted or use.since is None or use.owner is None or use.lapsed:
            return False
        mine = self.since.get(use.pool)
        return mine is None or (use.since, use.run) < (mine, self.run)


ALONE = Turns()
"""The turns of a run that shares its pools with nobody."""


def turns_of(created: ev.RunCreated, uses: Iterable[PoolUse] = ()) -> Turns:
    """The turns of a run, by what all runs, it among them, are known to hold and want."""
    pools = (planned.pool for planned in created.plan.tasks if planned.pool is not None)
    found = list(uses)
    since = {use.pool: use.since for use in found if use.run == created.run and use.since is not None}
    others = [use for use in found if use.run != created.run]
    return Turns(run=created.run, pools=tuple(dict.fromkeys(pools)), others=others, since=since)
