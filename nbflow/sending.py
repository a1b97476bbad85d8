"""What runs give to object storage: while they go on, when they have ended, and what earlier ones have left here.

With an archive in a folder there is nothing to do, and each question has its answer at once. Must not know how runs
are carried out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from nbflow.archive import layout
from nbflow.core.status import RunStatus
from nbflow.errors import NbflowError, NotFoundError, UnreachableError, UsageError

if TYPE_CHECKING:
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


class Sender:
    """Has things uploaded in the background, by `uploads`; None of these where the archive is a folder.

    `patience`: seconds without any progress for which a run waits at its end. Raises UsageError where the environment
    says something else of that than seconds.
    """

    def __init__(self, uploads: Uploads | None) -> None:
        self._uploads = uploads
        self.patience = PATIENCE if uploads is None else patience()
        self._fed: set[str] = set()
        self._passed_over: dict[str, NbflowError] = {}

    def feeds(self, state: RunState) -> Sequence[Listener]:
        """The listeners that have a run uploaded while it goes on; called before anything of it is published."""
        if self._uploads is None or state.created.settings.spool is None:
            return ()
        from nbflow.uploading import Feed

        self._uploads.ledgers.begin(state.run)
        self._fed.add(state.run)
        return (Feed(self._uploader, state),)

    def catch_up(self, runs: Runs) -> None:
        """Begin to upload what runs that have ended have left on this machine; `settle` waits for it.

        A run whose page is missing, or tells of an earlier end, waits for that: nothing is uploaded around it. One
        that this nbflow cannot read is in nobody's way: `trouble` has the reason.
        """
        for row, has_page in self._left(runs):
            if has_page:
                from nbflow.uploading import published

                try:
                    known = published(runs.state(row))
                except NbflowError as error:
                    self._passed_over[row.run] = error
                else:
                    self._uploader.add_run(layout.run_folder(row.pipeline, row.run), known)

    def without_page(self, runs: Runs) -> list[RunRow]:
        """The rows of those that lack their page and that nobody has: it could not be written when they ended."""
        return [row for row, has_page in self._left(runs) if not has_page and row.owner is None]

    def _left(self, runs: Runs) -> Iterator[tuple[RunRow, bool]]:
        """The runs that have ended and have left something here, each with whether the page of its end is made."""
        if self._uploads is None:
            return
        from nbflow.archive.seal import is_sealed

        for run in self._uploads.ledgers.waiting():
            row = runs.store.run(run) if run not in self._fed else None
            if row is not None and row.state not in (RunStatus.QUEUED, RunStatus.RUNNING):
                folder = layout.run_folder(row.pipeline, run)
                try:
                    has_page = is_sealed(folder, row.document["ended"], self._uploads.files)
                except NbflowError as error:
                    self._passed_over[run] = error
                    continue
                self._passed_over.pop(run, None)
                yield row, has_page

    def settle(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to upload, and say whether that is so.

        Not for ever: until nothing has been uploaded for some seconds, by default those that a run waits at its end.
        """
        if self._uploads is None or not self._is_begun:
            return True
        settled = self._uploader.settle(self.patience if seconds is None else seconds)
        if settled:
            self._uploads.make_room(MOST_COPIES, self._fed)
        return settled

    def hurry(self) -> None:
        """Let no wait take any time from now on."""
        if self._uploads is not None:
            self._uploader.hurry()

    @property
    def is_hurried(self) -> bool:
        """Whether nothing is waited for any more: as was asked, or after Ctrl-C."""
        return self._is_begun and self._uploader.is_hurried

    def trouble(self, run: str) -> NbflowError | None:
        """Why something of a run waits, where that is known; None where nothing of it waits."""
        if self._uploads is None or not self._uploads.ledgers.is_waiting(run):
            return None
        refused = dict(self._uploader.refused) if self._is_begun else {}
        for path, error in refused.items():
            if path.split("/")[1:2] == [run]:
                return error
        if run in self._passed_over:
            return self._passed_over[run]
        problem = self._uploader.problem if self._is_begun else None
        return problem or UnreachableError(
            f"run {run} is not yet in {self._uploads.objects.url} as a whole", hint=f"nbflow report {run}"
        )

    def close(self) -> None:
        """Begin nothing more."""
        if self._is_begun:
            self._uploader.close()

    @cached_property
    def _uploader(self) -> Uploader:
        from nbflow.uploading import Uploader

        if self._uploads is None:
            raise NotFoundError("an archive in a folder uploads nothing")
        return Uploader(self._uploads)

    @property
    def _is_begun(self) -> bool:
        return "_uploader" in self.__dict__


def patience() -> float:
    """Seconds that a run waits at its end, from the environment where it says so; `inf` for as long as it takes.

    Raises UsageError.
    """
    text = os.environ.get(PATIENCE_VARIABLE, "").strip()
    if not text:
        return PATIENCE
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # nan is no time either
        hint = "such as 60, or inf for as long as it takes"
        raise UsageError(f"{PATIENCE_VARIABLE} in the environment is '{text}', not a number of seconds", hint=hint)
    return seconds
