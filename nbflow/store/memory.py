"""The store in memory: for tests, simulations, and runs that are not to be recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbflow.core.events import Stamped
from nbflow.core.messages import Cancel
from nbflow.core.rows import Past, Projection, RunRow
from nbflow.store import refusals


class MemoryStore:
    """Implements `ports.Store` in dictionaries; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, RunRow] = {}
        self._events: dict[str, list[Stamped]] = {}
        self._tasks: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._outputs: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._inbox: dict[str, list[Cancel]] = {}

    def create(self, events: Sequence[Stamped], projection: Projection) -> None:
        """Begin a run."""
        refusals.check_batch(events, projection)
        with self._lock:
            run = projection.row.run
            if run in self._rows:
                raise refusals.exists(run)
            self._events[run], self._tasks[run], self._outputs[run], self._inbox[run] = [], {}, {}, []
            self._keep(events, projection, owner=None, fence=0)

    def claim(self, run: str, owner: str, alive: Callable[[str], bool]) -> int:
        """Own a run."""
        while True:
            row = self.run(run)
            if row is None:
                raise refusals.unknown(run)
            if row.owner is not None and row.owner != owner and alive(row.owner):
                raise refusals.held(run, row.owner)
            with self._lock:
                if self._rows[run].fence == row.fence:
                    self._rows[run] = replace(self._rows[run], owner=owner, fence=row.fence + 1)
                    return row.fence + 1

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        with self._lock:
            row = self._rows.get(run)
            if row is not None and row.fence == fence:
                self._rows[run] = replace(row, owner=None)

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        before = refusals.check_batch(events, projection)
        with self._lock:
            row = self._rows.get(projection.row.run)
            if row is None or row.owner is None or (row.fence, row.seq) != (fence, before):
                raise refusals.stale(projection.row.run, row, before, fence)
            self._keep(events, projection, owner=row.owner, fence=row.fence)

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run."""
        with self._lock:
            return iter(self._events.get(run, [])[max(after, 0) :])

    def run(self, run: str) -> RunRow | None:
        """The row of a run."""
        with self._lock:
            return self._rows.get(run)

    def runs(
        self, *, pipeline: str | None = None, prefix: str = "", states: Collection[str] = (), limit: int = 100
    ) -> list[RunRow]:
        """Rows of runs, newest first."""
        with self._lock:
            found = [
                row
                for row in self._rows.values()
                if pipeline in (None, row.pipeline)
                and row.run.startswith(prefix)
                and (not states or row.state in states)
            ]
        return sorted(found, key=lambda row: (row.created, row.run), reverse=True)[: max(limit, 0)]

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

    def close(self) -> None:
        """Nothing to give back."""

    def _keep(self, events: Sequence[Stamped], projection: Projection, *, owner: str | None, fence: int) -> None:
        run = projection.row.run
        self._rows[run] = replace(projection.row, owner=owner, fence=fence)
        self._events[run].extend(events)
        self._tasks[run].update(projection.tasks)
        self._outputs[run].update(projection.outputs)
