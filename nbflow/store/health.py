"""A deep look at a store's file, page by page: whether it is whole, who uses it, what it could give back.

Changes nothing: an older schema stays as it is. Must not judge.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.errors import UnreachableError
from nbflow.store import access, places
from nbflow.store.backup import backups
from nbflow.store.file import check_application, connect, has_no_room, read_file
from nbflow.store.migrate import migrate, migrations, version_of
from nbflow.store.sql import statements
from nbflow.store.transaction import patiently

DEEP_BYTES = 500_000_000
"""Larger files are looked at without comparing indexes with their tables, which takes minutes."""

WAIT_SECONDS = 5.0
"""For others to let us read: only on networks they may keep us from it."""


_REMOVALS = 3
"""The first schema that notes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found. Sizes are in bytes; `log` is that of the write-ahead log, `free` what the file does not use.

    `journal` is SQLite's name of the mode. `begun` are removals of runs that nobody has finished. `faults` are SQLite's
    words for what is damaged. `is_written`: somebody is writing this moment. `users` are processes that have it open,
    `backups` those made before upgrades.
    """

    version: int
    newest: int
    journal: str
    runs: int
    begun: int
    size: int
    log: int
    free: int
    faults: tuple[str, ...]
    is_written: bool
    users: tuple[str, ...]
    backups: tuple[Path, ...]


def look(path: Path) -> Health:
    """Look at a store that is there. Raises UnreachableError for what is none, is newer or cannot be read."""
    access.check_folder(path)
    access.check_file(path)
    users = _users(path)  # before we have it open ourselves
    try:
        with closing(_open(path)) as connection:
            check_application(connection, path)
            version = version_of(connection, str(path), migrations())
            faults = _faults(connection, path, version)
            return Health(
                version=version,
                newest=migrations()[-1].number,
                journal=_first(connection, "read_journal"),
                runs=0 if faults else _first(connection, "count_runs"),
                begun=0 if faults or version < _REMOVALS else _first(connection, "count_removed"),
                size=path.stat().st_size,
                log=_size(path.with_name(f"{path.name}-wal")),
                free=_first(connection, "count_free") * _first(connection, "read_page_size"),
                faults=faults,
                is_written=_is_written(connection),
                users=users,
                backups=tuple(backups(path)),
            )
    except sqlite3.DatabaseError as error:
        raise UnreachableError(f"{path}: the store cannot be read: {error}", hint=access.RESTORE) from error


def _open(path: Path) -> sqlite3.Connection:
    """Together with others, alone or to be read, as `Database` does."""
    if not access.is_writable(path):
        return read_file(path, WAIT_SECONDS)
    try:
        if places.network_type(path) is None:
            return _read(path, WAIT_SECONDS, "read_version")
    except sqlite3.OperationalError as error:
        if not has_no_room(path, error):
            raise
    try:  # a log is then read without shared memory
        return patiently(lambda: _read(path, 0.0, "use_alone", "read_version"), WAIT_SECONDS)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
            raise
    return read_file(path, WAIT_SECONDS)


def _read(path: Path, seconds: float, *first: str) -> sqlite3.Connection:
    """A connection on which some statements have been executed."""
    connection = connect(path, seconds, "mode=rw")
    try:
        for name in first:
            connection.execute(statements()[name]).fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _faults(connection: sqlite3.Connection, path: Path, version: int) -> tuple[str, ...]:
    """What is damaged, ten pages at most, and what is missing."""
    check = "check_deeply" if path.stat().st_size <= DEEP_BYTES else "check_pages"
    try:
        found = [str(row[0]) for row in connection.execute(statements()[check])]
        missing = _missing(connection, version)
        orphaned = len(connection.execute(statements()["find_broken_references"]).fetchall())
    except sqlite3.DatabaseError as error:
        return (str(error),)
    faults = [one for text in found if text != "ok" for one in text.splitlines()]
    return (*faults, *missing, *([f"{orphaned} rows refer to rows that are not there"] if orphaned else []))


def _missing(connection: sqlite3.Connection, version: int) -> tuple[str, ...]:
    """Tables and indexes of the schema of that version that are not there."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model, "the schema", 0.0, migrations()[:version])
        due, there = ({name for (name,) in one.execute(statements()["list_schema"])} for one in (model, connection))
    return tuple(f"the {name} is missing" for name in sorted(due - there))


def _is_written(connection: sqlite3.Connection) -> bool:
    """Whether somebody has the lock for writing; read only, that cannot be told."""
    connection.execute(statements()["ask_once"])
    try:
        connection.execute(statements()["begin"])
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    connection.execute(statements()["rollback"])
    return False


def _users(path: Path) -> tuple[str, ...]:
    """The processes that have a file open, as far as we may see."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(one.path == str(path.resolve()) for one in process.open_files()):
                words = " ".join(process.cmdline()[:6])
                found.append(f"process {process.pid} ({words[:80]})")
    return tuple(found)


def _first(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(statements()[name]).fetchone()[0]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
