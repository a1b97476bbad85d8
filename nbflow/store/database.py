"""One SQLite file for many threads: calls in turn, waiting for other processes, and errors that name the file.

Knows named statements, not what they are for. What SQLite or the disk says becomes an UnreachableError here.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbflow.errors import NoRoomError, UnreachableError
from nbflow.store.access import ELSEWHERE, FULL, RESTORE, check_not_lost, check_writable, is_full, is_writable
from nbflow.store.file import create_file, has_no_room, open_file
from nbflow.store.hurry import Hurry
from nbflow.store.sql import statements
from nbflow.store.transaction import patiently, transaction


class Database:
    """A connection to the file `path`, opened as soon as it is needed and there.

    Others are waited for `seconds`, unless there is a `hurry`. On a full disk it is opened for one call at a time,
    if need be alone. So it stays: while pruning makes room bit by bit, there is none for a log that is left open.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.hurry = Hurry()
        self.path = path.absolute()
        self._seconds = seconds
        self._lock = threading.RLock()
        self._sql = statements()
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._can_write = False
        self._is_alone = self._is_tight = False
        self._depth = 0
        self._closed: str | None = None

    def open(self, *, create: bool) -> bool:
        """Open the file where it is there; `create` makes one that is missing. Whether it is open now.

        A file that cannot be written is opened to be read, unless it has been made or is to be written now.
        """
        with self._used():
            if self._file is not None and self._file != _identity(self.path):
                raise UnreachableError(
                    f"{self.path}: the store was removed or replaced while it was in use",
                    hint="put the file back: a new one does not know its runs",
                )
            if self._connection is None:
                if not _is_there(self.path):
                    if not create:
                        check_not_lost(self.path)
                        return False
                    create_file(self.path)
                self._can_write = create or is_writable(self.path)
                self._connection = patiently(self._connect, self._seconds, self.hurry)
                self._file = _identity(self.path)
            return True

    def rows(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        """All rows of a statement; none where there is no file, or where the values are none that it could hold."""
        with self._used():
            if not self.open(create=False):
                return []
            try:
                return patiently(lambda: self.run(name, values).fetchall(), self._seconds, self.hurry)
            except (UnicodeEncodeError, OverflowError):
                return []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What `run` and `run_many` write inside is on disk afterwards, or nothing of it, where an error leaves it."""
        with self._used():
            if self.open(create=False) and not self._can_write:
                check_writable(self.path)
                self._drop()  # by now it can be
                self.open(create=False)
            with transaction(self._ready, self._seconds, self.hurry):
                yield

    def run(self, name: str, values: Mapping[str, Any]) -> sqlite3.Cursor:
        """Execute a statement."""
        return self._ready.execute(self._sql[name], values)

    def run_many(self, name: str, values: Iterable[Mapping[str, Any]]) -> int:
        """Execute a statement for each set of values; how many rows it has changed."""
        return max(0, self._ready.executemany(self._sql[name], values).rowcount)

    def close(self) -> None:
        """Close the file; a process that was forked off leaves it to the one that opened it."""
        if os.getpid() == self._process:
            with self._lock:
                self._shut("it has been closed")

    @property
    def _ready(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UnreachableError(f"{self.path}: there is no store yet", hint="nbflow run makes one")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        """Open the file together with others; where the disk has no room for what that takes, alone, or to be read."""
        self._is_alone = False
        try:
            return open_file(self.path, self._seconds, write=self._can_write)
        except sqlite3.OperationalError as error:
            if not self._can_write or not has_no_room(self.path, error):
                raise
        self._is_alone = True
        try:
            return open_file(self.path, self._seconds, alone=True)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
                raise
        self._can_write = False
        return open_file(self.path, self._seconds, write=False)

    def _shut(self, reason: str) -> None:
        self._closed = self._closed or reason
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Use the connection alone; what goes wrong names the file and the way out."""
        if os.getpid() != self._process:
            raise RuntimeError(f"{self.path}: a store cannot be used in a process forked off from its own")
        with self._lock:
            if self._closed is not None:
                raise self._unusable(self._closed)
            self._depth += 1
            try:
                yield
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
                raise
            except sqlite3.DatabaseError as error:
                if _kind(error) == sqlite3.SQLITE_FULL or (_kind(error) in UNCLEAR and is_full(self.path.parent)):
                    raise self._no_room() from error
                if _kind(error) in GRAVE and self._connection is not None:
                    # What the kernel failed to write it calls clean: only a new connection reads what is there. And
                    # what is damaged must not be written to.
                    self._shut(f"it was closed after an error: {error}")
                raise self._unusable(error, self._hint(error)) from error
            except OSError as error:
                if error.errno in FULL:
                    raise self._no_room() from error
                raise self._unusable(error.strerror or error, ELSEWHERE) from error
            finally:
                self._depth -= 1
                if (self._is_alone or self._is_tight) and not self._depth:
                    self._drop()  # others may wait for this, and the room that the log has taken comes free

    def _unusable(self, reason: object, hint: str | None = None) -> UnreachableError:
        return UnreachableError(f"{self.path}: the store cannot be used: {reason}", hint=hint)

    def _no_room(self) -> NoRoomError:
        self._is_tight = True
        folder = self.path.parent
        return NoRoomError(
            f"{self.path}: the store cannot be used: the disk of {folder} is full", folder=folder, hint=ROOM
        )

    def _hint(self, error: sqlite3.Error) -> str:
        if _kind(error) == sqlite3.SQLITE_BUSY:
            what = "is writing to it" if self.hurry.is_begun else f"has been writing to it for {self._seconds:g} s"
            return f"another process {what}; look for it with: nbflow doctor"
        return HINTS.get(_kind(error), ELSEWHERE)


GRAVE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""After these errors nothing more is read or written by the same connection."""

UNCLEAR = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""So SQLite calls a full disk where a file beside the store cannot be made or grow, or where a quota is used up."""

ROOM = "make room there, as `nbflow prune` does"
DAMAGED = f"look at the damage with: nbflow doctor; {RESTORE}"
HINTS = {
    sqlite3.SQLITE_ERROR: RESTORE,  # a table is not there
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: RESTORE,
    sqlite3.SQLITE_IOERR: "see that the disk has room and works",
    sqlite3.SQLITE_PROTOCOL: "its folder may be on a network: set [nbflow] state to a local one",
}


def _kind(error: sqlite3.Error) -> int:
    """SQLite's primary error code; 0 where Python's module itself refuses."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _is_there(path: Path) -> bool:
    """Whether there is anything of this name; OSError where that cannot be told."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
