"""Processes that the system refuses at this moment, for a limit that is reached or for want of memory: asked for again.

Must not know what is started.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Started = TypeVar("Started")

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds before it is asked again; when the last one has passed, what the system says then is final."""


def is_refused(error: BaseException) -> bool:
    """Whether the system has no room for a process now, which may be different in a moment."""
    return isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.ENOMEM)


def insist(start: Callable[[], Started]) -> Started:
    """What `start` gives, once the system lets it. Raises OSError where it does not for some seconds, or for good."""
    for pause in PAUSES:
        try:
            return start()
        except OSError as error:
            if not is_refused(error):
                raise
        time.sleep(pause)
    return start()


async def insist_async(start: Callable[[], Awaitable[Started]]) -> Started:
    """The same in an event loop, which goes on meanwhile."""
    import asyncio  # those who start processes from threads do without

    for pause in PAUSES:
        try:
            return await start()
        except OSError as error:
            if not is_refused(error):
                raise
        await asyncio.sleep(pause)
    return await start()
