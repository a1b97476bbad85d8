"""Whose a store's files are, and who may write them: what is not ours, or no file, is refused. Changes nothing."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from codecs import getincrementaldecoder
from pathlib import Path

from nbflow.errors import UnreachableError

RESTORE = "restore the file from a backup, or move it away to begin a new history"
OTHER = "set [nbflow] state to another file"
ELSEWHERE = "check that the file and its folder can be written, or set [nbflow] state to another place"

COMPANIONS = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a file while it is in use, and leaves behind where its process is killed."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where there is no room."""

_MAGIC = b"SQLite format 3"
"""How SQLite's files begin, as long as they are whole."""

_HEAD_BYTES = 512
_LEAST_PAGE = 512
"""Bytes of SQLite's smallest page; its files consist of whole ones."""

_LEAST_BYTES = 65_536
"""What SQLite needs to do anything at all: the index of its log, and a few pages in that."""


def check_file(path: Path) -> None:
    """Raise UnreachableError for what is no file of ours. A file beside it counts as well: SQLite believes it."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        if not path.exists():
            raise UnreachableError(f"{path}: the store is a link that leads nowhere", hint=f"remove it, or {OTHER}")
        raise UnreachableError(f"{path}: the store is a link", hint="set [nbflow] state to the file itself")
    if stat.S_ISDIR(found.st_mode):
        raise UnreachableError(
            f"{path}: the store is a folder", hint=f"set [nbflow] state to a file in it: {path / 'state.db'}"
        )
    if not stat.S_ISREG(found.st_mode):
        raise UnreachableError(f"{path}: the store is no ordinary file", hint=OTHER)
    if found.st_size == 0:
        raise UnreachableError(f"{path}: the store is empty: its history is lost", hint=RESTORE)
    _check_owner(path, "the store", found.st_uid)
    if is_text(path):
        raise UnreachableError(f"{path}: the file is a text, and no store of nbflow", hint=OTHER)
    for companion in _companions(path):
        try:
            beside = companion.lstat()
        except FileNotFoundError:  # somebody has just closed the store
            continue
        if not stat.S_ISREG(beside.st_mode):
            raise UnreachableError(f"{path}: {companion.name} beside it is no ordinary file", hint="move that away")
        _check_owner(path, f"{companion.name} beside it", beside.st_uid)


def is_text(path: Path) -> bool:
    """Whether a file is one that people write, a TOML file say: it was never a store, not even one that is damaged.

    Judged by its beginning; one that cannot be read is not known to be. Nor is one of whole pages opened: it may be a
    store that this process has in use, and who closes any descriptor of a file gives up all locks on it.
    """
    try:
        if path.stat().st_size % _LEAST_PAGE == 0:
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        text = getincrementaldecoder("utf-8-sig")().decode(head, final=len(head) < _HEAD_BYTES)
    except (OSError, UnicodeDecodeError):
        return False
    is_cut_off = _MAGIC.startswith(head[: len(_MAGIC)])
    return not is_cut_off and all(one.isprintable() or one.isspace() for one in text)


def check_not_lost(path: Path) -> None:
    """Raise UnreachableError where a file is gone and its log is still beside it, which a new one would end."""
    for log in (companion for companion in _companions(path) if not companion.name.endswith("-shm")):
        try:
            size = log.stat().st_size
        except FileNotFoundError:  # somebody has just made the store, and closed it
            continue
        if size > 0 and not path.exists():  # in this order, for the same reason
            raise UnreachableError(
                f"{path}: the store is gone, and {log.name} beside it holds what was written last",
                hint="put the file back, or move what lies beside it away to begin a new history",
            )


def check_folder(path: Path) -> None:
    """Raise UnreachableError where the folder of a store belongs to somebody else."""
    _check_owner(path, "the store's folder", path.parent.stat().st_uid)


def check_writable(path: Path) -> None:
    """Raise UnreachableError where a store, or what lies beside it, cannot be written. It need not exist."""
    if path.exists() and not _can_write(path):
        raise UnreachableError(f"{path}: the store cannot be written", hint=ELSEWHERE)
    if not _can_write(path.parent):  # SQLite makes files of its own there
        raise UnreachableError(f"{path}: the store's folder cannot be written", hint=ELSEWHERE)
    for companion in _companions(path):
        if not _can_write(companion) and os.path.lexists(companion):  # in this order: it may just have gone
            raise UnreachableError(
                f"{path}: {companion.name}, which another process has left beside it, cannot be written",
                hint=f"it is a part of the store: give it to yourself with chown or chmod, do not remove {companion}",
            )


def is_writable(path: Path) -> bool:
    """Whether `check_writable` raises nothing."""
    try:
        check_writable(path)
    except UnreachableError:
        return False
    return True


def is_full(folder: Path) -> bool:
    """Whether there is no room in a folder: on its disk, or in our share of that. It is tried out."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_LEAST_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in FULL
    return False


def _companions(path: Path) -> list[Path]:
    beside = (path.with_name(path.name + suffix) for suffix in COMPANIONS)
    return [one for one in beside if os.path.lexists(one)]


def _check_owner(path: Path, what: str, owner: int) -> None:
    """What another user owns is not to be trusted: it may have been put there for us to fall into."""
    if owner not in (os.geteuid(), 0):
        raise UnreachableError(
            f"{path}: {what} belongs to another user (uid {owner})",
            hint="run nbflow as that user, or set [nbflow] state to a folder of your own",
        )


def _can_write(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)
