"""Transactions on a SQLite connection in autocommit mode: wait for others, then all or nothing.

Must not know tables or files.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nbflow.faultpoints import Point, reach
from nbflow.store.hurry import Hurry
from nbflow.store.sql import statements

T = TypeVar("T")

SLICE_SECONDS = 0.5
"""SQLite itself waits for at most this long (longer and longer naps), deaf to signals: Ctrl-C is heard in between."""

PAUSE_SECONDS = 0.01
"""Between two slices at most; some locks SQLite does not wait for at all."""

CALM = Hurry()
"""Nobody's."""


def patiently(call: Callable[[], T], seconds: float, hurry: Hurry = CALM) -> T:
    """The result of a call, made again for so many seconds while others keep it from its lock; in a hurry, for fewer.

    Raises sqlite3.OperationalError (SQLITE_BUSY) once they are over.
    """
    begun = time.monotonic()
    while True:
        try:
            return call()
        except sqlite3.OperationalError as error:
            is_over = time.monotonic() >= hurry.deadline(begun, seconds)
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or is_over:
                raise
        # The low digits of the clock are chance enough: processes that wait for one lock must not ask in step.
        time.sleep(PAUSE_SECONDS * (1 + time.perf_counter_ns() // 100 % 1000) / 1000)


@contextmanager
def transaction(connection: sqlite3.Connection, seconds: float, hurry: Hurry = CALM) -> Iterator[None]:
    """All that is written inside is committed, durably, or nothing is. Another writer is waited for so many seconds."""
    named = statements()
    try:
        patiently(lambda: connection.execute(named["begin"]), seconds, hurry)
        yield
        # With a rollback journal, those who read are waited for here; the transaction stays as it is meanwhile.
        patiently(lambda: connection.execute(named["commit"]), seconds, hurry)
        reach(Point.COMMITTED)
    except BaseException as error:
        _roll_back(connection, error)
        raise


def _roll_back(connection: sqlite3.Connection, cause: BaseException) -> None:
    """Undo; SQLite has often done so by itself (full disk). A failure here must not hide what led to it."""
    try:
        if connection.in_transaction:
            connection.execute(statements()["rollback"])
    except sqlite3.Error as error:
        cause.add_note(f"rolling back failed too: {error}")
