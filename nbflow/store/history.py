"""The reading side of a store that is asked in SQL: which statement, and what its rows are. Must not know a driver."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.store import sql

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.rows import Past, PoolUse, RunRow

PAGE = 1000
"""Events that are read at a time."""


class Source(Protocol):
    """What runs named statements."""

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of a statement; none where there is no store yet."""
        ...


class SqlHistory:
    """Implements `ports.History`. Errors name the store by its `place`.

    `clock` is what statements that look at leases bind, `listed` some words as a statement binds them.
    """

    def __init__(
        self,
        source: Source,
        place: object,
        *,
        clock: Callable[[], Mapping[str, Any]],
        listed: Callable[[Collection[str]], Any],
    ) -> None:
        self._source = source
        self._place = place
        self._clock = clock
        self._listed = listed

    def pools(self, run: str = "") -> list[PoolUse]:
        """What other runs hold and want."""
        rows = self._source.rows("read_pools", {"run": run, **self._clock()})
        with sql.decoding(self._place):
            return [sql.pool_of(row) for row in rows]

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run, read as they are asked for."""
        while True:
            rows = self._source.rows("read_events", {"run": run, "after": after, "limit": PAGE})
            with sql.decoding(self._place):
                page = [sql.event_of(row) for row in rows]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def run(self, run: str) -> RunRow | None:
        """The row of a run."""
        rows = self._source.rows("read_run", {"run": run, **self._clock()})
        with sql.decoding(self._place):
            return sql.run_of(rows[0]) if rows else None

    def runs(
        self, *, pipeline: str | None = None, prefix: str = "", states: Collection[str] = (), limit: int = 100
    ) -> list[RunRow]:
        """Rows of runs, newest first."""
        values = {
            "pipeline": pipeline,
            "prefix": prefix,
            "states": self._listed(states) if states else None,
            "limit": max(0, min(limit, sys.maxsize)),
            **self._clock(),
        }
        rows = self._source.rows("read_runs" if pipeline is None else "read_runs_of_pipeline", values)
        with sql.decoding(self._place):
            return [sql.run_of(row) for row in rows]

    def going(self) -> list[RunRow]:
        """Rows of runs that have begun and not ended, or have an owner."""
        rows = self._source.rows("read_going", self._clock())
        with sql.decoding(self._place):
            return [sql.run_of(row) for row in rows]

    def task_rows(self, run: str) -> list[Mapping[str, Any]]:
        """The task documents of a run."""
        rows = self._source.rows("read_tasks", {"run": run})
        with sql.decoding(self._place):
            return [sql.task_of(row) for row in rows]

    def last_success(self, pipeline: str, task: str) -> Past | None:
        """The newest success of a task."""
        rows = self._source.rows("read_last_success", {"pipeline": pipeline, "task": task})
        with sql.decoding(self._place):
            return sql.past_of(rows[0]) if rows else None
