"""The first look at object storage: whether it lets us write. Storage that does not answer keeps nobody waiting.

Must not know what depends on it.
"""

from __future__ import annotations

import time

from nbflow.archive.objects import Objects
from nbflow.archive.refusals import StorageError, unanswered
from nbflow.aside import Aside

LONGEST = 5.0
"""Seconds after which storage that has not answered counts as silent."""


class Look:
    """Asks once, aside, beginning at once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._since = time.monotonic()
        self._asked = Aside(self._ask, "archive")

    @property
    def is_over(self) -> bool:
        """Whether the storage has answered, or the request was given up."""
        return self._asked.is_over

    def refusal(self) -> StorageError | None:
        """What stands in the way, None where nothing does; known at the latest LONGEST seconds after the beginning."""
        if not self._asked.wait(max(0.0, self._since + LONGEST - time.monotonic())):
            return unanswered(self._objects.url, LONGEST)
        return self._asked.result()

    def _ask(self) -> StorageError | None:
        try:
            self._objects.check()
        except StorageError as error:
            return error
        return None
