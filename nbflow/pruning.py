"""Taking runs out for good: what would go and what has to stay, then store, archive and disk in an order that a crash
at any moment does not spoil.

Of each run first the rows go, in one transaction that leaves a note; then its files, by the note; then the note. So
nobody ever sees half a run, and whoever prunes next finishes what a killed one has begun. Where the disk has no room
even for that transaction, files of runs that are to go make it first: whoever is killed then leaves runs without files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nbflow import leftovers
from nbflow.archive import layout
from nbflow.archive.removal import remove_tree, size_of
from nbflow.core.retention import Retention, ended_at, meant, needed
from nbflow.core.rows import Removed
from nbflow.core.status import RunStatus
from nbflow.core.views import instant
from nbflow.errors import ConflictError, NbflowError, NoRoomError, UnreachableError

if TYPE_CHECKING:
    from nbflow.archiving import Archiving
    from nbflow.core.rows import RunRow
    from nbflow.core.spec import ProjectSpec
    from nbflow.runs import Runs

SCHEMA = "nbflow.prune/1"


class Shelves(Protocol):
    """Where the notebooks and pages of runs are kept."""

    def fault(self, row: RunRow) -> str | None:
        """Why the files of a run cannot be removed now; None where they can."""
        ...

    def place(self, row: RunRow) -> Path:
        """The folder of a run on this machine."""
        ...

    def erase(self, removed: Removed) -> None:
        """Remove the files of a run; those that are gone are no error. Raises UnreachableError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A run that goes: `size` is that of its files, `seq` its last event as it was looked at."""

    run: str
    pipeline: str
    state: str
    ended: datetime
    size: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What goes, or has gone: runs, what crashes have left, folders of unknown runs; and what was meant but stays.

    `begun` are removals that an earlier call has not finished, `faults` (run -> message) those that could not be
    finished now either. `freed` are the bytes by which the store has become smaller.
    """

    runs: tuple[Doomed, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    begun: tuple[Removed, ...] = ()
    leftovers: tuple[Path, ...] = ()
    orphans: tuple[Path, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    freed: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.runs or self.begun or self.leftovers)

    def document(self, *, dry_run: bool) -> dict[str, Any]:
        """The JSON document."""
        return {
            "schema": SCHEMA,
            "dry_run": dry_run,
            "runs": [
                {
                    "run": one.run,
                    "pipeline": one.pipeline,
                    "state": one.state,
                    "ended": instant(one.ended),
                    "bytes": one.size,
                }
                for one in self.runs
            ],
            "kept": [{"run": run, "reason": reason} for run, reason in self.kept.items()],
            "begun": [one.run for one in self.begun],
            "leftovers": [str(one) for one in self.leftovers],
            "orphans": [str(one) for one in self.orphans],
            "faults": [{"run": run, "message": message} for run, message in self.faults.items()],
            "bytes": sum(one.size for one in self.runs),
            "store_bytes": self.freed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Looks and removes, in the project of these parts.

    `local` is the folder with `.nbflow`, `archive` where notebooks are published on this machine. `tasks`: pipeline ->
    its declared tasks. `owner` is who removes.
    """

    runs: Runs
    shelves: Shelves
    local: Path
    archive: Path
    tasks: Mapping[str, Sequence[str]]
    owner: str

    def survey(self, rule: Retention, now: datetime) -> Pruning:
        """What a rule comes to. Changes nothing."""
        # What lies around is listed before the runs are: that of a new one is then known.
        lying = leftovers.leftovers(self.local, self.archive)
        folders = leftovers.run_folders(self.archive)
        rows = self.runs.store.runs(limit=sys.maxsize)
        states = {row.run: self.runs.state_of(row) for row in rows}
        chosen = meant(rows, rule, states, now)
        kept = {row.run: reason for row in chosen if (reason := self._hold(row, states[row.run])) is not None}
        if not rule.runs:
            kept = {**self._newest({row.run: row.pipeline for row in chosen}), **kept}
        going = [row.run for row in chosen if row.run not in kept]
        references = [*self.runs.store.removals.references(), *self._planned(rows)] if going else []
        for run, taker in needed(going, references).items():
            kept[run] = f"run {taker} has taken results of it over"
        begun = self.runs.store.removals.removed()
        known = {*states, *(one.run for one in begun)}
        return Pruning(
            runs=tuple(self._doomed(row, states[row.run]) for row in chosen if row.run not in kept),
            kept={row.run: kept[row.run] for row in chosen if row.run in kept},
            begun=tuple(begun),
            leftovers=tuple(one for one in lying if one.name.removesuffix(".log") not in known),
            orphans=tuple(one for one in folders if one.name not in known),
        )

    def carry_out(self, pruning: Pruning, *, orphans: bool = False) -> Pruning:
        """Remove what a survey has found, unless it has changed since; what has really gone."""
        faults: dict[str, str] = {}
        lying = [*pruning.leftovers, *(pruning.orphans if orphans else ())]
        cleared = set(_cleared(lying, faults))  # first: whatever else is done takes room on the disk
        for one in pruning.begun:
            self._finish(one, faults)
        kept, gone, room = dict(pruning.kept), [], iter(pruning.runs)
        going = {one.run for one in pruning.runs}
        for doomed in pruning.runs:  # from the newest on: what has taken results over goes before what it took them of
            try:
                self._take_out(doomed, room, going)
            except ConflictError as error:
                kept[doomed.run] = error.message
                going.discard(doomed.run)
                continue
            gone.append(doomed)
            self._finish(Removed(run=doomed.run, pipeline=doomed.pipeline), faults)
        return replace(
            pruning,
            runs=tuple(gone),
            kept=kept,
            begun=tuple(one for one in pruning.begun if one.run not in faults),
            leftovers=tuple(one for one in pruning.leftovers if one in cleared),
            orphans=tuple(one for one in pruning.orphans if not orphans or one in cleared),
            faults=faults,
            freed=self.runs.store.removals.compact(),
        )

    def _take_out(self, doomed: Doomed, room: Iterator[Doomed], going: set[str]) -> None:
        """Remove the rows of a run. Raises ConflictError where it has got an owner, or has changed, or is needed.

        `room` are the runs whose files may make room for that, `going` all that go, as far as is known by now.
        """
        while True:
            try:
                return self._remove(doomed)
            except NoRoomError as full:
                self._make_room(room, going, full)

    def _remove(self, doomed: Doomed) -> None:
        store = self.runs.store
        fence = store.claim(doomed.run, self.owner, self.runs.alive)
        try:
            self._check(doomed)
            store.removals.remove(doomed.run, fence)
        except NbflowError:
            store.release(doomed.run, fence)
            raise

    def _make_room(self, room: Iterator[Doomed], going: set[str], full: NoRoomError) -> None:
        """Remove the files of the next run that has some on a disk. Raises UnreachableError where none is left."""
        for one in room:
            if one.run not in going:
                continue
            try:
                row = self._check(one)
                if row is None:
                    continue
                if row.owner not in (None, self.owner):
                    raise ConflictError(f"{row.owner} has it")
                place = self.shelves.place(row)
                if not place.exists() or place.stat().st_dev != full.folder.stat().st_dev:
                    continue
                self._check_untaken(row.run, going)
            except ConflictError:
                going.discard(one.run)
                continue
            self._drop_own(row.run)  # before the rest: with that gone, nothing of the run would be kept for its sake
            self.shelves.erase(Removed(run=row.run, pipeline=row.pipeline))
            return
        raise UnreachableError(full.message, hint="the runs to remove have no files on that disk: make room there")

    def _check(self, doomed: Doomed) -> RunRow | None:
        """The row of a run, if there is one. Raises ConflictError where it has changed, or is just becoming needed."""
        row = self.runs.store.run(doomed.run)
        if row is not None and row.seq != doomed.seq:
            raise ConflictError("it has gone on meanwhile")
        for run, origin in self._planned(self.runs.store.going()):
            if origin == doomed.run:
                raise ConflictError(f"run {run} has taken results of it over")
        return row

    def _check_untaken(self, run: str, going: Collection[str]) -> None:
        """Raise ConflictError where a run that stays has results of one. Where rows go, the store sees to that."""
        for taker, origin in self.runs.store.removals.references():
            if origin == run and taker not in going:
                raise ConflictError(f"run {taker} has taken results of it over")

    def _finish(self, removed: Removed, faults: dict[str, str]) -> None:
        """Remove the files of a run whose rows are gone. One that was made anew under its id keeps what is there."""
        store = self.runs.store
        try:
            if store.run(removed.run) is None:
                self.shelves.erase(removed)
                self._drop_own(removed.run)
        except UnreachableError as error:
            faults[removed.run] = error.message
        else:
            with suppress(NoRoomError):  # the next prune forgets it: this one goes on, and makes room
                store.removals.forget(removed.run)

    def _drop_own(self, run: str) -> None:
        """Remove the journals and the log of a run."""
        places = (self.local / layout.journal_folder(run), self.local / layout.STATE_FOLDER / "logs" / f"{run}.log")
        faults: dict[str, str] = {}
        list(_cleared(places, faults))
        for message in faults.values():
            raise UnreachableError(message)

    def _hold(self, row: RunRow, state: str) -> str | None:
        """Why a run cannot go, whatever a rule says."""
        if row.state in (RunStatus.QUEUED, RunStatus.RUNNING) and state == RunStatus.INTERRUPTED:
            return f"its process has died: `nbflow report {row.run}` ends it"
        if row.state == RunStatus.RUNNING:
            return "it is going on"
        if row.state == RunStatus.QUEUED:
            return f"it has not begun: `nbflow cancel {row.run}` ends it"
        if row.owner is not None and self.runs.alive(row.owner):
            return f"{row.owner} has it"
        return self.shelves.fault(row)

    def _newest(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """Of chosen runs those whose results the next run may take over."""
        found: dict[str, str] = {}
        for pipeline in sorted(set(chosen.values()) & set(self.tasks)):
            for task in self.tasks[pipeline]:
                run = self.runs.store.removals.newest_success(pipeline, task)
                if run is not None and run in chosen:
                    found.setdefault(run, f"it is the newest success of task '{task}'")
        return found

    def _planned(self, rows: Iterable[RunRow]) -> list[tuple[str, str]]:
        """What runs will take over that have not begun."""
        return [
            (row.run, task.planned.reused_from)
            for row in rows
            if row.state == RunStatus.QUEUED
            for task in self.runs.state(row).tasks.values()
            if task.planned.reused_from is not None
        ]

    def _doomed(self, row: RunRow, state: str) -> Doomed:
        size = size_of(self.shelves.place(row))
        return Doomed(run=row.run, pipeline=row.pipeline, state=state, ended=ended_at(row), size=size, seq=row.seq)


def _cleared(places: Iterable[Path], faults: dict[str, str]) -> Iterable[Path]:
    """Remove files and folders; those that are gone. What could not be removed is in `faults`, by its name."""
    for place in places:
        try:
            remove_tree(place)
        except OSError as error:
            faults[place.name] = f"cannot remove {error.filename or place}: {error.strerror or error}"
        else:
            yield place


class Parts(Protocol):
    """What is needed of a project."""

    @property
    def spec(self) -> ProjectSpec:
        """What its file says."""
        ...

    @property
    def runs(self) -> Runs:
        """Its runs."""
        ...

    @property
    def archiving(self) -> Archiving:
        """Its archive."""
        ...


def prune(
    project: Parts, rule: Retention, *, agree: Callable[[Pruning], bool] | None = None, orphans: bool = False
) -> Pruning | None:
    """Take the runs out that a rule means, but for those that are going on or needed; what has gone.

    `rule.runs` are whole ids, or what `Runs.find` makes one of. `agree` is asked first, with what would go, whether it
    may; None where it may not. What an earlier call has begun is finished, and what crashes have left is cleared away;
    with `orphans` also the folders of runs that the store does not know. Raises NotFoundError and UsageError as
    `Runs.find`, UnreachableError where the store cannot be written.
    """
    from nbflow.engine.clock import SystemClock
    from nbflow.engine.owner import this_process
    from nbflow.shelves import ArchiveShelves

    spec, runs = project.spec, project.runs
    pruner = Pruner(
        runs=runs,
        shelves=ArchiveShelves(project.archiving, runs, Path(spec.local)),
        local=Path(spec.local),
        archive=Path(spec.archive),
        tasks={name: tuple(pipeline.tasks) for name, pipeline in spec.pipelines.items()},
        owner=this_process(),
    )
    rule = replace(rule, runs=tuple(runs.find(text).run for text in rule.runs))
    pruning = pruner.survey(rule, SystemClock().now())
    return pruner.carry_out(pruning, orphans=orphans) if agree is None or agree(pruning) else None
