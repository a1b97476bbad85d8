"""Taking runs out of a PostgreSQL store, beyond what every store does (`tests/conformance/test_removals.py`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from nbflow.core.ports import Batch
from nbflow.core.rows import PoolUse, Removed
from nbflow.errors import ConflictError
from nbflow.store.postgres import failures
from nbflow.store.postgres.store import PostgresStore
from support.build import RUN, planned
from support.postgres import schema, server
from support.stored import Kept, alive
from support.waiting import until
from support.wire import Break, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(server().folder) as made:
        yield made


@pytest.fixture
def place() -> str:
    return schema()


@pytest.fixture
def store(wire: Wire, place: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(server().url(place, folder=wire.folder), patience=20.0)) as made:
        yield made


@pytest.fixture
def other(store: PostgresStore, place: str) -> Iterator[PostgresStore]:
    """Somebody else's."""
    with closing(PostgresStore(server().url(place))) as made:
        yield made


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> list[psycopg.Error]:
    """What goes wrong with calls, also where they are made again."""
    met: list[psycopg.Error] = []
    judge = failures.kind

    def note(error: psycopg.Error, **more: bool) -> failures.Kind:
        met.append(error)
        return judge(error, **more)

    monkeypatch.setattr(failures, "kind", note)
    return met


def waiting() -> int:
    """How many wait for a lock."""
    return int(str(server().run("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0]))


class TestRunsThatGoOnMeanwhile:
    """Whoever needs several tables takes them in one order, so that none of two waits for the other."""

    def test_one_that_gets_slots(self, store: PostgresStore, other: PostgresStore, failed: list[psycopg.Error]) -> None:
        old, run = Kept(other, planned("a"), run="old"), Kept(store, planned("a"))
        removal = threading.Thread(target=other.removals.remove, args=("old", old.fence))
        decided: list[int] = []

        def decide(_: Sequence[PoolUse]) -> Batch:
            removal.start()
            until(waiting)
            decided.append(1)
            events, projection = run.batch("start")
            return events, replace(projection, pools=(PoolUse(run=RUN, pool="db", held=1),))

        store.append_pooled(RUN, decide, run.fence)
        removal.join(30)
        assert (decided, failed) == ([1], [])
        assert [row.run for row in store.runs()] == [RUN]

    def test_one_that_gets_none(
        self, store: PostgresStore, other: PostgresStore, place: str, failed: list[psycopg.Error]
    ) -> None:
        old, run = Kept(other, planned("a"), run="old"), Kept(store, planned("a"))
        appends = threading.Thread(target=run.send, args=("start",))
        removal = threading.Thread(target=other.removals.remove, args=("old", old.fence))
        with psycopg.connect(server().url(place)) as third:
            third.execute(b"LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            appends.start()
            until(lambda: waiting() == 1)
            removal.start()
            until(lambda: waiting() == 2)
        appends.join(30)
        removal.join(30)
        assert failed == []
        assert [(row.run, row.seq) for row in store.runs()] == [(RUN, run.state.seq)]


@pytest.mark.parametrize("at", ["LOCK TABLE", "DELETE FROM runs", "COMMIT"])
@pytest.mark.parametrize("how", [Break.BEFORE, Break.AFTER])
def test_it_is_removed_once_wherever_the_connection_breaks(
    wire: Wire, store: PostgresStore, at: str, how: Break
) -> None:
    run = Kept(store, planned("a"))
    wire.break_at(at, how)
    store.removals.remove(RUN, run.fence)
    assert wire.broken == 1
    assert store.runs() == []
    assert store.removals.removed() == [Removed(run=RUN, pipeline="sales")]
    with pytest.raises(ConflictError, match="not in the store"):
        store.removals.remove(RUN, run.fence)


def test_nobody_takes_results_over_meanwhile(store: PostgresStore, place: str) -> None:
    """A run that is being made waits for the removal, and the removal for it."""
    run = Kept(store, planned("a"))
    with psycopg.connect(server().url(place)) as taker:
        taker.execute(
            b"INSERT INTO runs (run, pipeline, state, created, seq, document) VALUES ('x', 'p', 's', '', 1, '')"
        )
        taker.execute(b"INSERT INTO tasks VALUES ('x', 0, 'a', 'reused', '{}', NULL, %s)", [RUN])
        failed: list[ConflictError] = []

        def remove() -> None:
            try:
                store.removals.remove(RUN, run.fence)
            except ConflictError as error:
                failed.append(error)

        thread = threading.Thread(target=remove)
        thread.start()
        until(lambda: server().run("SELECT 1 FROM pg_locks WHERE NOT granted"))
        taker.commit()
        thread.join(20)
    assert "run x has taken results" in str(failed[0])
    assert store.claim(RUN, "me", lambda _: False) == run.fence + 1


def test_nothing_is_removed_where_there_is_no_schema() -> None:
    with closing(PostgresStore(server().url(schema()), create=False)) as store:
        assert store.removals.removed() == store.removals.references() == []
        assert store.removals.newest_success("sales", "a") is None
        assert store.removals.compact() == 0
        with pytest.raises(ConflictError):
            store.claim(RUN, "me", alive)
