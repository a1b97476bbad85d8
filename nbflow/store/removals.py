"""Taking runs out of a SQLite store for good, and giving the space back. Must not know archives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from nbflow.core.rows import Removed
from nbflow.errors import NoRoomError
from nbflow.store import refusals, sql
from nbflow.store.database import Database


class SqliteRemovals:
    """Implements `ports.Removals` on a file. `now` is the clock."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def references(self) -> list[tuple[str, str]]:
        """Who has taken results over, and of which run."""
        return [(run, origin) for run, origin in self._database.rows("read_references", {})]

    def newest_success(self, pipeline: str, task: str) -> str | None:
        """The newest run in which a task, or a copy of it, succeeded."""
        rows = self._database.rows("read_newest_success", {"pipeline": pipeline, "task": task})
        return str(rows[0][0]) if rows else None

    def remove(self, run: str, fence: int) -> None:
        """Take a run out. What it was is overwritten with zeros: it may have held what nobody is to see."""
        with self._database.transaction():
            self._database.run("overwrite_removed", {})
            rows = self._database.run("read_run", {"run": run, **sql.lease(self._now())}).fetchall()
            row = refusals.check_owner(run, sql.run_of(rows[0]) if rows else None, fence)
            if taker := self._database.run("read_taker", {"run": run}).fetchone():
                raise refusals.needed(run, taker[0])
            values = {"run": run, "pipeline": row.pipeline, "at": sql.to_instant(self._now())}
            self._database.run("note_removed", values)
            self._database.run("remove_run", {"run": run})

    def removed(self) -> list[Removed]:
        """Runs that were taken out and not forgotten."""
        return [Removed(run=run, pipeline=pipeline) for run, pipeline in self._database.rows("read_removed", {})]

    def forget(self, run: str) -> None:
        """Nothing of a run is left."""
        with self._database.transaction():
            self._database.run("forget_removed", {"run": run})

    def compact(self) -> int:
        """Give free pages back, a few at a time so that nobody waits for long, and cut the write-ahead log."""
        first = free = self._number("count_free")
        while free:
            try:
                self._database.rows("give_back_space", {})
            except NoRoomError:
                break  # not even to do that: what is free is used again
            left = self._number("count_free")
            if left >= free:
                break  # an older store keeps what it has, and uses it again
            free = left
        with suppress(NoRoomError):  # the next who closes the store cuts it
            self._database.rows("cut_log", {})
        return (first - free) * self._number("read_page_size")

    def _number(self, name: str) -> int:
        rows = self._database.rows(name, {})
        return int(rows[0][0]) if rows else 0
