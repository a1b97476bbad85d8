"""From the spool to object storage, file by file; what is there stays here as a copy until room is needed.

The spool is a folder archive where workers publish. A file is uploaded once it is final, and never in place of what is
not known to be ours: an earlier state of the same file, of the same run. Reading takes the copy, else fetches one.
Must not know when something is uploaded, or how often it is tried.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from hashlib import file_digest
from pathlib import Path
from stat import S_ISREG
from typing import Any

from nbflow.archive.files import FileArchive
from nbflow.archive.layout import index_path, manifest_path
from nbflow.archive.ledger import Ledgers, Uploaded
from nbflow.archive.objects import Objects
from nbflow.archive.refusals import StorageError
from nbflow.aside import Aside
from nbflow.errors import ConflictError, NotFoundError, UnreachableError

AT_ONCE = 8
"""Files that are fetched, or uploaded, at the same time."""

_GONE = (FileNotFoundError, NotADirectoryError)
"""What the file system says of a file that was removed, or whose folder was."""


class Uploads:
    """The spool `files`, what of it is uploaded (`ledgers`), and where to (`objects`). Paths are the archive's.

    Its methods may be called from several threads.
    """

    def __init__(self, files: FileArchive, ledgers: Ledgers, objects: Objects) -> None:
        self.files = files
        self.ledgers = ledgers
        self.objects = objects
        self._entries: dict[str, dict[str, Uploaded]] = {}

    def waiting(self, folder: str) -> list[str]:
        """The files of a run's folder that are not uploaded as they are now.

        In the order in which they have to be: the manifest comes after all that it names, the page of the run is last.
        Raises UnreachableError where the folder cannot be read: what is not seen must not pass for uploaded.
        """
        known = self.ledgers.entries(run_of(folder))
        found = []
        for place in _places(self.files.resolve(folder)):
            path = place.relative_to(self.files.root).as_posix()
            if not place.name.startswith(".") and (now := _stamp(place)) and now != _noted(known.get(path)):
                found.append(path)
        last = [manifest_path(folder), index_path(folder)]
        return sorted(found, key=lambda path: (last.index(path) if path in last else -1, path))

    def upload(self, path: str, known: Collection[str] = ()) -> None:
        """Bring one file to object storage as it is now; nothing is done where it is there, or has gone from here.

        `known` are hashes of earlier states of this file, which may be replaced. Raises StorageError where it has to
        be tried again later, ConflictError where something else has this place.
        """
        place, run = self.files.resolve(path), run_of(path)
        before = _stamp(place)
        if before is None:
            return
        if run not in self._entries:
            self._entries[run] = dict(self.ledgers.entries(run))
        noted = self._entries[run].get(path)
        if before == _noted(noted):
            return
        try:
            digest = _digest(place)
            self._write(path, place, digest, {*known, *([noted.sha256] if noted else [])})
        except UnreachableError:
            if _stamp(place) is None:
                return
            raise
        if _stamp(place) == before:
            entry = Uploaded(path=path, size=before[0], mtime=before[1], sha256=digest)
            self.ledgers.note(run, [entry])
            self._entries[run][path] = entry

    def is_whole(self, folder: str) -> bool:
        """Whether the manifest of a run has been uploaded, and all else that is here."""
        entries = self.ledgers.entries(run_of(folder))
        return manifest_path(folder) in entries and index_path(folder) in entries and not self.waiting(folder)

    def local(self, path: str) -> Path:
        """A file on this machine: the copy in the spool, or one that is fetched now.

        Raises NotFoundError where it is neither here nor there, StorageError where that cannot be asked.
        """
        place = self.files.resolve(path)
        if not place.is_file():
            self.files.root.mkdir(parents=True, exist_ok=True)
            with self.objects.open(path) as source:
                file = self.files.publish_from(path, source)
            if (now := _stamp(place)) is not None:
                self.ledgers.note(run_of(path), [Uploaded(path=path, size=now[0], mtime=now[1], sha256=file.sha256)])
        return place

    def fetch(self, paths: Iterable[str]) -> None:
        """Have copies of files here, as far as they are in the archive. Raises StorageError."""
        missing = deque(path for path in paths if not self.files.exists(path))

        def work() -> None:
            while missing:
                try:
                    path = missing.popleft()
                except IndexError:
                    return
                try:
                    self.local(path)
                except NotFoundError:
                    continue
                except Exception:
                    missing.clear()
                    raise

        begun = [Aside(work, "fetch") for _ in range(min(AT_ONCE, len(missing)))]
        for one in begun:
            one.wait()
        for one in begun:
            one.result()

    def make_room(self, most: int, keep: Collection[str] = ()) -> list[str]:
        """Remove copies of runs that are wholly uploaded, the oldest first, until `most` bytes of copies are left.

        Runs in `keep` stay, and those that wait. Gives the runs whose copies were removed.
        """
        done = self.ledgers.done()
        sizes = {run: sum(one.size for one in self.ledgers.entries(run).values()) for run in done}
        total, removed = sum(sizes.values()), []
        for run in done:
            if total <= most:
                break
            if run in keep:
                continue
            with self.ledgers.locked():
                if not self.ledgers.is_waiting(run):
                    folders = {one.path.split("/")[0] for one in self.ledgers.entries(run).values()}
                    for folder in folders:
                        shutil.rmtree(self.files.resolve(f"{folder}/{run}"), ignore_errors=True)
                    self.ledgers.drop(run)
                    removed.append(run)
                    total -= sizes[run]
        return removed

    def _write(self, path: str, place: Path, digest: str, known: Collection[str]) -> None:
        """Create the object; what is there already may be this file, an earlier state of it, or none of ours."""
        for _ in range(3):
            if self.objects.create(path, place):
                return
            found = self.objects.find(path)
            if found is None:
                continue
            if found.sha256 == digest:
                return
            if found.sha256 not in known and not self._is_ours(path):
                raise ConflictError(
                    f"{self.objects.address(path)} is there already, with other content",
                    hint=f"ours stays at {place}; move the other one away, then: nbflow report {run_of(path)}",
                )
            if self.objects.replace(path, place, found):
                return
        raise StorageError(f"{self.objects.address(path)} cannot be written: somebody else is writing it")

    def _is_ours(self, path: str) -> bool:
        """Whether the manifest or page of a run that is there was made of the same run: that its manifest tells."""
        folder = "/".join(path.split("/")[:2])
        if path not in (manifest_path(folder), index_path(folder)):
            return False
        try:
            with self.objects.open(manifest_path(folder)) as there:
                theirs = _identity(there.read())
        except NotFoundError:
            return False
        return theirs is not None and theirs == _identity(self.files.read(manifest_path(folder)))


def run_of(path: str) -> str:
    """The run that a path `<pipeline>/<run>` or one below it belongs to."""
    return path.split("/")[1]


def _identity(data: bytes) -> tuple[Any, Any] | None:
    """Which run a manifest tells of: its id and when it was made."""
    try:
        found = json.loads(data)
        return found["run"], found["created"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _places(folder: Path) -> Iterator[Path]:
    """What is in a folder and in those below it, but for these themselves. Others may remove some of it meanwhile."""

    def told(error: OSError) -> None:
        if not isinstance(error, _GONE):
            raise _unreadable(error.filename or folder, error) from error

    for where, _, names in os.walk(folder, onerror=told):
        for name in names:
            yield Path(where, name)


def _stamp(place: Path) -> tuple[int, int] | None:
    """What tells a file from a later one in its place: its size, and when it was written; None where there is none."""
    try:
        found = os.stat(place, follow_symlinks=False)  # noqa: PTH116 - the same for a path and an entry
    except _GONE:
        return None
    except OSError as error:
        raise _unreadable(place, error) from error
    return (found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else None


def _noted(entry: Uploaded | None) -> tuple[int, int] | None:
    return (entry.size, entry.mtime) if entry is not None else None


def _digest(place: Path) -> str:
    try:
        with place.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(place, error) from error


def _unreadable(place: Path | str, error: OSError) -> UnreachableError:
    return UnreachableError(f"cannot read {place}: {error.strerror or error}")
