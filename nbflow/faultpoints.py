"""Named places in our own code where a test may have a process die, or the system fail it: fault points.

`NBFLOW_FAULT="POINT:ACTION"` or `"POINT:ACTION:N"` in the environment: at the N-th passage of the point (the first,
unless said) the process kills itself by SIGKILL (`kill`), or gets an OSError (`error`). Each process counts its own
passages. Without the variable a point is one comparison. Must not know what happens around a point.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from enum import StrEnum
from functools import cache
from typing import NoReturn, assert_never

from nbflow.errors import UnreachableError, UsageError

VARIABLE = "NBFLOW_FAULT"


class Point(StrEnum):
    """Each place, in the order in which a run comes by."""

    RUN_CREATED = "run_created"
    """Engine: the run is in the store, its first event durable."""
    CLAIMED = "claimed"
    """Engine: the run is owned."""
    COMMITTED = "committed"
    """Engine: a transaction of the store is durable; nothing has been done about it yet."""
    RUN_ACKED = "run_acked"
    """Engine: the run has begun, and whoever listens has been told so."""
    KERNEL_STARTED = "kernel_started"
    """Worker: the kernel's process is there, and noted in the journal."""
    LAST_CELL = "last_cell"
    """Worker: the last cell has ended, nothing is archived."""
    TEMP_WRITTEN = "temp_written"
    """Worker and engine: a file of the archive is on the disk under its temporary name."""
    RENAMED = "renamed"
    """Worker and engine: a file of the archive has its name; its row is not written."""


class Action(StrEnum):
    """What happens at a point."""

    KILL = "kill"
    ERROR = "error"


_asked = os.environ.get(VARIABLE) or None
_passages: Counter[int] = Counter()
"""By process: one that is forked off counts for itself."""


def reach(point: Point) -> None:
    """Pass a point. Raises OSError (EIO) where that is asked for, UsageError where nobody can tell what is."""
    if _asked is not None:
        _pass(point, _asked)


def cross(point: Point) -> None:
    """Pass a point at which nothing else can fail. Raises UnreachableError for the OSError."""
    try:
        reach(point)
    except OSError as error:
        raise UnreachableError(f"the system has failed nbflow: {error.strerror}") from error


def check() -> None:
    """Raise UsageError where nobody can tell which fault is asked for, before anything is made."""
    if _asked is not None:
        _parsed(_asked)


def _pass(point: Point, asked: str) -> None:
    wanted, action, number = _parsed(asked)
    if point is not wanted:
        return
    _passages[os.getpid()] += 1
    if _passages[os.getpid()] != number:
        return
    match action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.ERROR:
            raise OSError(errno.EIO, f"{os.strerror(errno.EIO)} ({VARIABLE}={asked})")
        case _:
            assert_never(action)


@cache
def _parsed(asked: str) -> tuple[Point, Action, int]:
    """A fault that goes unheard would let a test pass for nothing: one that makes no sense is refused."""
    name, _, rest = asked.partition(":")
    action, _, number = rest.partition(":")
    if name not in list(Point):
        _refuse(asked, f"the points are {', '.join(Point)}")
    if action not in list(Action):
        _refuse(asked, f"the actions are {' and '.join(Action)}")
    if number and not (number.isascii() and number.isdigit() and int(number) > 0):
        _refuse(asked, "the passage is a number from 1 on")
    return Point(name), Action(action), int(number or 1)


def _refuse(asked: str, hint: str) -> NoReturn:
    raise UsageError(f"{VARIABLE}={asked!r} is no fault; it is written POINT:ACTION or POINT:ACTION:N", hint=hint)
