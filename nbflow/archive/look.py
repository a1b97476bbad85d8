"""The first look at object storage: whether it lets us write. Storage that does not answer keeps nobody waiting.

Must not know what depends on it.
"""

from __future__ import annotations

import threading
import time

from nbflow.archive.objects import Objects
from nbflow.archive.refusals import StorageError, unanswered
from nbflow.aside import Aside

LONGEST = 5.0
"""Seconds after which storage that has not answered counts as silent; to load its package takes longer at times."""


class Look:
    """Asks once, aside, beginning at once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._loaded = threading.Event()
        self._since = 0.0
        self._asked = Aside(self._ask, "archive")

    @property
    def is_over(self) -> bool:
        """Whether the storage has answered, or the request was given up."""
        return self._asked.is_over

    def refusal(self) -> StorageError | None:
        """What stands in the way, None where nothing does; known LONGEST seconds after asking, if not before."""
        self._loaded.wait()
        if not self._asked.wait(max(0.0, self._since + LONGEST - time.monotonic())):
            return unanswered(self._objects.url, LONGEST)
        return self._asked.result()

    def _ask(self) -> StorageError | None:
        try:
            self._objects.load()
        except StorageError as error:
            return error
        finally:
            self._since = time.monotonic()
            self._loaded.set()
        try:
            self._objects.check()
        except StorageError as error:
            return error
        return None
