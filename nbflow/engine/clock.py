"""The real clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Implements `ports.Clock`. For `now` the clock on the wall is read once: who sets it during a run changes neither
    what tasks and retries took and wait, nor when a limit is reached.
    """

    def __init__(self) -> None:
        self._made, self._since = datetime.now(UTC), _seconds()

    def now(self) -> datetime:
        """The present instant in UTC."""
        return self._made + timedelta(seconds=_seconds() - self._since)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def wall(self) -> datetime:
        """What the clock on the wall says, by which a store in a file judges how old a sign of life is."""
        return datetime.now(UTC)


def _seconds() -> float:
    """Seconds that go on while the machine sleeps, and that nobody sets. Where a system has none (only Linux
    has one), those of the clock on the wall.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()
