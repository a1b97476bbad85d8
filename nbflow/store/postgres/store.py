"""The store in a schema of a PostgreSQL database. Its SQL stands in `queries.sql`.

What changes something is one statement, which finds what it expects or changes nothing (compare and set): so no
isolation level is relied on, and a call that is made again after a lost connection can be told from a second one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbflow.core.pools import Overtaken
from nbflow.core.rows import LEASE_SECONDS
from nbflow.store import refusals, sql
from nbflow.store.history import SqlHistory
from nbflow.store.postgres.link import Execute, Link
from nbflow.store.postgres.removals import PostgresRemovals

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.messages import Cancel
    from nbflow.core.ports import Batch, Removals
    from nbflow.core.rows import PoolUse, Projection

PATIENCE_SECONDS = 60.0
"""How long a call waits for a server that is gone, or for other writers, before it gives up."""


class PostgresStore(SqlHistory):
    """Implements `ports.Store` on the database at `url`, for any number of threads, processes and hosts.

    A schema that is missing is made: at once, or, without `create`, by the first run; until then the store is empty.
    The clock of leases is the server's, or `now`.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        patience: float = PATIENCE_SECONDS,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._link = link = Link(url, patience)
        super().__init__(
            link,
            link.place,
            clock=lambda: {"now": None if now is None else now(), "lease": LEASE_SECONDS},
            listed=list,
        )
        self.removals: Removals = PostgresRemovals(self._link)
        if create:
            self._link.open(create=True)

    def describe(self) -> str:
        """What the store is on, for a person. Raises UnreachableError where it cannot be reached."""
        return self._link.describe()

    def create(self, events: Sequence[Stamped], projection: Projection, owner: str | None = None) -> int:
        """Begin a run."""
        refusals.check_batch(events, projection)
        self._link.open(create=True)
        fence = refusals.first_fence(owner)
        values = {**_kept(events, projection), "owner": owner, "fence": fence, **self._clock()}
        rows, unsure = self._link.change("create_run", values)
        if not rows and not (unsure and self._is_ours(values, fence)):
            raise refusals.exists(projection.row.run)
        return fence

    def claim(self, run: str, owner: str, alive: Callable[[str], bool | None]) -> int:
        """Own a run. `alive` is asked between two statements; a claim that came in between is seen by the fence."""
        while True:
            row = self.run(run)
            if row is None:
                raise refusals.unknown(run)
            refusals.check_free(row, owner, alive)
            values = {"run": run, "owner": owner, "fence": row.fence, **self._clock()}
            rows, unsure = self._link.change("claim_run", values)
            if rows:
                return row.fence + 1
            found = self.run(run) if unsure else None
            if found is not None and (found.owner, found.fence) == (owner, row.fence + 1):
                return found.fence

    def renew(self, run: str, fence: int) -> None:
        """Begin the lease anew."""
        rows, _ = self._link.change("renew_run", {"run": run, "fence": fence, **self._clock()})
        if not rows:
            refusals.check_owner(run, self.run(run), fence)

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        self._link.change("release_run", {"run": run, "fence": fence})

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        before = refusals.check_batch(events, projection)
        values = {**_kept(events, projection), "before": before, "fence": fence, **self._clock()}
        rows, unsure = self._link.change("append", values)
        if not rows and not (unsure and self._is_ours(values, fence)):
            run = projection.row.run
            raise refusals.behind(refusals.check_owner(run, self.run(run), fence), before)

    def append_pooled(
        self, run: str, decide: Callable[[Sequence[PoolUse]], Batch | None], fence: int
    ) -> Sequence[Stamped]:
        """Keep what is decided. Others that get or give back slots wait meanwhile.

        Where a connection was lost after that, it is read whether it was kept. Who has the lock reads the last word: a
        transaction that was lost has the lock until its end, and nobody is there any more to ask it for a commit.
        """
        decided: list[Batch | None] = []

        def act(execute: Execute, _: bool) -> Sequence[Stamped]:
            execute("lock_pools", {})
            is_first = not decided
            if is_first:
                with sql.decoding(self._link.place):
                    uses = [sql.pool_of(row) for row in execute("read_pools", {"run": run, **self._clock()})]
                decided.append(decide(uses))
            if (batch := decided[0]) is None:
                return ()
            before = refusals.check_batch(*batch)
            values = {**_kept(*batch), "before": before, "fence": fence, **self._clock()}
            if not is_first:
                if execute("find_event", values) == [_last(values)]:
                    return batch[0]
                raise Overtaken
            if not execute("append", values):
                with sql.decoding(self._link.place):
                    row = next((sql.run_of(row) for row in execute("read_run", values)), None)
                raise refusals.behind(refusals.check_owner(run, row, fence), before)
            return batch[0]

        return self._link.transaction(act)

    def post(self, run: str, request: Cancel) -> None:
        """Leave a request. Its key keeps it from being left twice."""
        if self.run(run) is None:
            raise refusals.unknown(run)
        rows, _ = self._link.change(
            "post_request", {"key": uuid.uuid4(), "run": run, "body": sql.request_text(request)}
        )
        if not rows:
            raise refusals.unknown(run)

    def take(self, run: str) -> list[Cancel]:
        """Take the requests. They are marked as ours, so that they are found again after a lost connection."""
        if not self._link.rows("read_requests", {"run": run}):
            return []
        rows, _ = self._link.change("take_requests", {"run": run, "taker": uuid.uuid4()})
        with sql.decoding(self._link.place):
            return [sql.request_of(row) for row in rows]

    def hurry(self) -> None:
        """Wait for the server no more."""
        self._link.hurry()

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _is_ours(self, values: Mapping[str, Any], fence: int) -> bool:
        """Whether the last of some events stands there as we have sent it, under our fence."""
        found = self._link.rows("find_event", {"run": values["run"], "seq": values["seq"], "fence": fence})
        return found == [_last(values)]


def _kept(events: Sequence[Stamped], projection: Projection) -> dict[str, Any]:
    """What `create_run` and `append` bind: the run's row, and columns of arrays for the rest."""
    rows = [sql.event_values(event) for event in events]
    tasks = sql.task_values(projection)
    pools = [sql.pool_values(use) for use in projection.pools]
    return {
        **sql.run_values(projection.row),
        "seqs": [row["seq"] for row in rows],
        "ats": [row["at"] for row in rows],
        "types": [row["type"] for row in rows],
        "bodies": [row["body"] for row in rows],
        "positions": [task["position"] for task in tasks],
        "tasks": [task["task"] for task in tasks],
        "states": [task["state"] for task in tasks],
        "documents": [task["document"] for task in tasks],
        "outputs": [task["outputs"] for task in tasks],
        "origins": [document["reused_from"] for document in projection.tasks.values()],
        "pools": [use["pool"] for use in pools],
        "held": [use["held"] for use in pools],
        "wanted": [use["wanted"] for use in pools],
        "since": [use["since"] for use in pools],
    }


def _last(values: Mapping[str, Any]) -> tuple[str, str]:
    """The last of some events as it is kept: what `find_event` gives of it."""
    return values["ats"][-1], values["bodies"][-1]
