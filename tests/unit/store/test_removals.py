"""Taking runs out of a file: nothing of them can be read from it, and it becomes smaller."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nbflow.errors import NoRoomError
from nbflow.store import places
from nbflow.store.database import Database
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.stored import Kept, cells, projected, rebuilt

CANARY = "hunter2-canary"


def store_with_runs(path: Path) -> tuple[SqliteStore, dict[str, int]]:
    """A store, and the fences of its runs: one that stays, one that is large and says what nobody is to see."""
    store = SqliteStore(path)
    fences = {}
    for run, text in (("stays", "fine"), ("goes", CANARY)):
        kept = Kept(store, planned("a"), run=run)
        for _ in range(20):
            store.append(*cells(kept.state, 100, text * 20), kept.fence)
        kept.state.touched.clear()
        fences[run] = kept.fence
    return store, fences


def all_bytes(folder: Path) -> bytes:
    return b"".join(one.read_bytes() for one in folder.iterdir())


@pytest.mark.parametrize("kind", ["ext4", "nfs4"])
def test_nothing_is_found_after_it_and_the_disk_has_its_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(places, "_mounts", lambda: [("/", kind)])
    path = tmp_path / "state.db"
    store, fences = store_with_runs(path)
    with closing(store):
        assert CANARY.encode() in all_bytes(tmp_path)
        before = sum(one.stat().st_size for one in tmp_path.iterdir())
        store.removals.remove("goes", fences["goes"])
        freed = store.removals.compact()
        assert CANARY.encode() not in all_bytes(tmp_path)
        after = sum(one.stat().st_size for one in tmp_path.iterdir())
        assert freed > 500_000
        assert after < before * 0.6
        assert projected(store, "stays") == rebuilt(store, "stays")
        assert store.removals.compact() == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_older_file_keeps_its_size_and_uses_it_again(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store, fences = store_with_runs(path)
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    with closing(SqliteStore(path)) as store:
        size = path.stat().st_size
        store.removals.remove("goes", fences["goes"])
        store.removals.compact()
        assert path.stat().st_size == size
        assert [row.run for row in store.runs()] == ["stays"]


@pytest.mark.parametrize("statement", ["give_back_space", "cut_log"])
def test_a_disk_without_room_to_give_space_back_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    store, fences = store_with_runs(tmp_path / "state.db")
    with closing(store):
        store.removals.remove("goes", fences["goes"])
        rows = Database.rows

        def tight(database: Database, name: str, values: Mapping[str, Any]) -> list[Any]:
            if name == statement:
                raise NoRoomError("the disk is full", folder=tmp_path)
            return rows(database, name, values)

        with monkeypatch.context() as patch:
            patch.setattr(Database, "rows", tight)
            assert (store.removals.compact() == 0) is (statement == "give_back_space")
        assert [row.run for row in store.runs()] == ["stays"]


def test_nothing_is_removed_where_it_fails(tmp_path: Path) -> None:
    store, fences = store_with_runs(tmp_path / "state.db")
    with closing(store):
        store._database._ready.execute(
            "CREATE TEMP TRIGGER fail BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(sqlite3.IntegrityError):
            store.removals.remove("goes", fences["goes"])
        assert store.removals.removed() == []
        assert projected(store, "goes") == rebuilt(store, "goes")


def test_references_are_found_by_an_index(tmp_path: Path) -> None:
    from nbflow.store import sql

    store, _ = store_with_runs(tmp_path / "state.db")
    with closing(store):
        for name in ("read_references", "read_taker"):
            plan = store._database._ready.execute(f"EXPLAIN QUERY PLAN {sql.statements()[name]}", {"run": "x"})
            assert "tasks_by_origin" in str(plan.fetchall())
