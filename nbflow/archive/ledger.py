"""What of a run is on object storage, as far as this machine knows: a small file for each run, a line for each upload.

The file lies in `waiting` until all of the run has been uploaded, then in `done`: so what waits is found by one look at
a folder, whatever was killed when. It is only knowledge: where a line is lost, the file is uploaded again and found to
be there. Must not know object storage.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from nbflow.archive.layout import checked_name
from nbflow.durable import make_folder, sync_folder
from nbflow.errors import UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file as it was when it was uploaded: `path` in the archive, `size` in bytes, `mtime` in ns."""

    path: str
    size: int
    mtime: int
    sha256: str


class Ledgers:
    """The ledgers of all runs, in a folder of their own. Methods raise UnreachableError where the disk says no."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._waiting, self._done = root / "waiting", root / "done"

    def begin(self, run: str) -> None:
        """Something of the run will wait: called before anything of it is published. A power cut does not undo it."""
        waiting, done = self._places(run)
        with _told("write", waiting), self.locked():
            make_folder(self._waiting)
            try:
                done.replace(waiting)
            except FileNotFoundError:
                waiting.touch()
            sync_folder(self._waiting)

    def end(self, run: str) -> None:
        """All of the run is uploaded. May be asked for again."""
        waiting, done = self._places(run)
        with _told("move", waiting), self.locked(), suppress(FileNotFoundError):
            self._done.mkdir(parents=True, exist_ok=True)
            os.utime(waiting)
            waiting.replace(done)

    def drop(self, run: str) -> None:
        """Forget a run."""
        for place in self._places(run):
            with _told("remove", place):
                place.unlink(missing_ok=True)

    def is_waiting(self, run: str) -> bool:
        """Whether something of the run may not be uploaded yet."""
        return self._places(run)[0].exists()

    def waiting(self) -> list[str]:
        """The runs that wait."""
        return self._runs(self._waiting)

    def done(self) -> list[str]:
        """The runs that are wholly uploaded and of which this machine has copies, the oldest first."""
        return self._runs(self._done)

    def entries(self, run: str) -> Mapping[str, Uploaded]:
        """What was uploaded, by path; the last line of a path counts. A line that was cut by a crash does not."""
        found: dict[str, Uploaded] = {}
        for place in self._places(run):
            try:
                lines = place.read_text("utf-8").splitlines()
            except OSError:
                continue
            for line in lines:
                with suppress(ValueError, TypeError):
                    entry = Uploaded(**json.loads(line))
                    found[entry.path] = entry
        return found

    def note(self, run: str, entries: Iterable[Uploaded]) -> None:
        """Add what is on object storage by now; of a run that does not wait, what is copied from there."""
        waiting, done = self._places(run)
        place = waiting if waiting.exists() else done
        # A line begins anew: the one before may have been cut by a crash.
        text = "".join(f"\n{json.dumps(asdict(entry))}" for entry in entries)
        with _told("write", place):
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("a", encoding="utf-8") as file:
                file.write(text)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other process begins, ends or removes a run meanwhile."""
        place = self._root / "lock"
        with _told("lock", place):
            self._root.mkdir(parents=True, exist_ok=True)
            file = place.open("a")
        with file:
            with _told("lock", place):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _places(self, run: str) -> tuple[Path, Path]:
        name = f"{checked_name(run)}.jsonl"
        return self._waiting / name, self._done / name

    def _runs(self, folder: Path) -> list[str]:
        try:
            found = [(entry.stat().st_mtime_ns, entry.name) for entry in os.scandir(folder)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UnreachableError(f"cannot read {folder}: {error.strerror}") from error
        return [name.removesuffix(".jsonl") for _, name in sorted(found) if name.endswith(".jsonl")]


@contextmanager
def _told(action: str, place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreachableError(f"cannot {action} {place}: {error.strerror or error}") from error
