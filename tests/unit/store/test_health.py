"""A deep look at a file: what is whole, what is damaged, who uses it. Nothing is changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nbflow.errors import UnreachableError
from nbflow.store import places
from nbflow.store.health import look
from nbflow.store.migrate import migrations
from nbflow.store.sql import statements
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.earlier import make_earlier
from support.stored import Kept, cells

HOLD = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(SqliteStore(path)) as store:
        run = Kept(store, planned("a"))
        store.append(*cells(run.state, 300, "x" * 100), run.fence)
    return path


def test_one_that_is_whole(path: Path) -> None:
    before = path.read_bytes()
    health = look(path)
    assert (health.version, health.newest) == (len(migrations()),) * 2
    assert (health.journal, health.runs, health.faults, health.is_written) == ("wal", 1, (), False)
    assert (health.size, health.log, health.free) == (len(before), 0, 0)
    assert (health.users, health.backups) == ((), ())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["ext4", "nfs4"])
def test_damaged_pages(path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(places, "_mounts", lambda: [("/", kind)])
    with path.open("r+b") as file:
        file.seek(4096 * 10)
        file.write(b"\xa5" * 4096 * 3)
    before = path.read_bytes()
    assert look(path).faults
    assert path.read_bytes() == before


def test_rows_without_what_they_refer_to(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM runs")
    assert look(path).faults == ("302 rows refer to rows that are not there",)


@pytest.mark.parametrize("table", ["pools", "runs"])
def test_a_table_that_is_not_there(path: Path, table: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"DROP TABLE {table}")
    assert f"the table {table} is missing" in look(path).faults


def test_an_older_one_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    make_earlier(path)
    for _ in range(2):
        assert (look(path).version, look(path).faults) == (1, ())


def test_who_has_it_and_writes(path: Path) -> None:
    program = f"{HOLD} print('ready', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        health = look(path)
        other.communicate("\n", timeout=60)
    assert health.is_written
    assert [one.partition(" (")[0] for one in health.users] == [f"process {other.pid}"]
    assert not look(path).is_written


def test_space_that_is_not_used(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM runs")
    assert look(path).free > 20_000


@pytest.mark.parametrize("step", ["read_version", "use_alone"])
def test_where_it_cannot_even_be_used_alone_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """SQLite's words for a disk that has no file left are played by a class; `tests/faults` has a real one."""
    made: list[Refusing] = []

    class Refused(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_CANTOPEN

    class Refusing(sqlite3.Connection):
        is_closed = False

        def __init__(self, name: str, *arguments: Any, **more: Any) -> None:
            super().__init__(name, *arguments, **more)
            self._refuses = "mode=rw" in name
            made.append(self)

        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            if self._refuses and arguments[0] == statements()[step]:
                raise Refused("unable to open database file")
            return super().execute(*arguments)

        def close(self) -> None:
            self.is_closed = True
            super().close()

    connect = partial(sqlite3.connect, factory=Refusing)
    monkeypatch.setattr("nbflow.store.file.sqlite3.connect", connect)
    monkeypatch.setattr("nbflow.store.access.is_full", lambda _: True)
    if step == "use_alone":
        monkeypatch.setattr(places, "_mounts", lambda: [("/", "nfs4")])
    health = look(path)
    assert (health.runs, health.faults, health.is_written) == (1, (), False)
    assert [one.is_closed for one in made] == [True] * len(made)
    assert len(made) > 1


def test_no_connection_is_left_where_it_is_no_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[sqlite3.Connection] = []

    def connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
        made.append(original(*arguments, **more))
        return made[-1]

    original = sqlite3.connect
    monkeypatch.setattr("nbflow.store.file.sqlite3.connect", connect)
    path.write_bytes(os.urandom(5000))
    with pytest.raises(UnreachableError, match="cannot be read: file is not a database"):
        look(path)
    (connection,) = made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_what_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(os.urandom(5000))
    with pytest.raises(UnreachableError, match="cannot be read: file is not a database"):
        look(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (id)")
    with pytest.raises(UnreachableError, match="no store of nbflow"):
        look(path)
