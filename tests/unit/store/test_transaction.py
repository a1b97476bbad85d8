"""Transactions: all or nothing, patient with others, and never hiding the first error behind a second."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.store import hurry as hurries
from nbflow.store.transaction import patiently, transaction
from support.waiting import allowed

Connect = Callable[[], sqlite3.Connection]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        path = tmp_path / "some.db"
        made.append(sqlite3.connect(path, isolation_level=None, timeout=0.01, check_same_thread=False))
        made[-1].execute("PRAGMA journal_mode = WAL")
        made[-1].execute("CREATE TABLE IF NOT EXISTS t (a)")
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    return found


def fail(connection: sqlite3.Connection, statement: str, error: BaseException) -> None:
    with transaction(connection, 1.0):
        connection.execute(statement)
        raise error


def close_within(connection: sqlite3.Connection, error: BaseException) -> None:
    with transaction(connection, 1.0):
        connection.close()
        raise error


class TestTransaction:
    def test_it_is_seen_by_others_at_its_end(self, connect: Connect) -> None:
        one, two = connect(), connect()
        with transaction(one, 1.0):
            one.execute("INSERT INTO t VALUES (1)")
            assert count(two) == 0
        assert count(two) == 1

    @pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
    def test_an_error_undoes_it(self, connect: Connect, error: BaseException) -> None:
        one = connect()
        with pytest.raises(type(error)):
            fail(one, "INSERT INTO t VALUES (1)", error)
        assert not one.in_transaction
        assert count(one) == 0

    def test_an_interrupt_right_after_its_beginning_leaves_nothing_open(self, connect: Connect) -> None:
        class Interrupted(sqlite3.Connection):
            def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
                done = super().execute(statement, *values)  # type: ignore[arg-type]
                if statement.startswith("BEGIN"):
                    raise KeyboardInterrupt
                return done

        with closing(sqlite3.connect(":memory:", isolation_level=None, factory=Interrupted)) as one:
            with pytest.raises(KeyboardInterrupt), transaction(one, 1.0):
                raise AssertionError("it has not begun")
            assert not one.in_transaction

    def test_where_sqlite_has_undone_it_already_the_first_error_stays(self, connect: Connect) -> None:
        one = connect()
        one.execute("PRAGMA max_page_count = 4")
        with pytest.raises(sqlite3.OperationalError, match="full"), transaction(one, 1.0):
            one.execute("INSERT INTO t VALUES (zeroblob(100000))")
        with pytest.raises(ValueError, match="first") as caught:
            fail(one, "ROLLBACK", ValueError("first"))
        assert not hasattr(caught.value, "__notes__")

    def test_a_commit_that_fails_undoes_it(self, connect: Connect) -> None:
        one = connect()
        one.execute("PRAGMA foreign_keys = ON")
        one.execute("CREATE TABLE p (a PRIMARY KEY)")
        one.execute("CREATE TABLE c (a REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
        with pytest.raises(sqlite3.IntegrityError), transaction(one, 1.0):
            one.execute("INSERT INTO c VALUES (1)")
        assert not one.in_transaction

    def test_a_rollback_that_fails_is_a_note_on_the_first_error(self, connect: Connect) -> None:
        first = ValueError("first")
        with pytest.raises(ValueError, match="first") as caught:
            close_within(connect(), first)
        assert caught.value.__notes__ == ["rolling back failed too: Cannot operate on a closed database."]


class TestPatiently:
    def test_it_waits_for_another_writer(self, connect: Connect) -> None:
        one, two = connect(), connect()
        one.execute("BEGIN IMMEDIATE")
        waiting = threading.Event()
        two.set_trace_callback(lambda _: waiting.set())

        def let_go() -> None:
            waiting.wait()
            one.execute("COMMIT")

        thread = threading.Thread(target=let_go)
        thread.start()
        with transaction(two, 30.0):
            two.execute("INSERT INTO t VALUES (1)")
        thread.join()
        assert count(one) == 1

    def test_its_patience_ends(self, connect: Connect) -> None:
        one, two = connect(), connect()
        one.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"), transaction(two, 0.2):
            raise AssertionError("it has not begun")
        assert time.monotonic() - began >= 0.2
        assert not two.in_transaction

    def test_whoever_wants_to_stop_waits_no_more(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hurries, "BUSY_SECONDS", 0.2)
        one, two, hurry = connect(), connect(), hurries.Hurry()
        one.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        threading.Timer(0.2, hurry.begin).start()
        with pytest.raises(sqlite3.OperationalError, match="locked"), transaction(two, 60.0, hurry):
            raise AssertionError("it has not begun")
        assert time.monotonic() - began < allowed(3)

    def test_other_errors_are_not_waited_out(self, connect: Connect) -> None:
        one = connect()
        calls = []

        def call() -> None:
            calls.append(1)
            one.execute("SELECT * FROM missing")

        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            patiently(call, 60.0)
        assert len(calls) == 1

    def test_it_gives_what_the_call_gives(self) -> None:
        assert patiently(lambda: 7, 0.0) == 7


def test_those_who_wait_do_not_ask_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbflow.store import transaction as module

    naps: list[float] = []
    monkeypatch.setattr(module.time, "sleep", naps.append)

    def locked() -> None:
        if len(naps) < 50:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

    patiently(locked, 60.0)
    assert len(set(naps)) > 10
    assert all(0 < nap <= module.PAUSE_SECONDS for nap in naps)
