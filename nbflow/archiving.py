"""Where a project's notebooks go: a folder, or a spool on this machine and from there object storage.

What the project asks of its archive, whichever it is. The folder of `files` is where workers publish; they know
nothing of object storage. Must not know how runs are carried out.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.archive import layout
from nbflow.core.addresses import is_url
from nbflow.core.spec import ProjectSpec
from nbflow.core.status import RunStatus, TaskState
from nbflow.errors import NbflowError, NotFoundError, UnreachableError
from nbflow.results import RunResult

if TYPE_CHECKING:
    from nbflow.archive.files import FileArchive
    from nbflow.archive.refusals import StorageError
    from nbflow.archive.uploads import Uploads
    from nbflow.core.ports import Listener
    from nbflow.core.rows import RunRow
    from nbflow.core.state import RunState
    from nbflow.runs import Runs
    from nbflow.uploading import Uploader

PATIENCE = 30.0
"""Seconds without any progress after which a run does not wait for object storage any more, and leaves the rest."""
PATIENCE_VARIABLE = "NBFLOW_ARCHIVE_WAIT"
MOST_COPIES = 1_000_000_000
"""Bytes of copies of uploaded files that are kept on this machine."""
MOST_PAGES = 500
"""Pages of tasks that are fetched with the page of their run."""
PENDING, DONE = "pending", "done"
GOING = (RunStatus.QUEUED, RunStatus.RUNNING)


class Archiving:
    """The archive of a project. `files` is its folder on this machine; `url` is where it lies if that is elsewhere."""

    def __init__(self, spec: ProjectSpec) -> None:
        self._folder = Path(spec.archive)
        self.url = spec.outputs if is_url(spec.outputs) else None
        self._root = Path(spec.root)
        self._ledgers = ledgers_folder(spec)
        self._fed: set[str] = set()
        self._asking: threading.Thread | None = None
        self._refusal: StorageError | None = None

    def ahead(self) -> None:
        """Begin what `check` does of object storage, whose packages take most of a second to load."""
        if self.uploads is not None and self._asking is None:
            self._asking = threading.Thread(target=self._ask, args=(self.uploads,), name="archive", daemon=True)
            self._asking.start()

    def check(self) -> None:
        """Raise UnreachableError where nothing can be published.

        Object storage that is down, slow or has to have new credentials is none: what is published waits for it.
        """
        self.files.check()
        self.ahead()
        if self._asking is not None:
            self._asking.join()
            self._asking = None
        if self._refusal is not None and self._refusal.lasting:
            raise self._refusal

    def _ask(self, uploads: Uploads) -> None:
        from nbflow.archive.refusals import StorageError

        self._refusal = None
        try:
            uploads.objects.check()
        except StorageError as error:
            self._refusal = error

    def feeds(self, state: RunState) -> Sequence[Listener]:
        """The listeners that have a run uploaded while it goes on; called before anything of it is published."""
        if self.uploads is None or state.created.settings.spool is None:
            return ()
        from nbflow.uploading import Feed

        self.uploads.ledgers.begin(state.run)
        self._fed.add(state.run)
        return (Feed(self.uploader, state),)

    def restore(self, state: RunState) -> None:
        """Have the notebooks here that new attempts will move aside. Raises UnreachableError where that cannot be."""
        if self.uploads is not None:
            self.uploads.fetch(
                file.path
                for task in state.tasks.values()
                if task.attempts and task.state is not TaskState.SUCCEEDED
                for attempt in task.attempts[-1:]
                for file in (attempt.outcome.files if attempt.outcome is not None else ())
            )

    def catch_up(self, runs: Runs) -> None:
        """Begin to upload what runs that have ended have left on this machine; `settle` waits for it."""
        if self.uploads is None:
            return
        from nbflow.uploading import published

        for run in self.uploads.ledgers.waiting():
            row = runs.store.run(run) if run not in self._fed else None
            if row is not None and row.state not in GOING:
                state = runs.state(row)
                self.uploader.add_run(state.created.settings.folder, published(state))

    def settle(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to upload, and say whether that is so.

        Not for ever: until nothing has been uploaded for some seconds, by default those that a run waits at its end.
        """
        if self.uploads is None or not self._is_begun:
            return True
        settled = self.uploader.settle(patience() if seconds is None else seconds)
        if settled:
            self.uploads.make_room(MOST_COPIES, self._fed)
        return settled

    def finish(self, result: RunResult, *, wait: bool) -> RunResult:
        """The document of a run that has ended here, marked as it is archived by now; with `wait`, after `settle`."""
        if wait:
            self.settle()
        return RunResult(self.mark(result))

    def for_sealing(self, run: str) -> FileArchive:
        """The archive to publish the manifest and page of a run in: these will wait for object storage."""
        if self.uploads is not None:
            self.uploads.ledgers.begin(run)
        return self.files

    def close(self) -> None:
        """Begin nothing more."""
        if self._is_begun:
            self.uploader.close()

    def trouble(self, run: str) -> NbflowError | None:
        """Why something of a run waits, where that is known; None where nothing of it waits."""
        if self.uploads is None or not self.uploads.ledgers.is_waiting(run):
            return None
        refused = dict(self.uploader.refused) if self._is_begun else {}
        for path, error in refused.items():
            if path.split("/")[1:2] == [run]:
                return error
        problem = self.uploader.problem if self._is_begun else None
        return problem or UnreachableError(
            f"run {run} is not yet in {self.url} as a whole", hint=f"nbflow report {run}"
        )

    def waiting(self, folder: str) -> Sequence[str]:
        """The files of a run's folder that are not on object storage."""
        return self.uploads.waiting(folder) if self.uploads is not None else ()

    def mark(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A run document that says what has been uploaded: `archived` is pending or done, of a task null without files.

        With an archive in a folder it is as it was.
        """
        if self.uploads is None:
            return dict(document)
        is_waiting = self.uploads.ledgers.is_waiting(document["run"])
        marked = {**document, "archived": PENDING if is_waiting else DONE}
        if "tasks" in document:
            folder = layout.run_folder(document["pipeline"], document["run"])
            waiting = {f"{self.url}/{path}" for path in self.uploads.waiting(folder)} if is_waiting else set()
            marked["tasks"] = [_marked(task, waiting) for task in document["tasks"]]
        return marked

    def place(self, shown: str) -> Path:
        """A file on this machine, by its path or URL as documents show it; it is fetched where it is not here.

        Raises NotFoundError where it is nowhere, UnreachableError where it cannot be had.
        """
        if not is_url(shown):
            return self._root / shown
        if self.uploads is None or not shown.startswith(f"{self.url}/"):
            raise UnreachableError(
                f"{shown} lies in another archive than that of this project",
                hint="set `outputs` in [nbflow] to that one, or get it with the tools of its storage",
            )
        return self.uploads.local(shown.removeprefix(f"{self.url}/"))

    def notebook(self, shown: str) -> Path:
        """The same of a notebook, with what lies beside it."""
        from nbflow.archive.spools import spool_path, spooled

        place = self.place(shown)
        if self.uploads is not None and is_url(shown):
            try:
                document = json.loads(place.read_bytes())
            except (OSError, ValueError, RecursionError):
                return place  # whoever reads it says what is wrong
            path = shown.removeprefix(f"{self.url}/")
            beside = spooled(document) if isinstance(document, dict) else []
            self.uploads.fetch(spool_path(path, one.file) for one in beside)
        return place

    def fetch_page(self, row: RunRow, runs: Runs) -> None:
        """Have the page of a run here, and those of its tasks that it leads to, if they are not and can be had."""
        folder = layout.run_folder(row.pipeline, row.run)
        own = [layout.manifest_path(folder), layout.index_path(folder)]
        if self.uploads is None or row.state in GOING or all(self.files.exists(path) for path in own):
            return
        pages = [file.path for file in _files(runs.state(row)) if file.path.endswith(".html")]
        self.uploads.fetch([*own, *pages[:MOST_PAGES]])

    @cached_property
    def files(self) -> FileArchive:
        """The archive in a folder of this machine: all of it, or its spool."""
        from nbflow.archive.files import FileArchive

        return FileArchive(self._folder)

    @cached_property
    def uploads(self) -> Uploads | None:
        """What connects the spool and object storage; None for an archive in a folder."""
        if self.url is None:
            return None
        from nbflow.archive.ledger import Ledgers
        from nbflow.archive.objects import Objects
        from nbflow.archive.uploads import Uploads

        return Uploads(self.files, Ledgers(self._ledgers), Objects(self.url))

    @cached_property
    def uploader(self) -> Uploader:
        """Uploads in the background."""
        from nbflow.uploading import Uploader

        if self.uploads is None:
            raise NotFoundError("an archive in a folder uploads nothing")
        return Uploader(self.uploads)

    @property
    def _is_begun(self) -> bool:
        return "uploader" in self.__dict__


def _files(state: RunState) -> Sequence[Any]:
    return [
        file
        for task in state.tasks.values()
        if task.attempts and task.attempts[-1].outcome is not None
        for file in task.attempts[-1].outcome.files
    ]


def _marked(task: Mapping[str, Any], waiting: set[str]) -> dict[str, Any]:
    files = {task["notebook"], task["html"]} - {None}
    return {**task, "archived": None if not files else PENDING if files & waiting else DONE}


def ledgers_folder(spec: ProjectSpec) -> Path:
    """Where this machine keeps what it knows of uploads."""
    return Path(spec.local, layout.STATE_FOLDER, "uploads")


def patience() -> float:
    """Seconds that a run waits at its end, from the environment where it says so."""
    text = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        return max(0.0, float(text))
    except ValueError:
        return PATIENCE
