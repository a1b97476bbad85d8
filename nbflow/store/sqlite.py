"""The store on one SQLite file: WAL, every commit on disk, one writer at a time. Its SQL stands in `queries.sql`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.store import refusals, sql
from nbflow.store.database import Database
from nbflow.store.history import SqlHistory
from nbflow.store.removals import SqliteRemovals

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.messages import Cancel
    from nbflow.core.ports import Batch, Removals
    from nbflow.core.rows import PoolUse, Projection

BUSY_SECONDS = 60.0
"""How long a call waits for another writer before it gives up."""


class SqliteStore(SqlHistory):
    """Implements `ports.Store` on a file, for any number of threads and processes.

    A file that is missing is made, with its folder: at once, or, without `create`, by the first run; until then the
    store is empty.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        busy_seconds: float = BUSY_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = Database(path, busy_seconds)
        self._now = now
        super().__init__(
            self._database,
            self._database.path,
            clock=lambda: sql.lease(now()),
            listed=lambda words: sql.to_json(list(words)),
        )
        self._database.open(create=create)
        self.removals: Removals = SqliteRemovals(self._database, now)

    def create(self, events: Sequence[Stamped], projection: Projection, owner: str | None = None) -> int:
        """Begin a run."""
        refusals.check_batch(events, projection)
        self._database.open(create=True)
        fence = refusals.first_fence(owner)
        with self._database.transaction():
            owned = {"owner": owner, "fence": fence, "now": sql.to_instant(self._now())}
            try:
                self._database.run("create_run", {**sql.run_values(projection.row), **owned})
            except sqlite3.IntegrityError:
                raise refusals.exists(projection.row.run) from None
            self._keep(events, projection)
            self._database.run_many("put_task", sql.task_values(projection))
        return fence

    def claim(self, run: str, owner: str, alive: Callable[[str], bool | None]) -> int:
        """Own a run. `alive` is asked outside of any transaction; a claim that came in between is seen by the fence."""
        while True:
            row = self.run(run)
            if row is None:
                raise refusals.unknown(run)
            refusals.check_free(row, owner, alive)
            with self._database.transaction():
                values = {"run": run, "owner": owner, "fence": row.fence, "now": sql.to_instant(self._now())}
                if self._database.run("claim_run", values).rowcount == 1:
                    return row.fence + 1

    def renew(self, run: str, fence: int) -> None:
        """Begin the lease anew."""
        with self._database.transaction():
            values = {"run": run, "fence": fence, "now": sql.to_instant(self._now())}
            if self._database.run("renew_run", values).rowcount != 1:
                refusals.check_owner(run, self.run(run), fence)

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        with self._database.transaction():
            if self._database.run("release_run", {"run": run, "fence": fence}).rowcount == 1:
                self._database.run("drop_pools", {"run": run})

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        with self._database.transaction():
            self._append(events, projection, fence)

    def append_pooled(
        self, run: str, decide: Callable[[Sequence[PoolUse]], Batch | None], fence: int
    ) -> Sequence[Stamped]:
        """Keep what is decided. Others wait meanwhile, as for any transaction."""
        with self._database.transaction():
            batch = decide(self.pools(run))
            if batch is None:
                return ()
            self._append(*batch, fence)
        return batch[0]

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
            with sql.decoding(self._database.path):
                requests = [sql.request_of(row) for row in rows]
            if rows:
                self._database.run("drop_requests", {"run": run})
        return requests

    def hurry(self) -> None:
        """Wait for other writers no more."""
        self._database.hurry.begin()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        before = refusals.check_batch(events, projection)
        now = sql.to_instant(self._now())
        values = {**sql.run_values(projection.row), "before": before, "fence": fence, "now": now}
        if self._changed("update_run", values) != 1 and self._changed("move_run", values) != 1:
            run = projection.row.run
            raise refusals.behind(refusals.check_owner(run, self.run(run), fence), before)
        self._keep(events, projection)
        tasks = sql.task_values(projection)
        if self._database.run_many("update_task", tasks) != len(tasks):  # copies have come
            self._database.run_many("put_task", tasks)

    def _changed(self, name: str, values: Mapping[str, Any]) -> int:
        return self._database.run(name, values).rowcount

    def _keep(self, events: Sequence[Stamped], projection: Projection) -> None:
        self._database.run_many("add_event", [sql.event_values(event) for event in events])
        for use in projection.pools:
            self._database.run("put_pool" if use.held or use.wanted else "drop_pool", sql.pool_values(use))
