"""One PostgreSQL database for the threads of a process: calls in turn, and a new connection where one is lost.

Knows named statements, not what they are for. A call that met a lost connection is made again: whoever makes one that
changes something must be able to tell whether it has been carried out already. A server answers with what it kept
after a restart, too; asking it for the fate of a transaction by its number would not do, as numbers that were never
written down are given out again. What goes wrong for good becomes an UnreachableError here, without a password.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from nbflow.core import database_url
from nbflow.errors import UnreachableError
from nbflow.faultpoints import Point, reach
from nbflow.store.hurry import Hurry
from nbflow.store.postgres import failures, schema
from nbflow.store.postgres.failures import Kind
from nbflow.store.postgres.session import Session, begin

T = TypeVar("T")
Row = tuple[Any, ...]
Execute = Callable[[str, Mapping[str, Any]], list[Row]]
"""Execute a named statement with its values."""

FIRST_SECONDS = 5.0
"""How long a server that has never answered is tried."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


class Link:
    """A connection to the database at `url`. A server that is gone is waited for `seconds`."""

    def __init__(self, url: str, seconds: float) -> None:
        self.place = database_url.shown(url)
        if wrong := database_url.fault(url):
            raise UnreachableError(f"[nbflow] state: {wrong}", hint=database_url.HOW)
        self._url = url
        self._seconds = seconds
        self._lock = threading.RLock()
        self._hurry = Hurry()
        self._is_closed = False
        self._process = os.getpid()
        self._session: Session | None = None
        self._has_tables = False
        self._has_answered = False

    def open(self, *, create: bool) -> bool:
        """Connect, if need be; `create` makes the schema where it is missing. Whether it is there now."""
        return self._patiently(lambda: self._open(create=create))[0]

    def describe(self) -> str:
        """What this is connected to, for a person."""
        is_there, _ = self._patiently(lambda: self._open(create=False))
        session = self._connected()
        later = "" if is_there else ", which the first run will make"
        return f"{self.place}: PostgreSQL {session.version}, schema {session.schema}{later}"

    def rows(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        """All rows of a statement that changes nothing.

        None where there is no schema, or where the values are none that a database could hold.
        """

        def read() -> list[Row]:
            return self._execute(name, values) if self._open(create=False) else []

        try:
            return self._patiently(read)[0]
        except ValueError:
            return []

    def change(self, name: str, values: Mapping[str, Any]) -> tuple[list[Row], bool]:
        """The rows of a statement that is on disk afterwards.

        Also whether it may have been carried out once before already, unseen, when a connection was lost. Raises
        ValueError for values that no database holds.
        """
        return self._patiently(lambda: self._changed(name, values))

    def transaction(self, act: Callable[[Execute, bool], T]) -> T:
        """What `act` gives; what it executes is on disk afterwards, or nothing of it, where an error leaves it.

        It is called again where the connection was lost, with True: what it did before may be there already.
        """
        tries = 0

        def attempt() -> T:
            nonlocal tries
            tries += 1
            with self._ready().transaction():
                result = act(self._execute, tries > 1)
            reach(Point.COMMITTED)
            return result

        return self._patiently(attempt)[0]

    def hurry(self) -> None:
        """Wait no more, from now on. May be called from a signal handler."""
        self._hurry.begin()

    def close(self) -> None:
        """Close the connection; a process that was forked off leaves it to the one that opened it."""
        if os.getpid() == self._process:
            self._is_closed = True
            self._hurry.wake()
            with self._lock:
                self._shut()

    def _changed(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        self._ready()
        rows = self._execute(name, values)
        reach(Point.COMMITTED)
        return rows

    def _execute(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        cursor = self._connected().execute(schema.statements()[name], values)
        return cursor.fetchall() if cursor.description else []

    def _ready(self) -> Session:
        if not self._open(create=False):
            raise UnreachableError(f"{self.place}: there is no store yet", hint="nbflow run makes one")
        return self._connected()

    def _open(self, *, create: bool) -> bool:
        session = self._connected()
        if not self._has_tables:
            self._has_tables = schema.prepare(session, session.schema, self.place, create=create)
        return self._has_tables

    def _connected(self) -> Session:
        if self._session is None:
            self._has_tables = False
            self._session = begin(self._url, self.place, self._hurry)
            self._has_answered = True
        return self._session

    def _shut(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _patiently(self, call: Callable[[], T]) -> tuple[T, bool]:
        """The result of a call, made again where it may help; and whether it may have worked before already."""
        with self._used():
            patience = self._seconds if self._has_answered else min(FIRST_SECONDS, self._seconds)
            begun, pause, unsure = time.monotonic(), SHORTEST_PAUSE, False
            while True:
                try:
                    return call(), unsure
                except psycopg.DataError as error:
                    raise ValueError(failures.reason(error)) from None
                except psycopg.Error as error:
                    unsure = self._judge(error, begun, patience) or unsure
                except OSError as error:
                    self._settle()
                    raise self.unusable(error.strerror or str(error)) from error
                except BaseException:
                    self._settle()
                    raise
                self._hurry.pause(pause * random.uniform(0.5, 1.0))  # noqa: S311
                if self._is_closed:
                    raise self.unusable("it has been closed")
                pause = min(2 * pause, LONGEST_PAUSE)

    def _judge(self, error: psycopg.Error, begun: float, patience: float) -> bool:
        """Whether an error came in the midst of a call, begun at an instant. Raises UnreachableError where to try again
        is no use.
        """
        was_connected = self._session is not None
        is_connected = self._session is not None and not self._session.closed
        kind = failures.kind(error, was_connected=was_connected, is_connected=is_connected)
        if kind is Kind.LOST:
            self._shut()
        deadline = self._hurry.deadline(begun, patience, is_away=kind is Kind.LOST)
        if kind is Kind.FINAL or time.monotonic() >= deadline:
            raise self.unusable(failures.reason(error), failures.hint(error)) from None
        return kind is Kind.LOST and was_connected

    def _settle(self) -> None:
        """Drop a connection on which something is still going on, when a call has been broken off."""
        if self._session is not None and self._session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._shut()

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Use the connection alone."""
        if os.getpid() != self._process:
            raise RuntimeError(f"{self.place}: a store cannot be used in a process forked off from its own")
        with self._lock:
            if self._is_closed:
                raise self.unusable("it has been closed")
            yield

    def unusable(self, reason: str, hint: str | None = None) -> UnreachableError:
        """The error that says why the store cannot be used."""
        return UnreachableError(f"{self.place}: the store cannot be used: {reason}", hint=hint)
