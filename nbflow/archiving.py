"""Where a project's notebooks go: a folder, or a spool on this machine and from there object storage.

What the project asks of its archive, whichever it is. The folder of `files` is where workers publish; they know
nothing of object storage. Must not know how runs are carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.archive import layout
from nbflow.aside import Tell, patiently, unheard
from nbflow.core.addresses import is_url
from nbflow.core.spec import ProjectSpec
from nbflow.errors import UnreachableError
from nbflow.results import RunResult

if TYPE_CHECKING:
    from nbflow.archive.files import FileArchive
    from nbflow.archive.look import Look
    from nbflow.archive.refusals import StorageError
    from nbflow.archive.uploads import Uploads
    from nbflow.fetching import Fetcher
    from nbflow.sending import Sender

PENDING, DONE = "pending", "done"


class Archiving:
    """The archive of a project. `files` is its folder on this machine; `url` is where it lies if that is elsewhere.

    `tell` is given what there is to say of a storage that keeps somebody waiting.
    """

    def __init__(self, spec: ProjectSpec, tell: Tell = unheard) -> None:
        self._folder = Path(spec.archive)
        self.url = spec.outputs if is_url(spec.outputs) else None
        self._root = Path(spec.root)
        self._ledgers = ledgers_folder(spec)
        self._tell = tell
        self._look: Look | None = None
        self._is_silent = False

    def ahead(self) -> None:
        """Begin what `check` does of object storage, whose packages take most of a second to load."""
        if self.uploads is not None and self._look is None:
            from nbflow.archive.look import Look

            self._look = Look(self.uploads.objects)

    def check(self, folder: str | None = None) -> None:
        """Raise UnreachableError where nothing can be published, or nothing in the folder of a run, and UsageError
        where the environment is wrong about how long to wait for that.

        Object storage that is down, slow or has to have new credentials is none: what is published waits for it. That
        it does not answer, which takes some seconds to see, is told once.
        """
        self.files.check(folder)
        if self.url is not None:
            from nbflow.sending import patience

            patience()  # a mistake in it is told before anything begins
        refusal = self._refusal()
        if refusal is None:
            return
        from nbflow.archive.refusals import SilentError

        if refusal.lasting:
            raise refusal
        if isinstance(refusal, SilentError) and not self._is_silent:
            self._is_silent = True
            self._tell(f"warning: {refusal.message}: what is published waits on this machine, and is uploaded later")

    def judge(self) -> Callable[[str], None]:
        """What tells, for one run, whether the archive has failed where an attempt could not be archived: given why, it
        raises UnreachableError. Where its folder was removed meanwhile, it is made anew, and has not.
        """
        was_removed = False

        def check(reason: str) -> None:
            nonlocal was_removed
            was_removed = was_removed or not self.files.root.is_dir()
            self.files.check()
            if not was_removed:
                raise UnreachableError(
                    reason, hint=f"see that the disk of {self.files.root} works, then resume the run"
                )

        return check

    def remove(self, folder: str) -> None:
        """Remove the folder of a run from object storage. Raises StorageError, within some seconds where it is silent.

        That it takes long is told: many files may have to go.
        """
        from nbflow.archive.refusals import SilentError

        uploads, refusal = self.uploads, self._refusal()
        if isinstance(refusal, SilentError):
            raise refusal
        if uploads is not None:
            text = f"removing {uploads.objects.address(folder)}; Ctrl-C leaves the rest for the next `nbflow prune`"
            patiently(lambda: uploads.objects.remove(folder), self._tell, text)

    def _refusal(self) -> StorageError | None:
        """Why object storage cannot be written now; None where it can. A look that has no answer is not repeated."""
        self.ahead()
        if self._look is None:
            return None
        refusal = self._look.refusal()
        if self._look.is_over:
            self._look = None
        return refusal

    def finish(self, result: RunResult, *, wait: bool) -> RunResult:
        """The document of a run that has ended here, marked as it is archived by now; with `wait`, once settled."""
        if wait:
            self.sender.settle()
        return RunResult(self.mark(result))

    def for_sealing(self, run: str) -> FileArchive:
        """The archive to publish the manifest and page of a run in: these will wait for object storage."""
        if self.uploads is not None:
            self.uploads.ledgers.begin(run)
        return self.files

    def page(self, pipeline: str, run: str) -> Path:
        """Where the page of a run lies on this machine, or will lie."""
        return self.files.resolve(layout.index_path(layout.run_folder(pipeline, run)))

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
    def fetcher(self) -> Fetcher:
        """What is read of it."""
        from nbflow.fetching import Fetcher

        return Fetcher(self._root, self.files, self.uploads, self._tell)

    @cached_property
    def sender(self) -> Sender:
        """What is given to object storage in the background."""
        from nbflow.sending import Sender

        return Sender(self.uploads)

    def close(self) -> None:
        """Begin nothing more."""
        if "sender" in self.__dict__:
            self.sender.close()


def _marked(task: Mapping[str, Any], waiting: set[str]) -> dict[str, Any]:
    files = {task["notebook"], task["html"]} - {None}
    return {**task, "archived": None if not files else PENDING if files & waiting else DONE}


def ledgers_folder(spec: ProjectSpec) -> Path:
    """Where this machine keeps what it knows of uploads."""
    return Path(spec.local, layout.STATE_FOLDER, "uploads")
