"""The store in memory: for tests, simulations, and runs that are not to be recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nbflow.core.events import Stamped
from nbflow.core.messages import Cancel
from nbflow.core.ports import Batch, Removals
from nbflow.core.rows import LEASE_SECONDS, Past, PoolUse, Projection, Removed, RunRow
from nbflow.core.status import RunStatus
from nbflow.store import refusals


class MemoryHistory:
    """Implements `ports.History` in dictionaries. `now` is the clock of leases."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._rows: dict[str, RunRow] = {}
        self._events: dict[str, list[Stamped]] = {}
        self._tasks: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._outputs: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._inbox: dict[str, list[Cancel]] = {}
        self._heartbeats: dict[str, datetime] = {}
        self._pools: dict[tuple[str, str], PoolUse] = {}

    def pools(self, run: str = "") -> list[PoolUse]:
        """What other runs hold and want."""
        with self._lock:
            return [
                replace(use, owner=self._rows[use.run].owner, lapsed=self._seen(use.run).lapsed)
                for _, use in sorted(self._pools.items())
                if use.run != run
            ]

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run."""
        with self._lock:
            return iter(self._events.get(run, [])[max(after, 0) :])

    def run(self, run: str) -> RunRow | None:
        """The row of a run."""
        with self._lock:
            return self._seen(run) if run in self._rows else None

    def runs(
        self, *, pipeline: str | None = None, prefix: str = "", states: Collection[str] = (), limit: int = 100
    ) -> list[RunRow]:
        """Rows of runs, newest first."""
        with self._lock:
            found = [
                self._seen(row.run)
                for row in self._rows.values()
                if pipeline in (None, row.pipeline)
                and row.run.startswith(prefix)
                and (not states or row.state in states)
            ]
        return sorted(found, key=lambda row: (row.created, row.run), reverse=True)[: max(limit, 0)]

    def going(self) -> list[RunRow]:
        """Rows of runs that have begun and not ended, or have an owner."""
        found = self.runs(limit=len(self._rows))
        return [row for row in found if row.state == RunStatus.RUNNING or row.owner is not None]

    def task_rows(self, run: str) -> list[Mapping[str, Any]]:
        """The task documents of a run."""
        with self._lock:
            return [document for _, document in sorted(self._tasks.get(run, {}).items())]

    def last_success(self, pipeline: str, task: str) -> Past | None:
        """The newest success of a task."""
        for row in self.runs(pipeline=pipeline, limit=len(self._rows)):
            with self._lock:
                for position, document in self._tasks[row.run].items():
                    if document["task"] == task and document["state"] == "succeeded":
                        run = document["reused_from"] or row.run
                        return Past(run=run, outputs=self._outputs[row.run][position])
        return None

    def _seen(self, run: str) -> RunRow:
        """A run as it is now: its lease may have run out."""
        row = self._rows[run]
        sign = self._heartbeats.get(run, row.created)
        return replace(row, lapsed=row.owner is not None and self._now() - sign > timedelta(seconds=LEASE_SECONDS))


class MemoryStore(MemoryHistory):
    """Implements `ports.Store` in dictionaries; gone with the process."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(now)
        self.removals: Removals = MemoryRemovals(self)

    def create(self, events: Sequence[Stamped], projection: Projection, owner: str | None = None) -> int:
        """Begin a run."""
        refusals.check_batch(events, projection)
        with self._lock:
            run = projection.row.run
            if run in self._rows:
                raise refusals.exists(run)
            self._events[run], self._tasks[run], self._outputs[run], self._inbox[run] = [], {}, {}, []
            self._keep(events, projection, owner=owner, fence=refusals.first_fence(owner))
            self._heartbeats[run] = self._now()
        return self._rows[run].fence

    def claim(self, run: str, owner: str, alive: Callable[[str], bool | None]) -> int:
        """Own a run."""
        while True:
            row = self.run(run)
            if row is None:
                raise refusals.unknown(run)
            refusals.check_free(row, owner, alive)
            with self._lock:
                if self._rows[run].fence == row.fence:
                    self._rows[run] = replace(self._rows[run], owner=owner, fence=row.fence + 1)
                    self._heartbeats[run] = self._now()
                    return row.fence + 1

    def renew(self, run: str, fence: int) -> None:
        """Begin the lease anew."""
        with self._lock:
            refusals.check_owner(run, self._rows.get(run), fence)
            self._heartbeats[run] = self._now()

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        with self._lock:
            row = self._rows.get(run)
            if row is not None and row.fence == fence:
                self._rows[run] = replace(row, owner=None)
                self._pools = {key: use for key, use in self._pools.items() if use.run != run}

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        before = refusals.check_batch(events, projection)
        with self._lock:
            row = refusals.check_owner(projection.row.run, self._rows.get(projection.row.run), fence)
            if row.seq != before:
                raise refusals.behind(row, before)
            self._keep(events, projection, owner=row.owner, fence=row.fence)
            self._heartbeats[row.run] = self._now()

    def append_pooled(
        self, run: str, decide: Callable[[Sequence[PoolUse]], Batch | None], fence: int
    ) -> Sequence[Stamped]:
        """Keep what is decided."""
        with self._lock:
            batch = decide(self.pools(run))
            if batch is None:
                return ()
            self.append(*batch, fence)
        return batch[0]

    def post(self, run: str, request: Cancel) -> None:
        """Leave a request."""
        with self._lock:
            if run not in self._rows:
                raise refusals.unknown(run)
            self._inbox[run].append(request)

    def take(self, run: str) -> list[Cancel]:
        """Take the requests."""
        with self._lock:
            taken = list(self._inbox.get(run, []))
            if taken:
                self._inbox[run] = []
            return taken

    def hurry(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """Nothing to give back."""

    def _forget(self, run: str) -> None:
        """Take all that is kept of a run out."""
        for kept in (self._rows, self._events, self._tasks, self._outputs, self._inbox, self._heartbeats):
            kept.pop(run, None)
        self._pools = {key: use for key, use in self._pools.items() if use.run != run}

    def _keep(self, events: Sequence[Stamped], projection: Projection, *, owner: str | None, fence: int) -> None:
        run = projection.row.run
        self._rows[run] = replace(projection.row, owner=owner, fence=fence)
        self._events[run].extend(events)
        self._tasks[run].update(projection.tasks)
        self._outputs[run].update(projection.outputs)
        for use in projection.pools:
            self._pools.pop((use.run, use.pool), None)
            if use.held or use.wanted:
                self._pools[use.run, use.pool] = use


class MemoryRemovals:
    """Implements `ports.Removals` for a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._removed: dict[str, str] = {}

    def references(self) -> list[tuple[str, str]]:
        """Who has taken results over, and of which run."""
        with self._store._lock:
            found = {
                (run, document["reused_from"])
                for run, tasks in self._store._tasks.items()
                for document in tasks.values()
                if document["reused_from"] is not None
            }
        return sorted(found)

    def newest_success(self, pipeline: str, task: str) -> str | None:
        """The newest run in which a task, or a copy of it, succeeded."""
        for row in self._store.runs(pipeline=pipeline, limit=len(self._store._rows)):
            for document in self._store.task_rows(row.run):
                if document["state"] == "succeeded" and document["task"].partition("[")[0] == task:
                    return row.run
        return None

    def remove(self, run: str, fence: int) -> None:
        """Take a run out."""
        with self._store._lock:
            row = refusals.check_owner(run, self._store._rows.get(run), fence)
            for taker, origin in self.references():
                if origin == run != taker:
                    raise refusals.needed(run, taker)
            self._removed.pop(run, None)
            self._removed[run] = row.pipeline
            self._store._forget(run)

    def removed(self) -> list[Removed]:
        """Runs that were taken out and not forgotten."""
        with self._store._lock:
            return [Removed(run=run, pipeline=pipeline) for run, pipeline in self._removed.items()]

    def forget(self, run: str) -> None:
        """Nothing of a run is left."""
        with self._store._lock:
            self._removed.pop(run, None)

    def compact(self) -> int:
        """There is no disk."""
        return 0
