"""The journal of one attempt: an append-only file of JSON lines, the first truth about it.

Each line reaches the operating system as it is written, the disk within a second and at the end of each cell; the name
of a new one, once it has lasted for a second. The file is locked while its worker lives. Who has it open reads it, even
where somebody has removed it. `fold` makes the notebook and the outcome of it. Must not know kernels or archives.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbflow.durable import make_unsynced, sync_folder
from nbflow.errors import UnreachableError

VERSION = 1
_SYNC_EVERY = 1.0
_SIGN_EVERY = 15.0
"""Seconds after which the file of a journal gets a new time though nothing was written to it: its worker lives."""
_LOCK_POLL = 0.05

Record = dict[str, Any]
"""One line. `type` says which: attempt, kernel_started, kernel_ready, cell_started, count, output, spool, tail,
left_out, update, clear, widget, widget_output, widget_clear, value, warning, cell_ended, kernel_ended, packages, ended,
published."""


class JournalError(UnreachableError):
    """The journal cannot be written, read or locked; the message names it."""


class Journal:
    """The writer of one journal. Use `create` or `reopen`; all methods may be called from one thread."""

    def __init__(self, path: Path, descriptor: int, folders: Sequence[Path] = ()) -> None:
        self.path = path
        self._descriptor = descriptor
        self._folders = folders
        self._begun = time.monotonic()
        self._failure: OSError | None = None
        self._unsynced = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._syncer = threading.Thread(target=self._keep_synced, name="journal", daemon=True)
        self._syncer.start()

    @classmethod
    def create(cls, path: str) -> Journal:
        """Begin a new journal and lock it. Raises JournalError; one that exists belongs to another attempt."""
        place = Path(path)
        try:
            above = make_unsynced(place.parent, 0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(place, flags, 0o600)
        except OSError as error:
            raise JournalError(f"cannot begin the journal {path}: {error.strerror}") from error
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(place, descriptor, (place.parent, *above))

    @classmethod
    def reopen(cls, path: str, *, patience: float, evict: Callable[[], None]) -> Journal:
        """Take over the journal of a worker that has ended, its torn last line removed. Raises JournalError.

        A worker that still has it gets `patience` seconds to end by itself; then `evict` has to end it.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"cannot open the journal {path}: {error.strerror}") from error
        try:
            if not _locked(descriptor, patience):
                evict()
                if not _locked(descriptor, patience):
                    raise JournalError(f"the journal {path} is still in use")
            os.ftruncate(descriptor, _whole(descriptor, Path(path)))
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise JournalError(f"cannot write the journal {path}: {error.strerror}") from error
            raise
        return cls(Path(path), descriptor)

    def append(self, kind: str, **body: Any) -> None:
        """Write one record. Raises JournalError, then and ever after."""
        line = json.dumps({"type": kind, **body}, separators=(",", ":")).encode("ascii") + b"\n"
        self._check()
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            self._failure = error
            self._check()
        self._unsynced.set()

    def records(self) -> Iterator[Record]:
        """What was written, as `records` gives it: also where the file has no name any more."""
        for record, _ in _opened(self._descriptor, self.path):
            yield record

    @property
    def is_removed(self) -> bool:
        """Whether somebody has removed the file meanwhile: where no disk fails, that is why something is missing."""
        return os.fstat(self._descriptor).st_nlink == 0

    def sync_soon(self) -> None:
        """Have what was written brought to the disk now, without waiting for it."""
        self._hurry.set()

    def close(self) -> None:
        """Bring everything to the disk and give the journal free.

        Raises nothing: what could not be written was told by `append`, and the notebook is published by now.
        """
        if self._closing:
            return
        self._closing = True
        self._hurry.set()
        self._unsynced.set()
        self._syncer.join()
        self._sync()
        os.close(self._descriptor)

    def _keep_synced(self) -> None:
        while not self._closing and self._failure is None:
            if not self._unsynced.wait(_SIGN_EVERY):
                self._give_sign()
                continue
            if not self._closing:
                self._hurry.wait(_SYNC_EVERY)
            self._hurry.clear()
            self._unsynced.clear()
            self._sync()
            if time.monotonic() - self._begun >= _SYNC_EVERY:
                self._sync_names()

    def _give_sign(self) -> None:
        with suppress(OSError):  # the disk is read-only by now, say: the next record tells
            os.utime(self._descriptor)

    def _sync_names(self) -> None:
        """Have the journal be there after a loss of power too; one that is over soon is never looked for."""
        folders, self._folders = self._folders, ()
        try:
            for folder in folders:
                sync_folder(folder)
        except FileNotFoundError:
            return  # somebody has removed them, and the names that were to be kept with them
        except OSError as error:
            self._failure = self._failure or error

    def _sync(self) -> None:
        if self._failure is not None:
            return  # a second fsync would "succeed" without having written anything: the journal ends there
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._failure = error

    def _check(self) -> None:
        if self._failure is not None:
            raise JournalError(f"cannot write the journal {self.path}: {self._failure.strerror}")


def read(path: Path) -> list[Record]:
    """The records of a journal, as `records` gives them, all at once."""
    return list(records(path))


def records(path: Path) -> Iterator[Record]:
    """The records of a journal, up to the first that is not whole. Raises JournalError where it cannot be read.

    One after the other: a journal may be larger than what comes of it.
    """
    with _readable(path), path.open("rb") as file:
        for record, _ in _lines(file):
            yield record


class _FromBeginning(io.RawIOBase):
    """Reads an open file from its beginning, and leaves the place alone at which it is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._descriptor, len(buffer), self._place)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _whole(descriptor: int, path: Path) -> int:
    """The bytes that the whole records of a journal take."""
    return sum(length for _, length in _opened(descriptor, path))


def _opened(descriptor: int, path: Path) -> Iterator[tuple[Record, int]]:
    """The lines of a journal that is open."""
    with _readable(path), io.BufferedReader(_FromBeginning(descriptor)) as file:
        yield from _lines(file)


def _lines(file: Iterable[bytes]) -> Iterator[tuple[Record, int]]:
    """Records, and the bytes of each. A crash may leave half a line, a power cut a line of zeros: both end it."""
    for line in file:
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            record = None
        if not isinstance(record, dict):
            return
        yield record, len(line)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from error


def is_in_use(path: str) -> bool:
    """Whether the worker of a journal still lives. One that is not there, or cannot be looked at, is not in use."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _locked(descriptor, 0.0)
    finally:
        os.close(descriptor)


def instant() -> str:
    """The present instant as the journal and the notebook write it: `2026-01-31T02:00:00.123Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _locked(descriptor: int, patience: float) -> bool:
    """Wait for the lock of a file; there is no call that waits for a limited time."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_POLL)
        else:
            return True
