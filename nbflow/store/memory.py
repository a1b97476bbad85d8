"""The store in memory: for tests, simulations, and runs that are not to be recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbflow.core.events import Stamped
from nbflow.core.messages import Cancel
from nbflow.core.plan import Past
from nbflow.core.views import Projection, RunRow
from nbflow.errors import ConflictError


class MemoryStore:
    """Implements `ports.Store` in dictionaries; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, RunRow] = {}
        self._events: dict[str, list[Stamped]] = {}
        self._tasks: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._outputs: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._inbox: dict[str, list[Cancel]] = {}

    def create(self, events: Sequence[Stamped], projection: Projection) -> None:
        """Begin a run."""
        with self._lock:
            run = projection.row.run
            if run in self._rows:
                raise ConflictError(f"run {run} exists already")
            self._rows[run] = replace(projection.row, owner=None, fence=0)
            self._events[run], self._tasks[run], self._outputs[run] = [], {}, {}
            self._keep(events, projection)

    def claim(self, run: str, owner: str, alive: Callable[[str], bool]) -> int:
        """Own a run."""
        with self._lock:
            row = self._rows.get(run)
            if row is None:
                raise ConflictError(f"run {run} is not in the store")
            if row.owner is not None and row.owner != owner and alive(row.owner):
                raise ConflictError(f"run {run} is owned by {row.owner}")
            self._rows[run] = replace(row, owner=owner, fence=row.fence + 1)
            return row.fence + 1

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        with self._lock:
            row = self._rows.get(run)
            if row is not None and row.fence == fence:
                self._rows[run] = replace(row, owner=None)

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        with self._lock:
            row = self._rows.get(projection.row.run)
            if row is None:
                raise ConflictError("the run has been removed from the store")
            if row.fence != fence:
                raise ConflictError(f"run {row.run} has been taken over by {row.owner}")
            if row.seq != events[0].seq - 1:
                raise ConflictError(f"run {row.run} is at event {row.seq}: somebody else wrote to it")
            self._rows[row.run] = replace(projection.row, owner=row.owner, fence=row.fence)
            self._keep(events, projection)

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run."""
        with self._lock:
            return iter(self._events.get(run, [])[after:])

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
            return sorted(found, key=lambda row: (row.created, row.run), reverse=True)[:limit]

    def task_rows(self, run: str) -> list[Mapping[str, Any]]:
        """The task documents of a run."""
        with self._lock:
            return [document for _, document in sorted(self._tasks.get(run, {}).items())]

    def last_success(self, pipeline: str, task: str) -> Past | None:
        """The newest success of a task."""
        with self._lock:
            for row in self.runs(pipeline=pipeline, limit=len(self._rows)):
                for position, document in self._tasks[row.run].items():
                    if document["task"] == task and document["state"] == "succeeded":
                        return Past(run=row.run, outputs=self._outputs[row.run][position])
            return None

    def post(self, run: str, request: Cancel) -> None:
        """Leave a request."""
        with self._lock:
            if run not in self._rows:
                raise ConflictError(f"run {run} is not in the store")
            self._inbox.setdefault(run, []).append(request)

    def take(self, run: str) -> list[Cancel]:
        """Take the requests."""
        with self._lock:
            return self._inbox.pop(run, [])

    def close(self) -> None:
        """Nothing to give back."""

    def _keep(self, events: Sequence[Stamped], projection: Projection) -> None:
        run = projection.row.run
        self._events[run].extend(events)
        self._tasks[run].update(projection.tasks)
        self._outputs[run].update(projection.outputs)
