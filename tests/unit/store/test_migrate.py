"""Migrations: all or none, in order, keeping data; newer stores are left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.errors import UnreachableError
from nbflow.store.migrate import Migration, migrate, migrations, split
from nbflow.store.sqlite import SqliteStore
from support.build import RUN, planned
from support.earlier import make_earlier
from support.stored import Kept, projected, rebuilt

NEWEST = len(migrations())
ADD = Migration(
    NEWEST + 1,
    f"{NEWEST + 1:04}_add.sql",
    f"ALTER TABLE runs ADD COLUMN note TEXT DEFAULT 'none';\nPRAGMA user_version = {NEWEST + 1};",
)
REBUILD = Migration(
    NEWEST + 2,
    f"{NEWEST + 2:04}_rebuild.sql",
    f"""
    -- A table is made anew; a trigger; a text with ; in it.
    CREATE TABLE runs_new (run TEXT PRIMARY KEY NOT NULL, pipeline TEXT NOT NULL, state TEXT NOT NULL,
        created TEXT NOT NULL, seq INTEGER NOT NULL, document TEXT NOT NULL, owner TEXT,
        fence INTEGER NOT NULL DEFAULT 0, note TEXT);
    INSERT INTO runs_new SELECT run, pipeline, state, created, seq, document, owner, fence, 'a;b' FROM runs;
    DROP TABLE runs; ALTER TABLE runs_new RENAME TO runs;
    CREATE TABLE notes (run TEXT, note TEXT);
    CREATE TRIGGER keep AFTER UPDATE OF note ON runs BEGIN
        INSERT INTO notes VALUES (old.run, old.note);
        INSERT INTO notes VALUES (new.run, new.note);
    END;
    PRAGMA user_version = {NEWEST + 2};
    -- The end.
    """,
)
ORPHANS = REBUILD.script.replace(
    f"PRAGMA user_version = {NEWEST + 2}", f"DELETE FROM runs; PRAGMA user_version = {NEWEST + 1}"
)
STEPS = (*migrations(), ADD, REBUILD)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(sqlite3.connect(path, isolation_level=None, timeout=0.0))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [f"{version(connection)}", *connection.iterdump()]


class TestSplit:
    def test_semicolons_within_texts_comments_and_triggers(self) -> None:
        statements = list(split(REBUILD.script))
        assert [one.split()[0] for one in statements[1:]] == ["INSERT", "DROP", "ALTER", "CREATE", "CREATE", "PRAGMA"]
        assert statements[5].endswith("END;")

    def test_nothing(self) -> None:
        assert list(split("")) == list(split("\n -- only a remark; really\n")) == []

    def test_a_statement_without_an_end(self) -> None:
        with pytest.raises(ValueError, match="without its semicolon: DROP TABLE b"):
            list(split("DROP TABLE a; DROP TABLE b"))
        with pytest.raises(ValueError, match="without its semicolon"):
            list(split("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;"))


class TestMigrations:
    def test_they_are_numbered_without_gaps_and_set_their_number(self) -> None:
        assert [one.number for one in migrations()] == list(range(1, len(migrations()) + 1))
        for one in migrations():
            assert list(split(one.script))[-1] == f"PRAGMA user_version = {one.number};"

    def test_from_every_earlier_version_with_data(self, tmp_path: Path) -> None:
        newest = []
        for earlier in range(len(STEPS) + 1):
            with closing(sqlite3.connect(tmp_path / f"{earlier}.db", isolation_level=None)) as connection:
                for step in STEPS[:earlier]:
                    migrate(connection, "here", 1.0, STEPS[: step.number])
                migrate(connection, "here", 1.0, STEPS)
                assert version(connection) == NEWEST + 2
                newest.append(sorted(connection.execute("SELECT type, name, sql FROM sqlite_schema")))
        assert all(schema == newest[0] for schema in newest)

    @pytest.mark.parametrize("earlier", range(1, NEWEST))
    def test_a_store_of_each_version_is_opened_with_all_that_it_has(self, path: Path, earlier: int) -> None:
        kept = make_earlier(path, earlier)
        with closing(SqliteStore(path)) as store:
            assert projected(store, RUN) == rebuilt(store, RUN) == kept
            assert store.removals.references() == store.removals.removed() == []

    def test_a_store_of_the_first_version_is_opened_with_all_that_it_has(
        self, path: Path, connect: Callable[[], sqlite3.Connection]
    ) -> None:
        """A run of it that is going on has no sign of life: it counts as one as old as the run."""
        kept = make_earlier(path)
        old = connect()
        with closing(SqliteStore(path)) as store:
            assert version(old) == NEWEST
            row = store.run(RUN)
            assert row is not None
            assert (row.owner, row.fence, row.lapsed, row.state) == ("elsewhere:1:1", 1, True, "running")
            assert projected(store, RUN) == rebuilt(store, RUN) == kept
            assert [one.run for one in store.going()] == [RUN]
            assert store.claim(RUN, "me", lambda _: None) == 2
            assert store.pools() == []

    def test_an_nbflow_of_the_first_version_goes_on_while_a_newer_one_upgrades(
        self, path: Path, connect: Callable[[], sqlite3.Connection]
    ) -> None:
        """Columns and tables are only added: what an older engine writes still fits."""
        make_earlier(path)
        old = connect()
        SqliteStore(path).close()
        old.execute("UPDATE runs SET state = 'running', seq = 5, document = '{}' WHERE run = ? AND fence = 1", [RUN])
        old.execute(
            "INSERT INTO runs (run, pipeline, state, created, seq, document) VALUES ('b','c','d','2026',1,'{}')"
        )
        with closing(SqliteStore(path)) as store:
            assert [row.run for row in store.going()] == [RUN]

    def test_data_is_kept(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        with closing(SqliteStore(path)) as store:
            run = Kept(store, planned("a"))
            run.play("start", "succeeded a/1 n=1")
        connection = connect()
        migrate(connection, "here", 1.0, STEPS)
        assert connection.execute("SELECT run, note FROM runs").fetchall() == [(RUN, "a;b")]
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (run.state.seq,)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (1,)

    def test_a_store_at_the_newest_version_is_not_touched(
        self, path: Path, connect: Callable[[], sqlite3.Connection]
    ) -> None:
        connection = connect()
        migrate(connection, "here", 1.0, STEPS)
        before = path.read_bytes()
        holder = connect()
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("ROLLBACK")
        migrate(connection, "here", 0.0, STEPS)
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        ("script", "error", "words"),
        [
            ("DROP TABLE tasks; CREATE TABLE runs (a);", sqlite3.OperationalError, "already exists"),
            ("DROP TABLE tasks;", ValueError, f"bad.sql leads to version {NEWEST}, not {NEWEST + 1}"),
            ("DROP TABLE tasks; PRAGMA user_version = 99;", ValueError, f"leads to version 99, not {NEWEST + 1}"),
            ("DROP TABLE tasks; DROP TABLE", ValueError, "without its semicolon"),
            (ORPHANS, UnreachableError, "2 rows of the store"),
        ],
    )
    def test_one_that_fails_leaves_the_store_as_it_was(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        script: str,
        error: type[Exception],
        words: str,
    ) -> None:
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a"))
        before = dump(path)
        connection = connect()
        with pytest.raises(error, match=words):
            migrate(connection, "here", 1.0, [*migrations(), Migration(NEWEST + 1, "bad.sql", script)])
        assert not connection.in_transaction
        assert dump(path) == before
        with closing(SqliteStore(path)) as store:
            assert projected(store, RUN) == rebuilt(store, RUN)

    def test_rows_that_lost_what_they_refer_to_are_named(
        self, connect: Callable[[], sqlite3.Connection], path: Path
    ) -> None:
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a"))
        connection = connect()
        connection.execute("DELETE FROM runs")
        with pytest.raises(UnreachableError, match="here: 2 rows of the store refer to rows that are not there"):
            migrate(connection, "here", 1.0, STEPS)
        assert version(connection) == NEWEST


class TestNewer:
    def test_it_is_refused_and_not_touched(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        connection = connect()
        migrate(connection, "here", 1.0, STEPS)
        before = path.read_bytes()
        with pytest.raises(
            UnreachableError, match=f"here: the store has schema {NEWEST + 2}, .* up to {NEWEST}"
        ) as caught:
            migrate(connection, "here", 1.0)
        assert "upgrade nbflow" in str(caught.value.hint)
        assert path.read_bytes() == before

    def test_it_is_refused_where_it_became_newer_while_we_waited(
        self, connect: Callable[[], sqlite3.Connection]
    ) -> None:
        other, ours = connect(), connect()
        migrate(other, "here", 1.0, STEPS[:-2])
        before_the_lock = iter(["BEGIN IMMEDIATE;"])

        def overtake(statement: str) -> None:
            if statement == next(before_the_lock, None):
                migrate(other, "here", 1.0, STEPS)

        ours.set_trace_callback(lambda text: overtake(text) if text.startswith("BEGIN") else None)
        with pytest.raises(UnreachableError, match=f"schema {NEWEST + 2}, .* up to {NEWEST + 1}"):
            migrate(ours, "here", 1.0, STEPS[:-1])
        assert version(ours) == NEWEST + 2

    def test_two_at_once(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """The second finds the work done once it has the lock."""
        one, two = connect(), connect()
        migrate(one, "here", 1.0, STEPS[:-2])
        seen: list[str] = []
        two.set_trace_callback(seen.append)
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            migrate(two, "here", 0.0, STEPS)
        one.execute("ROLLBACK")
        migrate(one, "here", 1.0, STEPS)
        seen.clear()
        migrate(two, "here", 1.0, STEPS)
        assert not [text for text in seen if "CREATE" in text]


@pytest.mark.parametrize("version", [1, 2])
def test_one_damaged_task_does_not_take_the_history_away(path: Path, version: int) -> None:
    make_earlier(path, version)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE tasks SET document = '{\"a'")
    with closing(SqliteStore(path)) as store:
        assert [row.run for row in store.runs()] == [RUN]
        assert store.removals.references() == []
        with pytest.raises(UnreachableError, match="cannot read"):
            store.task_rows(RUN)
