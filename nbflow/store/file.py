"""The file of a SQLite store: made whole or not at all, and opened only where it is one of ours.

Nothing here replaces or repairs a file: one that cannot be used is left as it is, and the error says why.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from nbflow.errors import UnreachableError
from nbflow.store.migrate import migrate
from nbflow.store.sql import statements
from nbflow.store.transaction import SLICE_SECONDS

APPLICATION = 0x6E62666C
"""`PRAGMA application_id` of our files (migration 1 sets it)."""

RESTORE = "restore the file from a backup, or move it away to begin a new history"
OTHER = "set [nbflow] state to another file"
ELSEWHERE = "check that the file and its folder can be written, or set [nbflow] state to another place"


def create_file(path: Path) -> None:
    """Make a store beside its place and link it there whole: nobody sees an empty file, and two may try at once.

    Folders that are missing are made; only the owner can read the file and a folder made for it.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        with closing(_open(Path(name), SLICE_SECONDS)) as connection:
            migrate(connection, str(path), SLICE_SECONDS)
            connection.execute(statements()["write_ahead"])
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        for part in ("", "-journal", "-wal", "-shm"):
            Path(name + part).unlink(missing_ok=True)
    for folder in (path.parent, *(folder.parent for folder in missing)):
        _sync_folder(folder)


def open_file(path: Path, seconds: float) -> sqlite3.Connection:
    """A connection to a store that is there, in autocommit mode; its schema is brought up to date.

    Other processes are waited for so many seconds. Raises UnreachableError for a file that is no store or not safe
    to use, OSError and sqlite3.Error where it cannot be read.
    """
    _check_folder(path)
    _check_file(path)
    connection = _open(path, seconds)
    named = statements()
    try:
        if connection.execute(named["read_application"]).fetchone()[0] != APPLICATION:
            raise UnreachableError(f"{path}: the file is a database, but no store of nbflow", hint=OTHER)
        migrate(connection, str(path), seconds)
        mode = connection.execute(named["write_ahead"]).fetchone()[0]
        if mode != "wal":
            raise UnreachableError(f"{path}: the store's folder has no locks or shared memory", hint=ELSEWHERE)
        connection.execute(named["sync_each_commit"])
        connection.execute(named["check_references"])
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, seconds: float) -> sqlite3.Connection:
    """Open what is there: `mode=rw` keeps SQLite from making a file."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=min(seconds, SLICE_SECONDS),
        isolation_level=None,
        check_same_thread=False,
    )


def _check_file(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UnreachableError(f"{path}: the store is a link", hint="set [nbflow] state to the file itself")
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise UnreachableError(f"{path}: the store is {kind}", hint=OTHER)
    if found.st_size == 0:
        raise UnreachableError(f"{path}: the store is empty: its history is lost", hint=RESTORE)
    _check_owner(path, "the store", found.st_uid)
    if not _can_write(path):
        raise UnreachableError(f"{path}: the store cannot be written", hint=ELSEWHERE)


def _check_folder(path: Path) -> None:
    """Whether a store may be in its folder; SQLite keeps files of its own beside the store."""
    _check_owner(path, "the store's folder", path.parent.stat().st_uid)
    if not _can_write(path.parent):
        raise UnreachableError(f"{path}: the store's folder cannot be written", hint=ELSEWHERE)


def _check_owner(path: Path, what: str, owner: int) -> None:
    """What another user owns is not to be trusted: it may have been put there for us to fall into."""
    if owner not in (os.geteuid(), 0):
        raise UnreachableError(
            f"{path}: {what} belongs to another user (uid {owner})",
            hint="run nbflow as that user, or set [nbflow] state to a folder of your own",
        )


def _can_write(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
