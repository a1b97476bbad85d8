"""Backups before an upgrade: whole, private, one of each version, or no upgrade."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.errors import UnreachableError
from nbflow.store import file, migrate, places
from nbflow.store.backup import back_up, backups
from nbflow.store.migrate import Migration, migrations
from nbflow.store.sqlite import SqliteStore
from support.build import RUN, planned
from support.stored import Kept, projected, rebuilt

NEWEST = len(migrations())
NEXT = Migration(
    NEWEST + 1, "9999_next.sql", f"ALTER TABLE runs ADD COLUMN note TEXT; PRAGMA user_version = {NEWEST + 1};"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(SqliteStore(path)) as store:
        Kept(store, planned("a")).send("start")
    return path


def upgrade(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    """From now on, stores have further schemas."""
    steps: Sequence[Migration] = (*migrations(), *more)
    for module in (migrate, file):
        monkeypatch.setattr(module, "migrations", lambda: steps)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def test_an_upgrade_leaves_the_store_as_it_was_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        upgrade(patch, NEXT)
        with closing(SqliteStore(path)) as store:
            assert projected(store, RUN) == rebuilt(store, RUN)
        assert version(path) == NEWEST + 1
    (backup,) = backups(path)
    assert backup.name.startswith(f"state.db.v{NEWEST}-20")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(path.parent.iterdir()) == [path, backup]
    backup.replace(path)
    with closing(SqliteStore(path)) as store:
        assert projected(store, RUN) == rebuilt(store, RUN)
    assert version(path) == NEWEST


def test_what_stands_in_the_log_only_is_in_it(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        Kept(store, planned("b"), run="second")
        assert path.with_name("state.db-wal").stat().st_size > 0
        with closing(SqliteStore(back_up(path, NEWEST))) as copy:
            assert projected(copy, "second") == projected(store, "second")


def test_a_new_store_has_none(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db").close()
    assert backups(tmp_path / "state.db") == []


def test_on_a_network(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_mounts", lambda: [("/", "nfs4")])
    upgrade(monkeypatch, NEXT)
    with closing(SqliteStore(path)) as store:
        assert projected(store, RUN) == rebuilt(store, RUN)
    assert [version(one) for one in (path, *backups(path))] == [NEWEST + 1, NEWEST]


def test_one_of_each_version_and_nothing_else_is_touched(path: Path) -> None:
    others = [path.with_name(name) for name in ("state.db.bak", "other.db.v1-20260101T000000Z.bak")]
    olds = [path.with_name(f"state.db.v{number}-20260101T000000Z.bak") for number in (1, 2, 11)]
    for one in (*others, *olds):
        one.write_bytes(b"x")
    made = back_up(path, 1)
    assert backups(path) == sorted([made, *olds[1:]])
    assert all(one.exists() for one in others)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")])
def test_no_room_for_it_is_no_upgrade(path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise error

    upgrade(monkeypatch, NEXT)
    monkeypatch.setattr("nbflow.store.backup._copy", fail)
    with pytest.raises(UnreachableError, match=f"has schema {NEWEST} and was not upgraded") as caught:
        SqliteStore(path)
    assert "make room" in str(caught.value.hint)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_an_upgrade_that_fails_keeps_the_backup_and_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(monkeypatch, Migration(NEWEST + 1, "9999_bad.sql", "DROP TABLE tasks; DROP TABLE no_such;"))
    with pytest.raises(UnreachableError, match="no such table: no_such"):
        SqliteStore(path)
    assert version(path) == NEWEST
    assert len(backups(path)) == 1
