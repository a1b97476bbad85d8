"""The store on a file beyond what every store does (`tests/conformance/test_store.py`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbflow.core import messages as msg
from nbflow.core.rows import LEASE_SECONDS, PoolUse
from nbflow.core.views import project
from nbflow.errors import ConflictError, UnreachableError
from nbflow.store.sqlite import SqliteStore
from support.build import RUN, planned
from support.engines import FakeClock
from support.stored import Kept, alive, begun, cells, projected, rebuilt

CANCEL = msg.Cancel(mode=msg.StopMode.CANCEL, by="me")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as made:
        yield made


def change(path: Path, statement: str) -> None:
    """Change a store from outside."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


class TestAFileThatIsMissing:
    def test_it_is_made_at_once(self, path: Path) -> None:
        SqliteStore(path).close()
        assert path.exists()

    def test_to_look_makes_nothing(self, path: Path) -> None:
        with closing(SqliteStore(path, create=False)) as store:
            assert store.runs() == store.task_rows(RUN) == store.take(RUN) == list(store.events(RUN)) == []
            assert store.run(RUN) is store.last_success("sales", "a") is None
            with pytest.raises(ConflictError, match="not in the store"):
                store.claim(RUN, "me", alive)
        assert list(path.parent.iterdir()) == []

    def test_the_first_run_makes_it(self, path: Path) -> None:
        with closing(SqliteStore(path, create=False)) as store, closing(SqliteStore(path, create=False)) as other:
            Kept(store, planned("a")).send("start")
            assert path.exists()
            assert [row.run for row in other.runs()] == [RUN]

    def test_one_that_is_no_good_is_refused_in_either_way(self, path: Path) -> None:
        path.touch()
        for create in (True, False):
            with pytest.raises(UnreachableError, match="the store is empty"):
                SqliteStore(path, create=create)


class TestWholeOrNothing:
    @pytest.mark.parametrize("error", [OSError(5, "I/O error"), KeyboardInterrupt(), TypeError("no JSON form")])
    def test_events_without_their_projections_are_not_kept(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        run = Kept(store, planned("a"), planned("b"))
        before = store.run(RUN), list(store.events(RUN)), store.task_rows(RUN)

        def fail(_: object) -> Any:
            raise error

        events, projection = run.batch("start")
        with monkeypatch.context() as patch:
            patch.setattr("nbflow.store.sql.task_values", fail)
            with pytest.raises(UnreachableError if isinstance(error, OSError) else type(error)):
                store.append(events, projection, run.fence)
        assert (store.run(RUN), list(store.events(RUN)), store.task_rows(RUN)) == before
        store.append(events, projection, run.fence)
        assert projected(store, RUN) == rebuilt(store, RUN)

    def test_a_run_that_cannot_be_made_is_not_there(self, store: SqliteStore) -> None:
        history, state = begun(planned("a"))
        projection = project(state)
        broken = replace(projection, tasks={0: {**projection.tasks[0], "params": {1, 2}}})
        with pytest.raises(TypeError, match="set has no JSON form"):
            store.create(history, broken)
        assert store.runs() == []
        store.create(history, projection)

    def test_an_append_is_one_transaction_and_reads_nothing(self, store: SqliteStore) -> None:
        run = Kept(store, planned("a"), planned("b", "a"))
        run.send("start")
        events, projection = run.batch("succeeded a/1")
        seen: list[str] = []
        store._database._ready.set_trace_callback(seen.append)
        store.append(events, projection, run.fence)
        words = [text.split()[0].strip(";") for text in seen]
        assert words == ["BEGIN", "UPDATE", *["INSERT"] * len(events), *["UPDATE"] * 2, "COMMIT"]


class TestOthers:
    @pytest.fixture
    def busy(self, path: Path) -> Iterator[SqliteStore]:
        """A store, with one run, that another process is writing to."""
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a")).send("start")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with closing(SqliteStore(path, busy_seconds=0.0)) as store:
                yield store

    def test_reading_and_asking_for_requests_wait_for_nobody(self, busy: SqliteStore) -> None:
        assert [row.run for row in busy.runs()] == [RUN]
        assert len(list(busy.events(RUN))) == 4
        assert busy.take(RUN) == []

    @pytest.mark.parametrize(
        "write",
        [
            lambda store: store.claim(RUN, "other", lambda _: False),
            lambda store: store.release(RUN, 1),
            lambda store: store.post(RUN, CANCEL),
            lambda store: store.create(*_another()),
        ],
    )
    def test_writing_ends_in_a_named_error(self, busy: SqliteStore, write: Callable[[SqliteStore], object]) -> None:
        with pytest.raises(UnreachableError, match="locked") as caught:
            write(busy)
        assert caught.value.exit_code == 6

    def test_a_run_that_goes_away_before_a_request_comes(self, path: Path, store: SqliteStore) -> None:
        Kept(store, planned("a"))
        change(path, "PRAGMA foreign_keys = OFF")
        change(path, "DELETE FROM runs")
        with pytest.raises(ConflictError, match="not in the store"):
            store.post(RUN, CANCEL)
        run_events, projection = cells(begun(planned("a"))[1], 1)
        with pytest.raises(ConflictError, match="not in the store"):
            store.append(run_events, projection, 1)


def _another() -> tuple[Any, Any]:
    history, state = begun(planned("a"), run="another")
    return history, project(state)


class TestWhatCannotBeRead:
    """A newer nbflow may have written it, or the disk may have changed it."""

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            ("UPDATE events SET type = 'task_paused' WHERE seq = 2", "task_paused"),
            ("UPDATE events SET body = '{\"cut' WHERE seq = 2", "JSONDecodeError"),
            ("UPDATE events SET body = '{}' WHERE seq = 2", "owner"),
            ("UPDATE events SET body = '[]' WHERE seq = 2", "list"),
            ("UPDATE events SET at = 'noon' WHERE seq = 2", "noon"),
        ],
    )
    def test_an_event(self, path: Path, store: SqliteStore, statement: str, words: str) -> None:
        Kept(store, planned("a")).send("start")
        change(path, statement)
        with pytest.raises(UnreachableError, match=words) as caught:
            list(store.events(RUN))
        assert str(path) in caught.value.message
        assert "upgrade nbflow" in str(caught.value.hint)

    def test_a_row(self, path: Path, store: SqliteStore) -> None:
        Kept(store, planned("a")).send("start")
        change(path, "UPDATE runs SET document = ''")
        change(path, "DROP INDEX IF EXISTS tasks_by_origin")  # SQLite would refuse what is no JSON; a disk asks nobody
        change(path, "UPDATE tasks SET document = '{'")
        for look in (store.runs, lambda: store.run(RUN), lambda: store.task_rows(RUN)):
            with pytest.raises(UnreachableError, match="holds something that this nbflow cannot read"):
                look()

    def test_a_request_is_kept_for_one_who_can_read_it(self, path: Path, store: SqliteStore) -> None:
        Kept(store, planned("a"))
        store.post(RUN, CANCEL)
        change(path, 'UPDATE inbox SET body = \'{"mode":"pause","by":"x"}\'')
        with pytest.raises(UnreachableError, match="pause"):
            store.take(RUN)
        change(path, 'UPDATE inbox SET body = \'{"mode":"cancel","by":"x"}\'')
        assert [request.by for request in store.take(RUN)] == ["x"]


@pytest.mark.parametrize(("seconds", "is_free"), [(-LEASE_SECONDS + 1, False), (-LEASE_SECONDS - 1, True)])
def test_a_sign_of_life_from_the_future_is_none_once_it_is_further_off_than_a_lease(
    path: Path, seconds: float, is_free: bool
) -> None:
    """The clock on the wall was put back: until it has caught up, nobody could have what a dead owner held."""
    clock = FakeClock()
    with closing(SqliteStore(path, now=clock.wall)) as store:
        run = Kept(store, planned("a"), owner="elsewhere:1:1")
        events, projection = run.batch("start")
        store.append(events, replace(projection, pools=(PoolUse(run=RUN, pool="db", held=1),)), run.fence)
        clock.put_wall(seconds)
        rows = [store.run(RUN), *store.runs(), *store.runs(pipeline="sales"), *store.going(), *store.pools()]
        assert [row is not None and row.lapsed for row in rows] == [is_free] * 5
        store.renew(RUN, run.fence)
        assert not store.going()[0].lapsed


def test_use_after_close_is_named(store: SqliteStore) -> None:
    run = Kept(store, planned("a"))
    reading = store.events(RUN)
    store.close()
    events, projection = run.batch("start")
    for use in (
        lambda: store.append(events, projection, run.fence),
        lambda: store.release(RUN, run.fence),
        store.runs,
        lambda: next(reading),
    ):
        with pytest.raises(UnreachableError, match="it has been closed"):
            use()


def test_what_one_store_keeps_another_sees(path: Path, store: SqliteStore) -> None:
    with closing(SqliteStore(path)) as other:
        run = Kept(store, planned("a"))
        run.send("start")
        assert list(other.events(RUN)) == run.history
        other.post(RUN, CANCEL)
        assert store.take(RUN) == [CANCEL]
        assert other.take(RUN) == []
        with pytest.raises(ConflictError, match="owned by engine"):
            other.claim(RUN, "other", alive)
