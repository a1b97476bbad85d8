"""Taking runs out of a PostgreSQL store for good. Must not know archives."""

from __future__ import annotations

from nbflow.core.rows import LEASE_SECONDS, Removed
from nbflow.store import refusals, sql
from nbflow.store.postgres.link import Execute, Link


class PostgresRemovals:
    """Implements `ports.Removals` on a server."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def references(self) -> list[tuple[str, str]]:
        """Who has taken results over, and of which run."""
        return [(run, origin) for run, origin in self._link.rows("read_references", {})]

    def newest_success(self, pipeline: str, task: str) -> str | None:
        """The newest run in which a task, or a copy of it, succeeded."""
        rows = self._link.rows("read_newest_success", {"pipeline": pipeline, "task": task})
        return str(rows[0][0]) if rows else None

    def remove(self, run: str, fence: int) -> None:
        """Take a run out. Nobody takes results of it over meanwhile."""
        values = {"run": run, "fence": fence, "now": None, "lease": LEASE_SECONDS}

        def act(execute: Execute, unsure: bool) -> None:
            execute("lock_for_removal", {})
            rows = execute("read_run", values)
            if unsure and not rows and execute("find_removed", values):
                return
            refusals.check_owner(run, sql.run_of(rows[0]) if rows else None, fence)
            if taker := execute("read_taker", values):
                raise refusals.needed(run, taker[0][0])
            if not execute("remove_run", values):  # somebody has claimed it since it was read
                rows = execute("read_run", values)
                refusals.check_owner(run, sql.run_of(rows[0]) if rows else None, fence)

        self._link.transaction(act)

    def removed(self) -> list[Removed]:
        """Runs that were taken out and not forgotten."""
        return [Removed(run=run, pipeline=pipeline) for run, pipeline in self._link.rows("read_removed", {})]

    def forget(self, run: str) -> None:
        """Nothing of a run is left."""
        self._link.change("forget_removed", {"run": run})

    def compact(self) -> int:
        """The server does so by itself (autovacuum)."""
        return 0
