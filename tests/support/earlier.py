"""Stores of earlier schemas, with a run in them, as the nbflow of that time has left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from nbflow.core.state import fold
from nbflow.core.views import project
from nbflow.store import sql
from nbflow.store.memory import MemoryStore
from nbflow.store.migrate import migrate, migrations
from support.build import RUN, planned
from support.stored import Kept, cells, rebuilt


def make_earlier(path: Path, version: int = 1, events: int = 0) -> dict[str, Any]:
    """Make a store of a version, with a run that another host carries out; the run's document."""
    memory = MemoryStore()
    run = Kept(memory, planned("a"), owner="elsewhere:1:1")
    run.play("start", "started a/1")
    if events:
        memory.append(*cells(run.state, events, "x" * 50), run.fence)
    row = memory.run(RUN)
    assert row is not None
    values = {**sql.run_values(row), "owner": row.owner, "fence": row.fence}
    columns = ", ".join(values)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection, str(path), 1.0, migrations()[:version])
        connection.execute("BEGIN")
        connection.execute(f"INSERT INTO runs ({columns}) VALUES (:{', :'.join(values)})", values)
        connection.executemany(sql.statements()["add_event"], [sql.event_values(one) for one in memory.events(RUN)])
        connection.executemany(sql.statements()["put_task"], sql.task_values(project(fold(memory.events(RUN)))))
        connection.execute("COMMIT")
    return rebuilt(memory, RUN)
