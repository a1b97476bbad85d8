"""Uploads in the background: files of tasks as these end, all of a run once it has ended, again until they are there.

A storage that is slow or down keeps nobody waiting: what cannot be uploaded stays in the spool, and is tried again
after longer and longer waits. Knows no project, and decides nothing about runs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Mapping

from nbflow.archive.layout import index_path, manifest_path
from nbflow.archive.refusals import StorageError
from nbflow.archive.uploads import AT_ONCE, Uploads, run_of
from nbflow.core.attempt import ArchivedFile
from nbflow.core.events import AttemptEnded, RunFinished, Stamped, TaskCancelled, TaskFailed, TaskSucceeded
from nbflow.core.spec import EMPTY
from nbflow.core.state import RunState
from nbflow.errors import NbflowError

Known = Mapping[str, Collection[str]]
"""Path -> hashes of what this run has published there."""


class Uploader:
    """Uploads in threads of its own. Waits between tries grow from `first` to `longest` seconds.

    `problem` is what the storage said last, None while all goes well. `refused` are files that are not tried again,
    since something else has their place, or they cannot be read here, each with its error.
    """

    def __init__(self, uploads: Uploads, *, first: float = 0.5, longest: float = 60.0) -> None:
        self.problem: StorageError | None = None
        self.refused: dict[str, NbflowError] = {}
        self._uploads = uploads
        self._first, self._longest = first, longest
        # Each value is an object of its own: what is asked for once more meanwhile is not done by what was under way.
        self._files: dict[str, Collection[str]] = {}
        self._runs: dict[str, Known] = {}
        self._change = threading.Condition()
        self._moved = time.monotonic()
        self.is_hurried = False
        self._bug: Exception | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, path: str, known: Collection[str] = ()) -> None:
        """Upload a file that will not change any more."""
        with self._change:
            self._files[path] = list(known)
            self._wake()

    def add_run(self, folder: str, known: Known = EMPTY) -> None:
        """Upload all that waits of a run that has ended."""
        with self._change:
            self._runs[folder] = dict(known)
            self._wake()

    def settle(self, patience: float) -> bool:
        """Wait until nothing is left to do, and say whether that is so.

        Not for ever: until nothing has been uploaded for `patience` seconds. Ctrl-C ends the wait, too, and any later.
        """
        try:
            with self._change:
                since = time.monotonic()
                while self._left() and (rest := self._rest(since, patience)) > 0:
                    self._change.wait(min(rest, threading.TIMEOUT_MAX))
        except KeyboardInterrupt:
            self.hurry()  # what waits is safe where it is
        if self._bug is not None:
            raise self._bug
        return not self._left()

    def hurry(self) -> None:
        """Let no wait take any time from now on."""
        self.is_hurried = True

    def _rest(self, since: float, patience: float) -> float:
        """Seconds to wait on, by a wait that has begun at some time."""
        return 0.0 if self.is_hurried else max(self._moved, since) + patience - time.monotonic()

    def close(self) -> None:
        """Begin nothing more. A request that is under way ends with the process, if not before."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _left(self) -> bool:
        return self._bug is None and bool(self._files or self._runs)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
            self._thread.start()
        self._change.notify_all()

    def _work(self) -> None:
        failures = 0
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._left())
                if self._closed or self._bug is not None:
                    return
                files, runs = dict(self._files), dict(self._runs)
            # The newest run first: those that were left over from before have waited for longer than this already.
            fine = self._all(files) and all(self._whole_run(folder, runs[folder]) for folder in reversed(runs))
            failures = 0 if fine else failures + 1
            if not fine:
                with self._change:
                    wait = min(self._longest, self._first * 2 ** min(failures - 1, 16))
                    self._change.wait_for(lambda: self._closed or self._bug is not None, wait)

    def _whole_run(self, folder: str, known: Known) -> bool:
        """Upload all of a run; False where it has to be tried again."""
        last = (manifest_path(folder), index_path(folder))
        self.refused.pop(folder, None)
        try:
            waiting = self._uploads.waiting(folder)
            if not self._all({path: known.get(path, ()) for path in waiting if path not in last}):
                return False
            for path in last:
                if not any(run_of(one) == run_of(folder) for one in self.refused) and not self._all({path: ()}):
                    return False
            if self._uploads.is_whole(folder):
                self._uploads.ledgers.end(run_of(folder))
        except NbflowError as error:
            self.refused[folder] = error
        except Exception as error:  # noqa: BLE001 - told by `settle`
            self._give_up(error)
            return False
        with self._change:
            if self._runs[folder] is known:
                del self._runs[folder]
            self._change.notify_all()
        return True

    def _all(self, wanted: Mapping[str, Collection[str]]) -> bool:
        """Upload some files at the same time; False where at least one has to be tried again."""
        todo = deque(wanted.items())
        failed = threading.Event()

        def work() -> None:
            while todo and not failed.is_set() and not self._closed:
                try:
                    path, known = todo.popleft()
                except IndexError:
                    return
                if not self._one(path, known):
                    failed.set()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(todo)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return not failed.is_set() and not todo

    def _one(self, path: str, known: Collection[str]) -> bool:
        try:
            self._uploads.upload(path, known)
            self.refused.pop(path, None)
        except StorageError as error:
            self.problem = error
            return False
        except NbflowError as error:
            self.refused[path] = error
        except Exception as error:  # noqa: BLE001 - told by `settle`
            self._give_up(error)
            return False
        with self._change:
            if path not in self.refused:
                self.problem = None
            if self._files.get(path) is known:
                del self._files[path]
            self._moved = time.monotonic()
            self._change.notify_all()
        return True

    def _give_up(self, error: Exception) -> None:
        with self._change:
            self._bug = error
            self._change.notify_all()


class Feed:
    """A listener that gives an uploader what a run publishes: of each task once it is final, in the end all."""

    def __init__(self, uploader: Uploader, state: RunState) -> None:
        self._uploader = uploader
        self._folder = state.created.settings.folder
        self._known = {path: set(hashes) for path, hashes in published(state).items()}
        self._newest: dict[str, tuple[ArchivedFile, ...]] = {}

    def __call__(self, stamped: Stamped) -> None:
        match stamped.event:
            case AttemptEnded(task=task, outcome=outcome):
                self._newest[task] = outcome.files
                for file in outcome.files:
                    self._known.setdefault(file.path, set()).add(file.sha256)
            case TaskSucceeded(task=task) | TaskFailed(task=task) | TaskCancelled(task=task):
                for file in self._newest.pop(task, ()):
                    self._uploader.add(file.path, frozenset(self._known[file.path]))
            case RunFinished():
                known = {path: frozenset(hashes) for path, hashes in self._known.items()}
                self._uploader.add_run(self._folder, known)
            case _:
                pass


def published(state: RunState) -> dict[str, set[str]]:
    """Path -> hashes of all that the attempts of a run have published there."""
    found: dict[str, set[str]] = {}
    for task in state.tasks.values():
        for attempt in task.attempts:
            for file in attempt.outcome.files if attempt.outcome is not None else ():
                found.setdefault(file.path, set()).add(file.sha256)
    return found
