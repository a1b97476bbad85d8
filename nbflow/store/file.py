"""The file of a SQLite store: made whole or not at all, and opened only where it is one of ours.

Nothing here replaces or repairs a file: one that cannot be used is left as it is, and the error says why.

How changes reach the file: by a write-ahead log, as long as all who use it are on one machine, for its index is in
shared memory. On a network file system, and in a folder that a program copies, by a rollback journal instead, which is
cut to nothing by a commit: of all of SQLite's ways the one where each takes what it sees from the files themselves. A
file that has such a journal keeps it wherever it is opened: SQLite would let us change it under the eyes of a machine
that shares it.

The index takes room on the disk. Where there is none, a file can be used alone: others are locked out, and the index is
in the memory of the one process.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from nbflow.durable import make_unsynced, sync_folder
from nbflow.errors import UnreachableError
from nbflow.store import access, drafts, places
from nbflow.store.backup import back_up
from nbflow.store.migrate import migrate, migrations, version_of
from nbflow.store.sql import statements
from nbflow.store.transaction import SLICE_SECONDS, patiently

APPLICATION = 0x6E62666C
"""`PRAGMA application_id` of our files (migration 1 sets it)."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


_NO_INDEX = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_READONLY_CANTINIT)
"""What SQLite says where it may not make the index of a write-ahead log."""

_NO_SPACE = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMMAP)
"""What it says where there is no room for that."""


def create_file(path: Path) -> None:
    """Make a store beside its place and put it there whole: nobody sees an empty file, and two may try at once.

    Folders that are missing are made; only the owner can read the file and a folder made for it.
    """
    above = make_unsynced(path.parent, 0o700)
    access.check_folder(path)
    access.check_not_lost(path)
    access.check_writable(path)
    drafts.sweep(path)
    draft = drafts.make(path)
    try:
        with closing(connect(draft, SLICE_SECONDS, "mode=rw")) as connection:
            connection.execute(statements()["reuse_space"])
            migrate(connection, str(path), SLICE_SECONDS)
            if places.network_type(path) is None and places.synced_folder(path) is None:
                connection.execute(statements()["write_ahead"])
        with suppress(FileExistsError):
            _put(draft, path)
    finally:
        drafts.drop(draft)
    for folder in (path.parent, *above):
        sync_folder(folder)


def open_file(path: Path, seconds: float, *, write: bool = True, alone: bool = False) -> sqlite3.Connection:
    """A connection to a store that is there, in autocommit mode; its schema is brought up to date.

    Other processes are waited for so many seconds. Without `write`, nothing is changed, and what cannot be written can
    be read all the same. With `alone`, others are locked out until it is closed. Raises UnreachableError for a file
    that is no store or not safe to use, OSError and sqlite3.Error where it cannot be read: one of which `has_no_room`
    is true where it can be used alone at most.
    """
    access.check_folder(path)
    access.check_file(path)
    if not write:
        return _read_only(path, seconds)
    access.check_writable(path)
    drafts.sweep(path)
    # Two who want it alone have half of the lock each, and must not wait for the other half.
    connection = connect(path, 0.0 if alone else seconds, "mode=rw")
    try:
        if alone:
            connection.execute(statements()["use_alone"])
        _settle_journal(connection, path, seconds)
        check_application(connection, path)
        migrate(connection, str(path), seconds, before=lambda version: back_up(path, version))
        connection.execute(statements()["sync_each_commit"])
        connection.execute(statements()["check_references"])
    except BaseException:
        connection.close()
        raise
    return connection


def has_no_room(path: Path, error: sqlite3.Error) -> bool:
    """Whether an error of opening a store is that its disk has no room for the index of a log, or for one more file.

    A process that may not open any more files gets the same error.
    """
    is_refused = error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN
    return error.sqlite_errorcode in _NO_SPACE or (is_refused and access.is_full(path.parent))


def connect(path: Path, seconds: float, how: str) -> sqlite3.Connection:
    """Open what is there: neither of SQLite's modes `rw` and `ro` makes a file."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=min(seconds, SLICE_SECONDS),
        isolation_level=None,
        check_same_thread=False,
    )


def read_file(path: Path, seconds: float) -> sqlite3.Connection:
    """A connection to a file that is not to be written: on a read-only mount, say.

    SQLite cannot take part in a write-ahead log there unless the files of that are there; without a log there is
    nothing to take part in, and the file is all.
    """
    try:
        return _read(path, seconds, "mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in _NO_INDEX:
            raise
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise UnreachableError(
                f"{path}: the store cannot be written, and {log.name} beside it cannot be read without that",
                hint="copy both to a folder that can be written, and set [nbflow] state to the copy",
            ) from error
    return _read(path, seconds, "mode=ro&immutable=1")


def _read(path: Path, seconds: float, how: str) -> sqlite3.Connection:
    connection = connect(path, seconds, how)
    try:
        connection.execute(statements()["read_version"]).fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _read_only(path: Path, seconds: float) -> sqlite3.Connection:
    """A connection to a store that can only be read; it must have the schema that we know."""
    connection = read_file(path, seconds)
    try:
        check_application(connection, path)
        version, newest = version_of(connection, str(path), migrations()), migrations()[-1].number
        if version < newest:
            raise UnreachableError(
                f"{path}: the store has schema {version}, and cannot be written to be upgraded to {newest}",
                hint="copy it to a folder that can be written, and set [nbflow] state to the copy",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def check_application(connection: sqlite3.Connection, path: Path) -> None:
    """Raise UnreachableError for a database of another program."""
    if connection.execute(statements()["read_application"]).fetchone()[0] != APPLICATION:
        raise UnreachableError(f"{path}: the file is a database, but no store of nbflow", hint=access.OTHER)


def _settle_journal(connection: sqlite3.Connection, path: Path, seconds: float) -> None:
    """Write as is safe at this place.

    A file with a write-ahead log that has come onto a network is used alone for a moment, without shared memory, to
    take the log in; one that somebody uses by it is waited for.
    """
    named = statements()
    if places.network_type(path) is not None:
        connection.execute(named["use_alone"])
        patiently(lambda: connection.execute(named["cut_journal"]), seconds)
        connection.execute(named["use_together"])
        connection.execute(named["read_version"]).fetchone()  # only now are others let in
    elif connection.execute(named["read_journal"]).fetchone()[0] != "wal":
        connection.execute(named["cut_journal"])


def _put(draft: Path, path: Path) -> None:
    """Give a file its name, unless there is one of that name: FileExistsError."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename(draft, path)


def _rename(draft: Path, path: Path) -> None:
    """The same where there are no links: a rename would replace what another process has just put there."""
    guard = path.with_name(f".{path.name}.lock")
    try:
        guard.mkdir(mode=0o700)
    except FileExistsError:
        raise UnreachableError(
            f"{path}: another process is just making the store", hint=f"if there is none, remove {guard}"
        ) from None
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        draft.rename(path)
    finally:
        guard.rmdir()
