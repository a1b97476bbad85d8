"""The archive in a local folder: a file is whole or absent, and durable once `publish` has returned.

Nothing is written in place: a temporary file in the same folder is written, synced, renamed over its target, and the
folder is synced, so that a full disk, a crash or a power cut leaves what was there before. Must not know what the
bytes mean.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO

from nbflow.archive import layout
from nbflow.core.attempt import ArchivedFile
from nbflow.durable import make_folder, sync_folder
from nbflow.errors import NotFoundError, UnreachableError
from nbflow.faultpoints import Point, reach

FILE_MODE = 0o644
"""Archived notebooks are made to be passed on: readable for others as far as the umask allows.

The temporary file has the same mode from its first byte: it never holds more than what is published a moment later.
"""

ROOM = 16_384
"""Bytes below which a disk counts as full: not even a notebook of some lines and its journal fit into less."""

_PIECE = 1_048_576
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, then resume the run",
    errno.EDQUOT: "your disk quota is used up: free some space, then resume the run",
    errno.EFBIG: "the file is larger than its file system or `ulimit -f` allows: raise that, then resume the run",
    errno.EIO: "the disk gives errors: see the system's log; put that right, or set `outputs` in [nbflow] to another "
    "disk, then resume the run",
    errno.EROFS: "the file system is read-only: set `outputs` in [nbflow] to a folder that can be written",
    errno.EACCES: "check the owner and the permissions of the folder, or set `outputs` in [nbflow] to another one",
    errno.EPERM: "check the owner and the permissions of the folder, or set `outputs` in [nbflow] to another one",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away, or set `outputs` in [nbflow]",
}


class FileArchive:
    """An archive below the folder `root`. All methods raise UnreachableError where the file system says no."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self, folder: str | None = None) -> None:
        """Make the root folder and prove, with a file that is written, synced and removed, that it can be used.

        So can `folder` below it, as far as it is there. Where there is room for less than ROOM, none can.
        """
        _prove(self.root)
        if folder is not None:
            place = self.resolve(folder)
            there = [one for one in (place, *place.parents) if one.is_relative_to(self.root) and os.path.lexists(one)]
            if there[0] != self.root:
                _prove(there[0])

    def publish(self, path: str, data: bytes) -> ArchivedFile:
        """Write a file whole or not at all, durably; an earlier file of that path stays until then."""
        return self.publish_from(path, BytesIO(data))

    def publish_from(self, path: str, source: BinaryIO) -> ArchivedFile:
        """The same with all that can still be read from an open file, which need not fit into memory."""
        try:
            target = self._prepare(path)
            temporary = target.with_name(_temporary_name(target.name))
            try:
                size, digest = _write(temporary, source)
                reach(Point.TEMP_WRITTEN)
                temporary.replace(target)
                reach(Point.RENAMED)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(target.parent)
        except OSError as error:
            raise _unreachable("write", self.root / path, error) from error
        return ArchivedFile(path=path, size=size, sha256=digest)

    def move(self, source: str, target: str) -> ArchivedFile:
        """Give a file another path, durably, in place of what is there.

        A move that was done already is no error, so that it can be asked for again after a crash.
        Raises NotFoundError where neither path holds a file.
        """
        old, new = self.resolve(source), self.resolve(target)
        try:
            if old.is_file():
                new = self._prepare(target)
                old.replace(new)
                sync_folder(new.parent)
                sync_folder(old.parent)
        except OSError as error:
            raise _unreachable("move", old, error) from error
        with self.open(target) as file:
            return ArchivedFile(path=target, size=new.stat().st_size, sha256=file_digest(file, "sha256").hexdigest())

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises NotFoundError where there is none."""
        place = self.resolve(path)
        try:
            return place.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"the archive has no file {path}") from error
        except OSError as error:
            raise _unreachable("read", place, error) from error

    @contextmanager
    def open(self, path: str) -> Iterator[BufferedReader]:
        """A file to read from. Raises NotFoundError where there is none."""
        place = self.resolve(path)
        try:
            file = place.open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"the archive has no file {path}") from error
        except OSError as error:
            raise _unreachable("read", place, error) from error
        with file:
            yield file

    def exists(self, path: str) -> bool:
        """True where a file is published under that path."""
        place = self.resolve(path)
        try:
            return place.is_file()
        except OSError as error:
            raise _unreachable("read", place, error) from error

    def sweep(self, folder: str) -> list[str]:
        """Remove what a killed process left half written below a folder; the paths of what was removed.

        The caller owns the run of that folder: nobody else may be publishing there.
        """
        place = self.resolve(folder)
        removed = []
        try:
            for found in sorted(place.rglob(".*.tmp")):
                if _TEMPORARY.fullmatch(found.name) and found.is_file() and not found.is_symlink():
                    found.unlink(missing_ok=True)
                    removed.append(found.relative_to(self.root).as_posix())
        except OSError as error:
            raise _unreachable("clean", place, error) from error
        return removed

    def resolve(self, path: str) -> Path:
        """The place of an archived path on this machine.

        Raises UsageError for a path that is none of ours, UnreachableError where a symbolic link leaves the root.
        """
        place = self.root / layout.checked_path(path)
        if not place.resolve().is_relative_to(self.root.resolve()):
            raise UnreachableError(
                f"{place} leads out of the archive {self.root} by a symbolic link", hint="remove the link"
            )
        return place

    def _prepare(self, path: str) -> Path:
        """The place of a path, with the folders above it. The root itself is never made here: `check` does that.

        A root that has gone (removed, or a disk no longer mounted) must be an error, not a new empty folder.
        """
        target = self.resolve(path)
        if not self.root.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the archive's folder has gone", str(self.root))
        make_folder(target.parent)
        return target


def _prove(place: Path) -> None:
    """Make a folder, and write to it what nobody sees: whoever is killed meanwhile leaves nothing behind."""
    try:
        make_folder(place)
        probe = place / _temporary_name("probe")
        descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            probe.unlink()
            os.write(descriptor, b"nbflow can write here\n")
            if hasattr(os, "posix_fallocate"):  # not on macOS: there the first notebook finds out
                os.posix_fallocate(descriptor, 0, ROOM)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreachable("use the archive", place, error) from error


def _temporary_name(name: str) -> str:
    return f".{name}.{os.urandom(8).hex()}.tmp"


def _write(path: Path, source: BinaryIO) -> tuple[int, str]:
    """Write a new file and bring it to the disk; its size, and its SHA-256."""
    size, digest = 0, sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, FILE_MODE), "wb") as file:
        while data := source.read(_PIECE):
            file.write(data)
            digest.update(data)
            size += len(data)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _unreachable(action: str, path: Path, error: OSError) -> UnreachableError:
    reason = error.strerror or str(error)
    return UnreachableError(f"cannot {action} {path}: {reason}", hint=_HINTS.get(error.errno or 0))
