"""Where the files of runs lie, for whoever takes runs out: whether they can go, and how they go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.archive import layout
from nbflow.archive.removal import remove_run, run_place
from nbflow.archive.seal import is_sealed
from nbflow.core.addresses import is_url
from nbflow.core.events import RunCreated
from nbflow.errors import NbflowError

if TYPE_CHECKING:
    from nbflow.archiving import Archiving
    from nbflow.core.rows import Removed, RunRow
    from nbflow.runs import Runs


class ArchiveShelves:
    """Implements `pruning.Shelves` for the archive of a project. `local` is the folder with `.nbflow`."""

    def __init__(self, archiving: Archiving, runs: Runs, local: Path) -> None:
        self._archiving = archiving
        self._runs = runs
        self._local = local

    def fault(self, row: RunRow) -> str | None:
        """Why the files of a run cannot be removed now."""
        try:
            return self._fault(row)
        except NbflowError as error:
            return error.message
        except OSError as error:
            return f"cannot look at {error.filename}: {error.strerror}"

    def _fault(self, row: RunRow) -> str | None:
        folder = layout.run_folder(row.pipeline, row.run)
        place = self.place(row)
        if place.is_symlink():
            return f"{place} is a symbolic link: remove what it leads to, and then the link, yourself"
        if self._archiving.uploads is not None:
            is_waiting = self._archiving.uploads.ledgers.is_waiting(row.run)
            return f"not all of it is in {self._archiving.url} yet" if is_waiting else self._elsewhere(row)
        if os.path.lexists(place):
            is_whole = is_sealed(folder, row.document["ended"], self._archiving.files)
            return None if is_whole else f"its archive is not complete: `nbflow report {row.run}` completes it"
        if _has_entries(self._local / layout.journal_folder(row.run)):
            return f"its notebooks are not in the archive: `nbflow report {row.run}` completes it"
        return self._elsewhere(row)

    def place(self, row: RunRow) -> Path:
        """The folder of a run on this machine."""
        return run_place(self._archiving.files, row.pipeline, row.run)

    def erase(self, removed: Removed) -> None:
        """Remove the files of a run."""
        uploads = self._archiving.uploads
        if uploads is not None:
            self._archiving.remove(layout.run_folder(removed.pipeline, removed.run))
            uploads.ledgers.drop(removed.run)
        remove_run(self._archiving.files, removed.pipeline, removed.run)

    def _elsewhere(self, row: RunRow) -> str | None:
        """Why the notebooks of a run are out of reach: `outputs` was another place when it was made."""
        first = next(iter(self._runs.events(row)), None)
        if first is None or not isinstance(first.event, RunCreated):
            return None
        settings = first.event.settings
        if is_url(settings.outputs):
            is_here = settings.outputs == self._archiving.url
        else:
            there = Path(settings.root, settings.outputs)
            is_here = there == self._archiving.files.root or not (there / settings.folder).exists()
        return None if is_here else f"its notebooks lie in {settings.outputs}, which is not `outputs` of this project"


def _has_entries(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False
