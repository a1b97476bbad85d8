"""The store on one SQLite file: WAL, every commit on disk, one writer at a time. Its SQL stands in `queries.sql`."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.errors import UnreachableError
from nbflow.store import refusals, sql
from nbflow.store.database import Database

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.messages import Cancel
    from nbflow.core.rows import Past, Projection, RunRow

BUSY_SECONDS = 60.0
"""How long a call waits for another writer before it gives up."""

PAGE = 1000
"""Events that are read at a time."""


class SqliteStore:
    """Implements `ports.Store` on a file, for any number of threads and processes.

    A file that is missing is made, with its folder: at once, or, without `create`, by the first run; until then the
    store is empty.
    """

    def __init__(self, path: Path, *, create: bool = True, busy_seconds: float = BUSY_SECONDS) -> None:
        self._database = Database(path, busy_seconds)
        self._database.open(create=create)

    def create(self, events: Sequence[Stamped], projection: Projection) -> None:
        """Begin a run."""
        refusals.check_batch(events, projection)
        self._database.open(create=True)
        with self._database.transaction():
            try:
                self._database.run("create_run", sql.run_values(projection.row))
            except sqlite3.IntegrityError:
                raise refusals.exists(projection.row.run) from None
            self._keep(events, projection)

    def claim(self, run: str, owner: str, alive: Callable[[str], bool]) -> int:
        """Own a run. `alive` is asked outside of any transaction; a claim that came in between is seen by the fence."""
        while True:
            row = self.run(run)
            if row is None:
                raise refusals.unknown(run)
            if row.owner is not None and row.owner != owner and alive(row.owner):
                raise refusals.held(run, row.owner)
            with self._database.transaction():
                values = {"run": run, "owner": owner, "fence": row.fence}
                if self._database.run("claim_run", values).rowcount == 1:
                    return row.fence + 1

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        with self._database.transaction():
            self._database.run("release_run", {"run": run, "fence": fence})

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        before = refusals.check_batch(events, projection)
        values = {**sql.run_values(projection.row), "before": before, "fence": fence}
        with self._database.transaction():
            if self._database.run("update_run", values).rowcount != 1:
                run = projection.row.run
                raise refusals.stale(run, self.run(run), before, fence)
            self._keep(events, projection)

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run, read as they are asked for."""
        while True:
            rows = self._database.rows("read_events", {"run": run, "after": after, "limit": PAGE})
            with self._decoding():
                page = [sql.event_of(row) for row in rows]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def run(self, run: str) -> RunRow | None:
        """The row of a run."""
        rows = self._database.rows("read_run", {"run": run})
        with self._decoding():
            return sql.run_of(rows[0]) if rows else None

    def runs(
        self, *, pipeline: str | None = None, prefix: str = "", states: Collection[str] = (), limit: int = 100
    ) -> list[RunRow]:
        """Rows of runs, newest first."""
        values = {
            "pipeline": pipeline,
            "prefix": prefix,
            "states": sql.to_json(list(states)) if states else None,
            "limit": max(0, min(limit, sys.maxsize)),
        }
        rows = self._database.rows("read_runs" if pipeline is None else "read_runs_of_pipeline", values)
        with self._decoding():
            return [sql.run_of(row) for row in rows]

    def task_rows(self, run: str) -> list[Mapping[str, Any]]:
        """The task documents of a run."""
        rows = self._database.rows("read_tasks", {"run": run})
        with self._decoding():
            return [sql.task_of(row) for row in rows]

    def last_success(self, pipeline: str, task: str) -> Past | None:
        """The newest success of a task."""
        rows = self._database.rows("read_last_success", {"pipeline": pipeline, "task": task})
        with self._decoding():
            return sql.past_of(rows[0]) if rows else None

    def post(self, run: str, request: Cancel) -> None:
        """Leave a request."""
        with self._database.transaction():
            try:
                self._database.run("post_request", {"run": run, "body": sql.request_text(request)})
            except (sqlite3.IntegrityError, UnicodeEncodeError):
                raise refusals.unknown(run) from None

    def take(self, run: str) -> list[Cancel]:
        """Take the requests. Mostly there are none: only then is nothing written."""
        if not self._database.rows("read_requests", {"run": run}):
            return []
        with self._database.transaction():
            rows = self._database.rows("read_requests", {"run": run})
            with self._decoding():
                requests = [sql.request_of(row) for row in rows]
            if rows:
                self._database.run("drop_requests", {"run": run})
        return requests

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _keep(self, events: Sequence[Stamped], projection: Projection) -> None:
        self._database.run_many("add_event", [sql.event_values(event) for event in events])
        self._database.run_many("put_task", sql.task_values(projection))

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Name the store where what it holds makes no sense: a newer nbflow wrote it, or it is damaged."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnreachableError(
                f"{self._database.path}: the store holds something that this nbflow cannot read: {error!r}",
                hint="upgrade nbflow; if it is the newest, restore the store from a backup",
            ) from error
