"""One file for many threads: when it is opened, whom it waits for, and what its errors say."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbflow.errors import NoRoomError, UnreachableError
from nbflow.store import hurry
from nbflow.store.database import Database
from nbflow.store.file import open_file
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.stored import Kept, projected, rebuilt

RUN = {
    "run": "r",
    "pipeline": "p",
    "state": "queued",
    "created": "2026",
    "seq": 1,
    "document": "{}",
    "owner": None,
    "fence": 0,
    "now": None,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path, 5.0)) as made:
        made.open(create=True)
        yield made


def add(database: Database, run: str = "r") -> None:
    with database.transaction():
        database.run("create_run", {**RUN, "run": run})


def has(database: Database, run: str = "r") -> bool:
    return bool(database.rows("read_run", {"run": run, "expired": "", "ahead": ""}))


@contextmanager
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection that is writing."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


class TestOpening:
    def test_without_create_nothing_is_made_and_nothing_is_found(self, path: Path) -> None:
        with closing(Database(path, 1.0)) as database:
            assert database.open(create=False) is False
            assert not has(database)
            with pytest.raises(UnreachableError, match="there is no store yet"):
                add(database)
        assert list(path.parent.iterdir()) == []

    def test_a_file_that_is_gone_is_no_history_without_runs(self, path: Path) -> None:
        """Its log is there: to look is refused as to write is."""
        path.with_name("state.db-wal").write_bytes(b"what was written last")
        with (
            closing(Database(path, 1.0)) as database,
            pytest.raises(UnreachableError, match=r"the store is gone, and state\.db-wal beside it"),
        ):
            database.open(create=False)

    def test_a_file_that_somebody_makes_meanwhile_is_seen(self, path: Path) -> None:
        with closing(Database(path, 1.0)) as waiting, closing(Database(path, 1.0)) as other:
            assert not has(waiting)
            other.open(create=True)
            add(other)
            assert has(waiting)

    def test_a_relative_path_stays_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        with closing(Database(Path("state.db"), 1.0)) as database:
            database.open(create=True)
            monkeypatch.chdir(tmp_path / "elsewhere")
            add(database)
            assert has(database)


class TestIdentity:
    """SQLite would go on writing to a file that has lost its name."""

    def test_a_file_that_is_removed_takes_no_more(self, path: Path, database: Database) -> None:
        path.unlink()
        for use in (add, has):
            with pytest.raises(UnreachableError, match="the store was removed or replaced while it was in use"):
                use(database)

    def test_a_folder_that_is_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "outputs" / "state.db"
        with closing(Database(path, 1.0)) as database:
            database.open(create=True)
            path.parent.rename(tmp_path / "moved")
            with pytest.raises(UnreachableError, match="removed or replaced"):
                add(database)
            (tmp_path / "moved").rename(path.parent)
            add(database)

    def test_another_file_in_its_place(self, path: Path, database: Database) -> None:
        path.rename(path.with_name("old.db"))
        with closing(Database(path, 1.0)) as other:
            other.open(create=True)
        with pytest.raises(UnreachableError, match="removed or replaced"):
            add(database)


class TestClosing:
    def test_it_leaves_one_file(self, path: Path, database: Database) -> None:
        add(database)
        assert len(list(path.parent.iterdir())) == 3
        database.close()
        assert [entry.name for entry in path.parent.iterdir()] == ["state.db"]

    def test_twice_and_use_afterwards(self, database: Database) -> None:
        database.close()
        database.close()
        for use in (add, has, lambda one: one.open(create=True)):
            with pytest.raises(UnreachableError, match="the store cannot be used: it has been closed"):
                use(database)

    def test_a_forked_process_may_neither_use_nor_close_it(self, path: Path, database: Database) -> None:
        add(database)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                database.close()
                has(database)
            except RuntimeError as error:
                code = 0 if "forked off" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        add(database, "after")
        assert has(database, "after")
        assert path.with_name("state.db-wal").exists()


class TestOthers:
    def test_a_writer_is_waited_for(self, path: Path, database: Database) -> None:
        with writer(path) as other:
            timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
            timer.start()
            add(database)
            assert not other.in_transaction
            timer.join()
        assert has(database)

    def test_and_then_named(self, path: Path) -> None:
        with closing(Database(path, 0.2)) as database:
            database.open(create=True)
            with writer(path):
                with pytest.raises(UnreachableError, match="database is locked") as caught:
                    add(database)
                assert caught.value.hint == (
                    "another process has been writing to it for 0.2 s; look for it with: nbflow doctor"
                )
            add(database)

    def test_and_sooner_in_a_hurry(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hurry, "BUSY_SECONDS", 0.1)
        with closing(Database(path, 60.0)) as database:
            database.open(create=True)
            database.hurry.begin()
            with writer(path), pytest.raises(UnreachableError, match="database is locked") as caught:
                add(database)
            assert caught.value.hint == "another process is writing to it; look for it with: nbflow doctor"

    def test_what_could_not_be_kept_for_a_lock_is_kept_later(self, path: Path) -> None:
        """No change of state is lost: the engine has it still, and nothing of it is in the file."""
        with closing(SqliteStore(path, busy_seconds=0.2)) as store:
            run = Kept(store, planned("a"))
            batch = run.batch("start")
            with writer(path), pytest.raises(UnreachableError, match="database is locked"):
                store.append(*batch, run.fence)
            assert [one.seq for one in store.events(run.run)] == [1]
            store.append(*batch, run.fence)
            assert projected(store, run.run) == rebuilt(store, run.run)

    def test_reading_waits_for_no_writer(self, path: Path) -> None:
        with closing(Database(path, 0.0)) as database:
            database.open(create=True)
            add(database)
            with writer(path), closing(Database(path, 0.0)) as late:
                assert has(database)
                assert has(late)

    def test_a_thread_in_a_transaction_keeps_the_others_out(self, database: Database) -> None:
        inside, seen = threading.Event(), []

        def look() -> None:
            inside.wait()
            seen.append(has(database))

        thread = threading.Thread(target=look)
        thread.start()
        with database.transaction():
            database.run("create_run", RUN)
            inside.set()
            thread.join(0.1)
            assert seen == []
        thread.join()
        assert seen == [True]


class TestNoRoom:
    """SQLite's words for a full disk are played by a function; `tests/faults` has real ones."""

    @pytest.fixture
    def lonely(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
        """One whose disk has no room for the index of the log."""
        with closing(Database(path, 1.0)) as other:
            other.open(create=True)
            add(other)

        class Full(sqlite3.OperationalError):
            sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

        def opened(place: Path, seconds: float, **how: bool) -> sqlite3.Connection:
            if not how.get("alone"):
                raise Full("disk I/O error")
            return open_file(place, seconds, **how)

        monkeypatch.setattr("nbflow.store.database.open_file", opened)
        with closing(Database(path, 0.2)) as made:
            yield made

    def test_it_is_read_and_written_alone(self, lonely: Database) -> None:
        assert has(lonely)
        add(lonely, "late")
        assert has(lonely, "late")
        with lonely.transaction():
            lonely.run("create_run", {**RUN, "run": "within"})
            assert lonely.rows("read_run", {"run": "within", "expired": "", "ahead": ""}), "it is still open"

    def test_others_are_let_in_between(self, path: Path, lonely: Database) -> None:
        assert has(lonely)
        with closing(open_file(path, 0.0)) as other:
            other.execute("PRAGMA user_version").fetchone()
            with pytest.raises(UnreachableError, match="database is locked"):
                has(lonely)
        assert has(lonely)

    @pytest.mark.parametrize("full", [False, True])
    def test_others_are_not_locked_out_for_what_another_disk_would_not_help(
        self, path: Path, lonely: Database, monkeypatch: pytest.MonkeyPatch, full: bool
    ) -> None:
        """A process that has too many files open is told the same as one whose disk has no room for one more."""

        class Refused(sqlite3.OperationalError):
            sqlite_errorcode = sqlite3.SQLITE_CANTOPEN

        asked = []

        def opened(place: Path, seconds: float, **how: bool) -> sqlite3.Connection:
            asked.append(how.get("alone", False))
            if not how.get("alone"):
                raise Refused("unable to open database file")
            return open_file(place, seconds, **how)

        monkeypatch.setattr("nbflow.store.database.open_file", opened)
        monkeypatch.setattr("nbflow.store.access.is_full", lambda folder: full and folder == path.parent)
        if full:
            assert has(lonely)
            assert asked == [False, True]
        else:
            with pytest.raises(UnreachableError, match="unable to open database file"):
                has(lonely)
            assert asked == [False]

    def test_a_file_that_is_replaced_is_noticed(self, path: Path, lonely: Database) -> None:
        assert has(lonely)
        path.rename(path.with_name("other"))
        with pytest.raises(UnreachableError, match="removed or replaced"):
            has(lonely)

    def test_the_folder_is_named(self, path: Path, lonely: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full(sqlite3.OperationalError):
            sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

        def fail(*_: Any, **__: Any) -> Any:
            raise Full("disk I/O error")

        monkeypatch.setattr("nbflow.store.database.open_file", fail)
        with pytest.raises(UnreachableError, match="disk I/O error") as other:
            has(lonely)
        assert not isinstance(other.value, NoRoomError)
        monkeypatch.setattr("nbflow.store.database.is_full", lambda _: True)
        with pytest.raises(NoRoomError, match=rf"the disk of {path.parent} is full"):
            has(lonely)


class TestErrors:
    def test_a_full_file(self, database: Database) -> None:
        database._ready.execute("PRAGMA max_page_count = 20")
        with pytest.raises(UnreachableError, match=r"the store cannot be used: the disk of .* is full") as caught:
            add(database, "x" * 100_000)
        assert "make room" in str(caught.value.hint)
        assert [one.name for one in database.path.parent.iterdir()] == ["state.db"], "the log has given its room back"
        add(database)
        assert [one.name for one in database.path.parent.iterdir()] == ["state.db"]

    def test_pages_that_are_overwritten(self, path: Path, database: Database) -> None:
        for number in range(300):
            add(database, f"run-{number}")
        database.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (path.stat().st_size - 4096))
        with closing(Database(path, 1.0)) as damaged:
            with pytest.raises(UnreachableError, match="malformed") as caught:
                has(damaged, "run-7")
            assert "backup" in str(caught.value.hint)

    def test_pages_that_are_overwritten_while_it_is_used(self, path: Path, database: Database) -> None:
        for number in range(300):
            add(database, f"run-{number}")
        database.close()
        with closing(Database(path, 1.0)) as damaged:
            damaged.open(create=False)
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xa5" * (path.stat().st_size - 4096))
            before = path.read_bytes()
            with pytest.raises(UnreachableError, match="malformed") as caught:
                add(damaged, "late")
            assert "nbflow doctor" in str(caught.value.hint)
            for use in (add, has):
                with pytest.raises(UnreachableError, match=r"it was closed after an error: .*malformed"):
                    use(damaged)
        assert path.read_bytes() == before

    def test_a_table_that_is_missing(self, path: Path, database: Database) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE tasks")
        with pytest.raises(UnreachableError, match="no such table: tasks") as caught:
            database.rows("read_tasks", {"run": "r"})
        assert "backup" in str(caught.value.hint)

    def test_an_error_of_the_disk_closes_it(self, database: Database) -> None:
        """What SQLite says then is played by a function; `tests/faults` lets a real disk fail."""
        add(database)

        class Failing(sqlite3.OperationalError):
            sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

        def fail() -> None:
            with database.transaction():
                raise Failing("disk I/O error")

        with pytest.raises(UnreachableError, match="disk I/O error") as caught:
            fail()
        assert "works" in str(caught.value.hint)
        with pytest.raises(UnreachableError, match="it was closed after an error: disk I/O error"):
            has(database)
        database.close()

    @pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE])
    def test_a_full_disk_that_is_told_as_such_an_error_does_not(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        """So it is where a quota is used up, and where the index of the log cannot grow."""

        class Failing(sqlite3.OperationalError):
            sqlite_errorcode = code

        def fail() -> None:
            with database.transaction():
                database.run("create_run", RUN)
                raise Failing("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr("nbflow.store.database.is_full", lambda _: True)
            with pytest.raises(NoRoomError, match="is full"):
                fail()
            assert database._connection is None, "what is there is read anew"
        assert not has(database)
        add(database)
        assert has(database)

    def test_bugs_are_not_dressed_up(self, database: Database) -> None:
        add(database)
        with pytest.raises(sqlite3.IntegrityError):
            add(database)
        with pytest.raises(sqlite3.ProgrammingError):
            database.rows("read_run", {})
        with pytest.raises(KeyError):
            database.rows("no_such_statement", {})

    @pytest.mark.parametrize("value", ["\ud800", 2**70])
    def test_a_value_that_the_file_cannot_hold_is_in_no_row(self, database: Database, value: object) -> None:
        assert database.rows("read_run", {"run": value, "expired": "", "ahead": ""}) == []
