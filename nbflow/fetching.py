"""What of an archive is read on this machine: it is here already, or is fetched from object storage.

Must not know how runs are carried out, or when something is uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nbflow.archive import layout
from nbflow.aside import Tell, patiently, unheard
from nbflow.core.addresses import is_url
from nbflow.core.status import RunStatus, TaskState
from nbflow.errors import UnreachableError

if TYPE_CHECKING:
    from nbflow.archive.files import FileArchive
    from nbflow.archive.uploads import Uploads
    from nbflow.core.attempt import ArchivedFile
    from nbflow.core.rows import RunRow
    from nbflow.core.state import RunState
    from nbflow.runs import Runs

Value = TypeVar("Value")

MOST_PAGES = 500
"""Pages of tasks that are fetched with the page of their run."""


class Fetcher:
    """Files of an archive as files of this machine. `root` is the project's folder; `files` is the archive's.

    `uploads` is what connects that and object storage, None where the archive is a folder. `tell` is given what there
    is to say of a storage that takes its time: it gets as long as it wants.
    """

    def __init__(self, root: Path, files: FileArchive, uploads: Uploads | None, tell: Tell = unheard) -> None:
        self._root = root
        self._files = files
        self._uploads = uploads
        self._tell = tell

    def place(self, shown: str) -> Path:
        """A file on this machine, by its path or URL as documents show it; it is fetched where it is not here.

        Raises NotFoundError where it is nowhere, UnreachableError where it cannot be had.
        """
        if not is_url(shown):
            return self._root / shown
        uploads = self._uploads
        if uploads is None or not shown.startswith(f"{uploads.objects.url}/"):
            raise UnreachableError(
                f"{shown} lies in another archive than that of this project",
                hint="set `outputs` in [nbflow] to that one, or get it with the tools of its storage",
            )
        return self._waited(uploads, lambda: uploads.local(self._path(uploads, shown)))

    def notebook(self, shown: str) -> Path:
        """The same of a notebook, with what lies beside it."""
        from nbflow.archive.spools import spool_path, spooled

        place = self.place(shown)
        if self._uploads is not None and is_url(shown):
            try:
                document = json.loads(place.read_bytes())
            except (OSError, ValueError, RecursionError):
                return place  # whoever reads it says what is wrong
            path = self._path(self._uploads, shown)
            beside = spooled(document) if isinstance(document, dict) else []
            self._fetch(self._uploads, [spool_path(path, one.file) for one in beside])
        return place

    def page(self, row: RunRow, runs: Runs) -> None:
        """Have the page of a run here, and those of its tasks that it leads to, if they are not and can be had."""
        folder = layout.run_folder(row.pipeline, row.run)
        own = [layout.manifest_path(folder), layout.index_path(folder)]
        is_going = row.state in (RunStatus.QUEUED, RunStatus.RUNNING)
        if self._uploads is None or is_going or all(self._files.exists(path) for path in own):
            return
        pages = [file.path for file in _files(runs.state(row)) if file.path.endswith(".html")]
        self._fetch(self._uploads, [*own, *pages[:MOST_PAGES]])

    def restore(self, state: RunState) -> None:
        """Have the notebooks here that new attempts will move aside. Raises UnreachableError where that cannot be."""
        if self._uploads is not None:
            done = [name for name, task in state.tasks.items() if task.state is TaskState.SUCCEEDED]
            self._fetch(self._uploads, [file.path for file in _files(state, without=done)])

    def _fetch(self, uploads: Uploads, paths: Sequence[str]) -> None:
        self._waited(uploads, lambda: uploads.fetch(paths))

    def _waited(self, uploads: Uploads, work: Callable[[], Value]) -> Value:
        """The result of what may have to fetch something; that it takes long is told."""
        return patiently(work, self._tell, f"fetching from {uploads.objects.url}; Ctrl-C ends the wait")

    @staticmethod
    def _path(uploads: Uploads, shown: str) -> str:
        return shown.removeprefix(f"{uploads.objects.url}/")


def _files(state: RunState, without: Sequence[str] = ()) -> Sequence[ArchivedFile]:
    """What the newest attempts of tasks have published."""
    left_out = frozenset(without)
    return [
        file
        for name, task in state.tasks.items()
        if name not in left_out
        for attempt in task.attempts[-1:]
        if attempt.outcome is not None
        for file in attempt.outcome.files
    ]
