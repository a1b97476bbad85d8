"""The store on PostgreSQL beyond what every store does (`tests/conformance/test_store.py`).

Mostly: what a change comes to when the connection breaks at it, seen or unseen by the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from nbflow.core import messages as msg
from nbflow.core.pools import Overtaken
from nbflow.core.rows import PoolUse
from nbflow.core.state import RunState, fold
from nbflow.core.views import project
from nbflow.errors import ConflictError, UnreachableError
from nbflow.store.postgres.store import PostgresStore
from support.build import NOON, RUN, planned
from support.postgres import schema, server
from support.stored import Kept, alive, begun, cells, dead, projected, rebuilt
from support.wire import Break, Wire

BREAKS = (Break.BEFORE, Break.AFTER, Break.LATE)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(server().folder) as made:
        yield made


@pytest.fixture
def place() -> str:
    return schema()


@pytest.fixture
def store(wire: Wire, place: str) -> Iterator[PostgresStore]:
    """One whose connection a test may break."""
    with closing(PostgresStore(server().url(place, folder=wire.folder), patience=20.0)) as made:
        yield made


@pytest.fixture
def other(store: PostgresStore, place: str) -> Iterator[PostgresStore]:
    """Somebody else's, with a connection that holds."""
    with closing(PostgresStore(server().url(place))) as made:
        yield made


def cancel(by: str) -> msg.Cancel:
    return msg.Cancel(mode=msg.StopMode.CANCEL, by=by)


def use(run: str, held: int, pool: str = "db") -> PoolUse:
    return PoolUse(run=run, pool=pool, held=held)


class TestASchemaThatIsMissing:
    def test_to_look_makes_nothing(self) -> None:
        name = schema()
        with closing(PostgresStore(server().url(name), create=False)) as store:
            assert store.runs() == store.going() == store.pools() == store.task_rows(RUN) == store.take(RUN) == []
            assert store.run(RUN) is store.last_success("sales", "a") is None
            assert list(store.events(RUN)) == []
            with pytest.raises(ConflictError, match="not in the store"):
                store.claim(RUN, "me", alive)
            with pytest.raises(ConflictError, match="not in the store"):
                store.post(RUN, cancel("me"))
        assert server().run(f"SELECT to_regnamespace('{name}')") == [(None,)]

    def test_the_first_run_makes_it_for_those_who_look_already(self) -> None:
        url = server().url(schema())
        with closing(PostgresStore(url, create=False)) as store, closing(PostgresStore(url, create=False)) as looks:
            assert looks.runs() == []
            Kept(store, planned("a")).send("start")
            assert [row.run for row in looks.runs()] == [RUN]

    def test_it_is_called_nbflow_where_the_url_says_nothing(self) -> None:
        server().run("CREATE DATABASE plain")
        url = f"postgresql://postgres@/plain?host={server().folder}"
        with closing(PostgresStore(url)) as store:
            assert store.describe().endswith(", schema nbflow")
            Kept(store, planned("a"))
        with closing(PostgresStore(url + "&options=-csearch_path%3Dnbflow")) as store:
            assert [row.run for row in store.runs()] == [RUN]


@pytest.mark.parametrize("how", BREAKS)
class TestALostConnection:
    """Each change is made once, whether the server saw it before the connection broke, did not, or sees it later."""

    def test_create(self, wire: Wire, store: PostgresStore, how: Break) -> None:
        history, state = begun(planned("a"))
        wire.break_at("INSERT INTO runs", how)
        store.create(history, project(state))
        wire.deliver()
        assert list(store.events(RUN)) == history
        with pytest.raises(ConflictError, match="exists already"):
            store.create(history, project(state))
        assert wire.broken == 1

    def test_create_where_somebody_else_did(
        self, wire: Wire, store: PostgresStore, other: PostgresStore, how: Break
    ) -> None:
        history, state = begun(planned("a"))
        theirs, their_state = begun(planned("a"), params={"by": "them"})
        other.create(theirs, project(their_state))
        wire.break_at("INSERT INTO runs", how)
        with pytest.raises(ConflictError, match="exists already"):
            store.create(history, project(state))
        wire.deliver()
        assert list(store.events(RUN)) == theirs

    def test_claim(self, wire: Wire, store: PostgresStore, how: Break) -> None:
        history, state = begun(planned("a"))
        store.create(history, project(state))
        wire.break_at("UPDATE runs SET owner", how)
        fence = store.claim(RUN, "me", alive)
        wire.deliver()
        row = store.run(RUN)
        assert row is not None
        assert (row.owner, row.fence) == ("me", fence)
        store.append(*cells(state, 1), fence)

    def test_claim_that_another_one_gets(
        self, wire: Wire, store: PostgresStore, other: PostgresStore, how: Break
    ) -> None:
        Kept(other, planned("a"), owner="old")

        def lives(owner: str) -> bool:
            if owner == "old":
                other.claim(RUN, "quick", dead)
            return owner == "quick"

        wire.break_at("UPDATE runs SET owner", how)
        with pytest.raises(ConflictError, match="owned by quick"):
            store.claim(RUN, "slow", lives)
        wire.deliver()
        row = store.run(RUN)
        assert row is not None
        assert row.owner == "quick"

    def test_append(self, wire: Wire, store: PostgresStore, how: Break) -> None:
        run = Kept(store, planned("a"), planned("b", "a"))
        wire.break_at("UPDATE runs SET state", how)
        run.send("start")
        wire.deliver()
        run.send("succeeded a/1 n=1")
        assert list(store.events(RUN)) == run.history
        assert projected(store, RUN) == rebuilt(store, RUN)
        assert wire.broken == 1

    def test_append_again_and_again(self, wire: Wire, store: PostgresStore, how: Break) -> None:
        run = Kept(store, planned("a"))
        wire.break_at("UPDATE runs SET state", how, Break.BEFORE, how)
        run.send("start")
        wire.deliver()
        assert list(store.events(RUN)) == run.history
        assert wire.broken in {2, 3}, "what has been carried out unseen is found at the second try"

    def test_append_by_one_who_has_been_succeeded(
        self, wire: Wire, store: PostgresStore, other: PostgresStore, how: Break
    ) -> None:
        run = Kept(store, planned("a"), owner="old")
        events, projection = run.batch("start")
        other.claim(RUN, "new", dead)
        wire.break_at("UPDATE runs SET state", how)
        with pytest.raises(ConflictError, match="taken over by new"):
            store.append(events, projection, run.fence)
        wire.deliver()
        assert list(store.events(RUN)) == run.history

    def test_append_where_the_successor_keeps_the_very_same(
        self, wire: Wire, store: PostgresStore, other: PostgresStore, how: Break
    ) -> None:
        """The same event at the same place, but under another fence, is not ours."""
        run = Kept(store, planned("a"), owner="old")
        events, projection = run.batch("start")
        other.append(events, projection, other.claim(RUN, "new", dead))
        wire.break_at("UPDATE runs SET state", how)
        with pytest.raises(ConflictError, match="taken over by new"):
            store.append(events, projection, run.fence)

    def test_renew_and_release(self, wire: Wire, store: PostgresStore, how: Break) -> None:
        run = Kept(store, planned("a"))
        wire.break_at("UPDATE runs SET heartbeat", how)
        store.renew(RUN, run.fence)
        wire.break_at("UPDATE runs SET owner", how)
        store.release(RUN, run.fence)
        wire.deliver()
        row = store.run(RUN)
        assert row is not None
        assert (row.owner, row.fence) == (None, run.fence)

    def test_post_and_take(self, wire: Wire, store: PostgresStore, how: Break) -> None:
        Kept(store, planned("a"))
        wire.break_at("INSERT INTO inbox", how)
        store.post(RUN, cancel("one"))
        store.post(RUN, cancel("two"))
        wire.deliver()
        wire.break_at("UPDATE inbox", how)
        assert [request.by for request in store.take(RUN)] == ["one", "two"]
        wire.deliver()
        assert store.take(RUN) == []
        assert wire.broken == 2


class TestPools:
    def pooled(self, state: RunState, held: int, seen: list[Sequence[PoolUse]]) -> Callable[[Sequence[PoolUse]], Any]:
        """A decision to hold so many slots; `seen` is what each was made of."""

        def decide(pools: Sequence[PoolUse]) -> Any:
            seen.append(list(pools))
            events, projection = cells(state, 1)
            return events, replace(projection, pools=(use(state.run, held),))

        return decide

    @pytest.mark.parametrize(
        ("at", "how"),
        [(at, how) for at in ("LOCK TABLE", "FROM pools") for how in (Break.BEFORE, Break.AFTER)]
        + [("COMMIT", Break.AFTER)],
    )
    def test_what_is_decided_is_kept_once(self, wire: Wire, store: PostgresStore, at: str, how: Break) -> None:
        run = Kept(store, planned("a"))
        seen: list[Sequence[PoolUse]] = []
        wire.break_at(at, how)
        events = store.append_pooled(RUN, self.pooled(run.state, 2, seen), run.fence)
        assert len(seen) == 1
        assert list(store.events(RUN)) == [*run.history, *events]
        assert [(one.run, one.held) for one in store.pools()] == [(RUN, 2)]
        assert wire.broken == 1

    @pytest.mark.parametrize(
        ("at", "how"),
        [
            ("UPDATE runs SET state", Break.BEFORE),
            ("UPDATE runs SET state", Break.AFTER),
            ("COMMIT", Break.BEFORE),
        ],
    )
    def test_what_is_lost_before_its_commit_is_left_to_be_decided_again(
        self, wire: Wire, store: PostgresStore, other: PostgresStore, at: str, how: Break
    ) -> None:
        """Others may have got the slots: it is not kept after the fact, nor counted as kept."""
        theirs, run = Kept(other, planned("a"), run="theirs"), Kept(store, planned("a"))
        taken, projection = cells(theirs.state, 1)
        wire.break_at(at, how)
        wire.then = lambda: other.append(taken, replace(projection, pools=(use("theirs", 1),)), theirs.fence)
        seen: list[Sequence[PoolUse]] = []
        with pytest.raises(Overtaken):
            store.append_pooled(RUN, self.pooled(run.state, 1, seen), run.fence)
        assert list(store.events(RUN)) == run.history
        assert [(one.run, one.held) for one in store.pools()] == [("theirs", 1)]

        events = store.append_pooled(RUN, self.pooled(fold(store.events(RUN)), 1, seen), run.fence)
        assert [[(one.run, one.held) for one in each] for each in seen] == [[], [("theirs", 1)]]
        assert list(store.events(RUN)) == [*run.history, *events]
        assert wire.broken == 1

    def test_a_stale_fence_is_refused(self, store: PostgresStore) -> None:
        run = Kept(store, planned("a"))
        store.claim(RUN, "new", dead)
        with pytest.raises(ConflictError, match="taken over by new"):
            store.append_pooled(RUN, self.pooled(run.state, 1, []), run.fence)


class TestClock:
    def test_leases_are_measured_by_the_server(self, store: PostgresStore, place: str) -> None:
        Kept(store, planned("a"), owner="elsewhere:1:1")
        row = store.run(RUN)
        assert row is not None
        assert not row.lapsed, "a new lease has its time, whatever the run's own clock says"
        with pytest.raises(ConflictError, match="owned by process 1 on elsewhere"):
            store.claim(RUN, "me", lambda _: None)
        server().run(f"UPDATE {place}.runs SET heartbeat = clock_timestamp() - interval '61 s'")
        assert [row.lapsed for row in (*store.runs(), *store.going())] == [True, True]
        store.claim(RUN, "me", lambda _: None)

    def test_instants_are_text_that_no_zone_changes(self, store: PostgresStore, place: str) -> None:
        Kept(store, planned("a"))
        assert server().run(f"SELECT created FROM {place}.runs") == [("2026-01-31T12:00:00.000000+00:00",)]
        assert next(store.events(RUN)).at == NOON


def test_what_makes_no_sense_is_named(store: PostgresStore, place: str) -> None:
    Kept(store, planned("a"))
    server().run(f"UPDATE {place}.events SET body = '[]'; UPDATE {place}.runs SET document = '{{'")
    for ask in (lambda: store.run(RUN), lambda: list(store.events(RUN)), store.runs):
        with pytest.raises(UnreachableError, match="cannot read"):
            ask()


def test_a_run_is_wholly_removed(store: PostgresStore, place: str) -> None:
    run = Kept(store, planned("a"))
    events, projection = cells(run.state, 1)
    store.append(events, replace(projection, pools=(use(RUN, 1),)), run.fence)
    store.post(RUN, cancel("me"))
    server().run(f"DELETE FROM {place}.runs")
    for table in ("events", "tasks", "inbox", "pools"):
        assert server().run(f"SELECT count(*) FROM {place}.{table}") == [(0,)]
