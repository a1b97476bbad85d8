"""The hold of an engine on its run: renewed in time, and made sure of where it may be lost."""

from __future__ import annotations

from datetime import datetime

from nbflow.core.ports import Clock, Store
from nbflow.core.rows import LEASE_SECONDS

RENEW_SECONDS = LEASE_SECONDS / 4
"""How old a sign of life becomes before another one is given; every append is one too."""

Instant = tuple[float, datetime, datetime]
"""By the monotonic clock, by that of the run, which goes on while the machine sleeps, and by the one on the wall."""


class Lease:
    """Says when the store has to hear of us. `keep` and `ensure` raise ConflictError where the run is lost."""

    def __init__(self, store: Store, run: str, fence: int, clock: Clock) -> None:
        self._store, self._run, self._fence, self._clock = store, run, fence, clock
        self._sign = self.instant()

    def keep(self) -> None:
        """Give a sign of life if it is time."""
        if self._age() > RENEW_SECONDS:
            self._renew()

    def ensure(self) -> None:
        """Ask whether the run is still ours, where somebody else may have taken it: this machine was asleep, say."""
        if self._age() > LEASE_SECONDS:
            self._renew()

    def signed(self, instant: Instant) -> None:
        """A sign of life was given, in a call that began at an instant: the store may have noted it at once."""
        self._sign = instant

    def instant(self) -> Instant:
        """Now."""
        return self._clock.monotonic(), self._clock.now(), self._clock.wall()

    def _renew(self) -> None:
        begun = self.instant()
        self._store.renew(self._run, self._fence)
        self.signed(begun)

    def _age(self) -> float:
        """Seconds since the last sign of life, by the clock that says most: one stands still while we sleep. The one on
        the wall may be set, forward or back, and others may judge our sign of life by it.
        """
        seconds, at, wall = self.instant()
        before, since, noted = self._sign
        return max(seconds - before, (at - since).total_seconds(), abs((wall - noted).total_seconds()))
