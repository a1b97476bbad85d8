"""An end to waiting: somebody wants to stop, and a store must not keep them. Must not know a store."""

from __future__ import annotations

import queue
import time

BUSY_SECONDS = 5.0
"""What is left, in a hurry, of a wait for one that is there and at something else."""

AWAY_SECONDS = 1.0
"""And for one that is not there: enough to connect again to one that was away for a moment."""


class Hurry:
    """Whether somebody is in a hurry; once they are, for good.

    `begin` may be called by a signal handler, that is in the midst of any line of any method here: there is no lock.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._wakened: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def is_begun(self) -> bool:
        """Whether somebody is in a hurry."""
        return self._since is not None

    def begin(self) -> None:
        """Be in a hurry from now on."""
        self._since = self._since or time.monotonic()
        self.wake()

    def wake(self) -> None:
        """End a `pause`."""
        self._wakened.put(None)

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until it is ended; by `begin` too."""
        try:
            self._wakened.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return

    def deadline(self, begun: float, seconds: float, *, is_away: bool = False) -> float:
        """Until when may be waited, as things are now: for so many seconds since it was begun, and less in a hurry.

        `is_away`: for one that is not there. Instants are those of `time.monotonic`.
        """
        whole, left = begun + seconds, AWAY_SECONDS if is_away else BUSY_SECONDS
        return whole if self._since is None else min(whole, max(begun, self._since) + left)
