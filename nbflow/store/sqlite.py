"""The store on one SQLite file: WAL, every commit on disk, one writer at a time.

A store object may be used from any thread; its calls are serialised.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from nbflow.core import codec
from nbflow.core.events import Stamped
from nbflow.core.messages import Cancel
from nbflow.core.plan import Past
from nbflow.core.views import Projection, RunRow
from nbflow.errors import ConflictError, UnreachableError
from nbflow.store import sql
from nbflow.store.migrate import migrate

BUSY_SECONDS = 60.0
"""How long a call waits for another writer before it gives up."""


class SqliteStore:
    """Implements `ports.Store` on a file; `path` is made, with its folder, where it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._sql = sql.statements()
        with self._named():
            self._connection = _connect(path)
        try:
            with self._named():
                migrate(self._connection, str(path))
        except BaseException:
            self._connection.close()
            raise

    def create(self, events: Sequence[Stamped], projection: Projection) -> None:
        """Begin a run."""
        with self._transaction():
            try:
                self._run("create_run", sql.run_values(projection.row))
            except sqlite3.IntegrityError:
                raise ConflictError(f"run {projection.row.run} exists already") from None
            self._keep(events, projection)

    def claim(self, run: str, owner: str, alive: Callable[[str], bool]) -> int:
        """Own a run."""
        with self._transaction():
            row = self._run("read_owner", {"run": run}).fetchone()
            if row is None:
                raise ConflictError(f"run {run} is not in the store")
            holder, fence = row
            if holder is not None and holder != owner and alive(holder):
                raise ConflictError(f"run {run} is owned by {holder}", hint="it is still going on: nbflow logs -f")
            self._run("claim_run", {"run": run, "owner": owner, "fence": fence})
            return int(fence) + 1

    def release(self, run: str, fence: int) -> None:
        """Give a run back."""
        with self._transaction():
            self._run("release_run", {"run": run, "fence": fence})

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events."""
        with self._transaction():
            before = events[0].seq - 1
            values = {**sql.run_values(projection.row), "before": before, "fence": fence}
            if self._run("update_run", values).rowcount != 1:
                raise ConflictError(_stale(self.run(projection.row.run), before, fence))
            self._keep(events, projection)

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run."""
        return (sql.event_of(row) for row in self._rows("read_events", {"run": run, "after": after}))

    def run(self, run: str) -> RunRow | None:
        """The row of a run."""
        rows = self._rows("read_run", {"run": run})
        return sql.run_of(rows[0]) if rows else None

    def runs(
        self, *, pipeline: str | None = None, prefix: str = "", states: Collection[str] = (), limit: int = 100
    ) -> list[RunRow]:
        """Rows of runs, newest first."""
        values = {
            "pipeline": pipeline,
            "prefix": prefix,
            "prefix_end": prefix + "\U0010ffff",
            "states": sql.to_json(list(states)) if states else None,
            "limit": limit,
        }
        return [sql.run_of(row) for row in self._rows("read_runs", values)]

    def task_rows(self, run: str) -> list[Mapping[str, Any]]:
        """The task documents of a run."""
        return [sql.from_json(row[0]) for row in self._rows("read_tasks", {"run": run})]

    def last_success(self, pipeline: str, task: str) -> Past | None:
        """The newest success of a task."""
        rows = self._rows("read_last_success", {"pipeline": pipeline, "task": task})
        return Past(run=rows[0][0], outputs=sql.from_json(rows[0][1])) if rows else None

    def post(self, run: str, request: Cancel) -> None:
        """Leave a request."""
        with self._transaction():
            try:
                self._run("post_request", {"run": run, "body": sql.to_json(codec.dump(request))})
            except sqlite3.IntegrityError:
                raise ConflictError(f"run {run} is not in the store") from None

    def take(self, run: str) -> list[Cancel]:
        """Take the requests."""
        if not self._rows("read_requests", {"run": run}):
            return []
        with self._transaction():
            rows = self._run("read_requests", {"run": run}).fetchall()
            if rows:
                self._run("drop_requests", {"run": run, "last": rows[-1][0]})
            return [sql.request_of(body) for _, body in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _keep(self, events: Sequence[Stamped], projection: Projection) -> None:
        self._connection.executemany(self._sql["add_event"], [sql.event_values(event) for event in events])
        self._connection.executemany(self._sql["put_task"], sql.task_values(projection))

    def _run(self, name: str, values: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._connection.execute(self._sql[name], values)

    def _rows(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        with self._lock, self._named():
            return self._run(name, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what SQLite or the disk says into an error that names the store and the way out."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise UnreachableError(f"{self._path}: the store cannot be used: {error}", hint=_hint(error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    if not path.exists():
        _create(path)
    elif path.stat().st_size == 0:
        raise OSError("it is empty, so its history is lost")
    connection = _open(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make a store beside its place and link it there whole: nobody sees an empty file, and two may try at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        with closing(_open(draft)) as connection:
            migrate(connection, str(path))
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _stale(row: RunRow | None, before: int, fence: int) -> str:
    if row is None:
        return "the run has been removed from the store"
    if row.fence != fence:
        return f"run {row.run} has been taken over by {row.owner}"
    return f"run {row.run} is at event {row.seq}, not {before}: somebody else wrote to it"


def _hint(error: Exception) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return f"another process has been writing to it for {BUSY_SECONDS:g} s; look for it with: nbflow doctor"
    if "malformed" in text or "not a database" in text or "empty" in text:
        return "restore the file from a backup, or move it away to begin a new history"
    if "full" in text:
        return "make room on the disk, then: nbflow resume"
    return "check that the file and its folder can be written, or set [nbflow] state to another place"
