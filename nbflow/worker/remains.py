"""What a dead attempt has left in the session of its kernel: how that is noted in the journal, and found by it.

For what does not bear the mark of the attempt, since it was started with another environment. Must not end anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nbflow.engine.owner import here
from nbflow.kernels.sessions import Session, members, session_of
from nbflow.worker import journal as jr

_LATEST = 60.0
"""Seconds after its last sign of life for which a worker may have lived on; it gives one more often."""


def noted(kernel: int) -> dict[str, Any] | None:
    """How the session of a kernel is known later, as the journal has it; None where it leads none."""
    found = session_of(kernel)
    return None if found is None else {"began": found.began, "place": here()}


def last_moment(journal: str) -> float:
    """Until when the attempt of a journal may have begun processes, in seconds since the epoch.

    To be asked before the journal is taken over, which is a sign of life too.
    """
    if jr.is_in_use(journal):
        return time.time()
    try:
        return Path(journal).stat().st_mtime + _LATEST
    except OSError:  # there is none, or it cannot be read: that is said by who takes it over
        return 0.0


def remains(journal: Path, until: float) -> Callable[[], list[Any]]:
    """What finds the processes that an attempt had begun by an instant and that are still in its kernel's session.

    Finds none where the attempt ran in another container, or before this machine was started anew. Raises JournalError.
    """
    started = next((one for one in jr.records(journal) if one.get("type") == "kernel_started"), {})
    found = started.get("session")
    if found is None or found["place"] != here():
        return list
    return partial(members, Session(leader=started["pid"], began=found["began"]), until)
