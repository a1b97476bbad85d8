"""What every store does, whatever it is made of: `ports.Store`, sentence by sentence.

PLACES names the adapters; each test here runs on all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import CellState, Outcome, Verdict
from nbflow.core.plan import Action
from nbflow.core.ports import Store
from nbflow.core.rows import LEASE_SECONDS, Past, PoolUse, Projection
from nbflow.core.state import fold
from nbflow.core.values import encode
from nbflow.core.views import project
from nbflow.errors import ConflictError
from nbflow.store.history import PAGE
from nbflow.store.memory import MemoryStore
from nbflow.store.postgres.store import PostgresStore
from nbflow.store.sqlite import SqliteStore
from support.build import NOON, RUN, after, planned
from support.engines import FakeClock
from support.postgres import schema, server
from support.stored import Kept, alive, begun, cells, dead, plain, projected, rebuilt, unknown
from support.strategies import instances

PLACES: dict[str, Callable[[Path, Callable[[], datetime]], Store]] = {
    "memory": lambda _, now: MemoryStore(now),
    "sqlite": lambda folder, now: SqliteStore(folder / "state.db", now=now),
    "postgres": lambda _, now: PostgresStore(server().url(schema()), now=now),
}
"""name -> a new store in a folder, with the clock of its leases."""

shared_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
"""Examples may share a store: each makes runs of its own."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    made = PLACES[request.param](tmp_path, clock.now)
    yield made
    made.close()


def cancel(by: str) -> msg.Cancel:
    return msg.Cancel(mode=msg.StopMode.CANCEL, by=by)


def everything(store: Store, run: str = RUN) -> tuple[Any, ...]:
    """All that a store says of a run."""
    return store.run(run), list(store.events(run)), store.task_rows(run)


def in_threads(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What `act` gives, or raises, in so many threads that begin together."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = act(place)
        except ConflictError as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class TestCreate:
    def test_a_run_is_there_with_its_first_event_and_its_projections(self, store: Store) -> None:
        history, state = begun(planned("a"), planned("b", "a"), params={"day": encode(NOON.date())})
        store.create(history, project(state))
        row = store.run(RUN)
        assert row is not None
        assert (row.run, row.pipeline, row.state, row.created) == (RUN, "sales", "queued", NOON)
        assert (row.seq, row.owner, row.fence) == (1, None, 0)
        assert row.document["params"] == {"day": "2026-01-31"}
        assert list(store.events(RUN)) == history
        assert [document["task"] for document in store.task_rows(RUN)] == ["a", "b"]

    def test_a_run_may_have_an_owner_from_its_first_moment(self, store: Store, clock: FakeClock) -> None:
        history, state = begun(planned("a"))
        fence = store.create(history, project(state), "host:12:345")
        row = store.run(RUN)
        assert row is not None
        assert (row.state, row.owner, row.fence, row.lapsed) == ("queued", "host:12:345", fence, False)
        assert store.going() == [row]
        with pytest.raises(ConflictError, match="owned by process 12 on host"):
            store.claim(RUN, "other", alive)
        clock.go_on(LEASE_SECONDS + 1)
        assert store.going()[0].lapsed
        store.append(*cells(state, 1), fence)
        assert store.claim(RUN, "other", dead) > fence

    def test_several_first_events(self, store: Store) -> None:
        history, state = begun(planned("a"))
        tail, projection = cells(state, 3)
        store.create([*history, *tail], projection)
        assert list(store.events(RUN)) == [*history, *tail]

    def test_an_id_that_exists_is_refused_and_the_first_run_stays(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        run.send("start")
        before = everything(store)
        history, state = begun(planned("x"), pipeline="other")
        with pytest.raises(ConflictError, match=f"run {RUN} exists already"):
            store.create(history, project(state))
        assert everything(store) == before

    def test_owner_and_fence_are_the_stores_own(self, store: Store) -> None:
        history, state = begun(planned("a"))
        store.create(history, replace(project(state), row=replace(project(state).row, owner="me", fence=7)))
        row = store.run(RUN)
        assert row is not None
        assert (row.owner, row.fence) == (None, 0)

    def test_events_that_do_not_belong_together_are_a_bug(self, store: Store) -> None:
        history, state = begun(planned("a"))
        row = project(state).row
        late = [replace(history[0], seq=3)]
        other = [replace(history[0], run="other")]
        ahead = replace(project(state), row=replace(row, seq=9))
        for events, projection in [
            ([], project(state)),
            ([*history, *late], project(state)),
            (other, project(state)),
            (history, ahead),
        ]:
            with pytest.raises(ValueError, match=r"event|projection"):
                store.create(events, projection)
        assert store.runs() == []


class TestClaim:
    def test_the_fence_rises_with_every_claim(self, store: Store) -> None:
        history, state = begun(planned("a"))
        store.create(history, project(state))
        fences = [store.claim(RUN, owner, dead) for owner in ("a", "b", "b", "a")]
        assert fences == sorted(set(fences))
        row = store.run(RUN)
        assert row is not None
        assert (row.owner, row.fence) == ("a", fences[-1])

    def test_one_who_lives_keeps_it_and_is_named(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="host:12:345")
        asked: list[str] = []

        def lives(owner: str) -> bool:
            asked.append(owner)
            return True

        with pytest.raises(ConflictError, match=r"owned by process 12 on host"):
            store.claim(RUN, "other", lives)
        assert asked == ["host:12:345"]
        run.send("start")

    def test_one_who_is_dead_loses_it(self, store: Store) -> None:
        Kept(store, planned("a"), owner="old")
        asked: list[str] = []
        store.claim(RUN, "new", lambda owner: bool(asked.append(owner)))
        row = store.run(RUN)
        assert row is not None
        assert (asked, row.owner) == (["old"], "new")

    def test_the_owner_may_claim_again_and_its_old_fence_is_stale(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="me")
        fence = store.claim(RUN, "me", alive)
        events, projection = run.batch("start")
        with pytest.raises(ConflictError, match="taken over by me"):
            store.append(events, projection, run.fence)
        store.append(events, projection, fence)

    def test_nobody_is_asked_after_where_there_is_no_owner(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        store.release(RUN, run.fence)

        def never(owner: str) -> bool:
            raise AssertionError(owner)

        assert store.claim(RUN, "next", never) > run.fence

    def test_a_run_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(ConflictError, match="run nothing is not in the store"):
            store.claim("nothing", "me", dead)

    def test_the_question_may_use_the_store(self, store: Store) -> None:
        Kept(store, planned("a"), owner="old")
        asked: list[tuple[str, int]] = []

        def lives(owner: str) -> bool:
            asked.append((owner, len(store.runs())))
            return False

        store.claim(RUN, "new", lives)
        assert asked == [("old", 1)]

    def test_a_claim_that_comes_in_between_wins(self, store: Store) -> None:
        Kept(store, planned("a"), owner="old")

        def lives(owner: str) -> bool:
            if owner == "old":
                store.claim(RUN, "quick", dead)
            return owner == "quick"

        with pytest.raises(ConflictError, match="owned by quick"):
            store.claim(RUN, "slow", lives)

    def test_of_many_at_once_one_wins(self, store: Store) -> None:
        for turn in range(5):
            history, state = begun(planned("a"), run=f"run-{turn}")
            store.create(history, project(state))
            results = in_threads(8, lambda place, turn=turn: store.claim(f"run-{turn}", f"owner {place}", alive))
            won = [place for place, result in enumerate(results) if isinstance(result, int)]
            row = store.run(f"run-{turn}")
            assert row is not None
            assert [row.owner] == [f"owner {place}" for place in won]
            assert all(f"owned by {row.owner}" in str(one) for one in results if not isinstance(one, int))


class TestLease:
    def lapsed(self, store: Store) -> bool:
        row = store.run(RUN)
        assert row is not None
        assert [one.lapsed for one in store.runs(prefix=RUN)] == [row.lapsed]
        assert [one.lapsed for one in store.runs(pipeline="sales")] == [row.lapsed]
        return row.lapsed

    def test_one_of_whom_nothing_is_known_keeps_it_for_as_long_as_the_lease(
        self, store: Store, clock: FakeClock
    ) -> None:
        Kept(store, planned("a"), owner="elsewhere:1:1")
        clock.go_on(LEASE_SECONDS)
        assert not self.lapsed(store)
        with pytest.raises(ConflictError, match="owned by process 1 on elsewhere") as caught:
            store.claim(RUN, "me", unknown)
        assert "cannot be told from here; 60 s after" in str(caught.value.hint)
        clock.go_on(0.001)
        assert self.lapsed(store)
        store.claim(RUN, "me", unknown)
        assert not self.lapsed(store)

    def test_one_who_lives_keeps_it_however_long_it_is_silent(self, store: Store, clock: FakeClock) -> None:
        run = Kept(store, planned("a"), owner="here:1:1")
        clock.go_on(10 * LEASE_SECONDS)
        with pytest.raises(ConflictError, match="owned by process 1 on here"):
            store.claim(RUN, "me", alive)
        run.send("start")
        assert not self.lapsed(store)

    @pytest.mark.parametrize("sign", ["append", "renew"])
    def test_a_sign_of_life_begins_it_anew(self, store: Store, clock: FakeClock, sign: str) -> None:
        run = Kept(store, planned("a"), owner="elsewhere:1:1")
        for _ in range(3):
            clock.go_on(LEASE_SECONDS)
            if sign == "append":
                store.append(*cells(run.state, 1), run.fence)
            else:
                store.renew(RUN, run.fence)
        clock.go_on(LEASE_SECONDS)
        assert not self.lapsed(store)

    def test_a_run_that_nobody_owns_has_none(self, store: Store, clock: FakeClock) -> None:
        run = Kept(store, planned("a"))
        store.release(RUN, run.fence)
        clock.go_on(2 * LEASE_SECONDS)
        assert not self.lapsed(store)

    def test_who_has_lost_the_run_cannot_renew_it(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="old")
        fence = store.claim(RUN, "host:99:1", dead)
        with pytest.raises(ConflictError, match=f"run {RUN} has been taken over by process 99 on host"):
            store.renew(RUN, run.fence)
        store.renew(RUN, fence)
        store.release(RUN, fence)
        with pytest.raises(ConflictError, match="owned by nobody"):
            store.renew(RUN, fence)
        with pytest.raises(ConflictError, match="run nothing is not in the store"):
            store.renew("nothing", 1)

    def test_of_many_who_find_it_lapsed_one_wins(self, store: Store, clock: FakeClock) -> None:
        Kept(store, planned("a"), owner="elsewhere:1:1")
        clock.go_on(LEASE_SECONDS + 1)
        results = in_threads(8, lambda place: store.claim(RUN, f"owner {place}", unknown))
        assert sum(isinstance(one, int) for one in results) == 1


def with_pools(projection: Projection, *uses: PoolUse) -> Projection:
    return replace(projection, pools=uses)


class TestPools:
    """What runs hold and want of pools, and that nobody comes in between."""

    @staticmethod
    def use(run: str, held: int, wanted: int = 0, pool: str = "db") -> PoolUse:
        return PoolUse(run=run, pool=pool, held=held, wanted=wanted, since=NOON if wanted else None)

    def set(self, run: Kept, *uses: PoolUse) -> None:
        events, projection = cells(run.state, 1)
        run.store.append(events, with_pools(projection, *uses), run.fence)

    def test_others_see_what_a_run_holds_and_wants(self, store: Store, clock: FakeClock) -> None:
        one = Kept(store, planned("a"), run="one", owner="host:1:1")
        two = Kept(store, planned("a"), run="two", owner="host:2:2")
        self.set(one, self.use("one", 2), self.use("one", 0, 1, pool="api"))
        self.set(two, self.use("two", 1))
        assert store.pools("two") == [
            replace(self.use("one", 0, 1, pool="api"), owner="host:1:1"),
            replace(self.use("one", 2), owner="host:1:1"),
        ]
        assert [(use.run, use.pool, use.held) for use in store.pools()] == [
            ("one", "api", 0),
            ("one", "db", 2),
            ("two", "db", 1),
        ]
        clock.go_on(LEASE_SECONDS + 1)
        assert [use.lapsed for use in store.pools("one")] == [True]

    def test_instants_are_exact(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        at = after(0.000001)
        self.set(run, replace(self.use(RUN, 0, 1), since=at))
        assert [use.since for use in store.pools()] == [at]

    def test_what_is_neither_held_nor_wanted_is_gone(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        self.set(run, self.use(RUN, 2), self.use(RUN, 1, pool="api"))
        self.set(run, self.use(RUN, 0))
        assert [(use.pool, use.held) for use in store.pools()] == [("api", 1)]
        self.set(run)
        assert [(use.pool, use.held) for use in store.pools()] == [("api", 1)]

    def test_who_gives_a_run_back_gives_its_slots_back(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="old")
        self.set(run, self.use(RUN, 2))
        fence = store.claim(RUN, "new", dead)
        store.release(RUN, run.fence)
        assert [(use.held, use.owner) for use in store.pools()] == [(2, "new")]
        store.release(RUN, fence)
        assert store.pools() == []

    def test_slots_of_a_run_that_is_taken_over_stay_until_its_attempts_have_ended(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        self.set(run, self.use(RUN, 1))
        fence = store.claim(RUN, "new", dead)
        assert [use.held for use in store.pools()] == [1]
        events, projection = cells(run.state, 1)
        store.append(events, with_pools(projection, self.use(RUN, 0)), fence)
        assert store.pools() == []

    def test_an_append_that_is_refused_takes_nothing(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        events, projection = cells(run.state, 1)
        with pytest.raises(ConflictError):
            store.append(events, with_pools(projection, self.use(RUN, 1)), run.fence + 1)
        with pytest.raises(ConflictError):
            store.append_pooled(RUN, lambda _: (events, with_pools(projection, self.use(RUN, 1))), run.fence + 1)
        assert store.pools() == []

    def test_what_is_decided_is_kept(self, store: Store) -> None:
        Kept(store, planned("a"), run="other")
        run = Kept(store, planned("a"))
        seen: list[Any] = []

        def decide(pools: Any) -> Any:
            seen.append(list(pools))
            return cells(run.state, 2)

        events = store.append_pooled(RUN, decide, run.fence)
        assert seen == [[]]
        assert list(store.events(RUN)) == [*run.history, *events]

    def test_nothing_that_is_decided_keeps_nothing(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        before = everything(store)
        assert list(store.append_pooled(RUN, lambda _: None, run.fence)) == []
        assert everything(store) == before

    def test_a_decision_that_breaks_leaves_the_store_usable(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        before = everything(store)

        def fail(_: Any) -> Any:
            raise KeyError("a bug")

        with pytest.raises(KeyError, match="a bug"):
            store.append_pooled(RUN, fail, run.fence)
        assert everything(store) == before
        run.send("start")

    def test_of_many_who_want_the_last_slot_one_gets_it(self, store: Store) -> None:
        """Each takes it where the others leave it: never are more out than there are."""
        runs = [Kept(store, planned("a"), run=f"run-{place}") for place in range(6)]
        size, most = 2, 0

        def act(place: int) -> int:
            run, got = runs[place], 0
            while got < 5:
                taken: list[int] = []

                def decide(pools: Any, run: Kept = run, taken: list[int] = taken) -> Any:
                    nonlocal most
                    taken.append(sum(use.held for use in pools))
                    if taken[0] >= size:
                        return None
                    most = max(most, taken[0] + 1)
                    events, projection = cells(run.state, 1)
                    return events, with_pools(projection, self.use(run.run, 1))

                if store.append_pooled(run.run, decide, run.fence):
                    got += 1
                    assert sum(use.held for use in store.pools()) <= size
                    self.set(run, self.use(run.run, 0))
            return got

        assert in_threads(6, act) == [5] * 6
        assert most <= size
        assert store.pools() == []


class TestRelease:
    def test_a_run_given_back_has_no_owner_and_takes_no_event(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        store.release(RUN, run.fence)
        row = store.run(RUN)
        assert row is not None
        assert row.owner is None
        events, projection = run.batch("start")
        with pytest.raises(ConflictError, match="owned by nobody"):
            store.append(events, projection, run.fence)
        store.append(events, projection, store.claim(RUN, "next", alive))

    def test_another_fence_is_ignored(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="old")
        fence = store.claim(RUN, "new", dead)
        for other in (run.fence, fence + 1, 0):
            store.release(RUN, other)
        row = store.run(RUN)
        assert row is not None
        assert row.owner == "new"

    def test_twice_and_of_no_run(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        store.release(RUN, run.fence)
        store.release(RUN, run.fence)
        store.release("nothing", 1)


class TestAppend:
    def test_events_follow_one_another(self, store: Store) -> None:
        run = Kept(store, planned("a"), planned("b", "a"))
        run.send("start")
        run.send("started a/1", "cell a/1 1", "celldone a/1 1 ok", at=after(1))
        run.send('succeeded a/1 day="x"', at=after(2))
        assert list(store.events(RUN)) == run.history
        row = store.run(RUN)
        assert row is not None
        assert (row.seq, row.state) == (run.history[-1].seq, "running")

    @pytest.mark.parametrize("shift", [-2, -1, 1, 5])
    def test_a_wrong_place_is_refused_and_changes_nothing(self, store: Store, shift: int) -> None:
        run = Kept(store, planned("a"))
        run.send("start")
        before = everything(store)
        events, projection = cells(run.state, 2)
        moved = [replace(stamped, seq=stamped.seq + shift) for stamped in events]
        row = replace(projection.row, seq=projection.row.seq + shift, state="failed")
        with pytest.raises(ConflictError, match=f"run {RUN} is at event 4, not {4 + shift}: somebody else wrote to it"):
            store.append(moved, replace(projection, row=row), run.fence)
        assert everything(store) == before
        store.append(events, projection, run.fence)

    def test_a_stale_fence_is_refused_and_says_who_took_over(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="old")
        fence = store.claim(RUN, "host:99:1", dead)
        before = everything(store)
        events, projection = run.batch("start")
        with pytest.raises(ConflictError, match=f"run {RUN} has been taken over by process 99 on host"):
            store.append(events, projection, run.fence)
        assert everything(store) == before
        store.release(RUN, fence)
        with pytest.raises(ConflictError, match="taken over by a process that has given it back"):
            store.append(events, projection, run.fence)

    def test_a_fence_of_the_future_is_refused(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        events, projection = run.batch("start")
        with pytest.raises(ConflictError):
            store.append(events, projection, run.fence + 1)

    def test_without_a_claim_nothing_is_kept(self, store: Store) -> None:
        history, state = begun(planned("a"))
        store.create(history, project(state))
        with pytest.raises(ConflictError, match="has not been claimed"):
            store.append(*cells(state, 1), 0)

    def test_a_run_that_is_not_there(self, store: Store) -> None:
        _, state = begun(planned("a"), run="nothing")
        with pytest.raises(ConflictError, match="run nothing is not in the store"):
            store.append(*cells(state, 1), 1)

    def test_events_that_do_not_belong_together_are_a_bug(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        before = everything(store)
        events, projection = cells(run.state, 3)
        with pytest.raises(ValueError, match="event 4"):
            store.append([events[0], events[2]], projection, run.fence)
        with pytest.raises(ValueError, match="no events"):
            store.append([], projection, run.fence)
        assert everything(store) == before

    def test_of_many_at_one_place_one_wins(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        events, projection = cells(run.state, 2)
        results = in_threads(8, lambda _: store.append(events, projection, run.fence))
        assert sum(result is None for result in results) == 1
        assert list(store.events(RUN)) == [*run.history, *events]

    def test_owner_and_fence_stay(self, store: Store) -> None:
        run = Kept(store, planned("a"), owner="me")
        run.send("start")
        row = store.run(RUN)
        assert row is not None
        assert (row.owner, row.fence) == ("me", run.fence)

    def test_runs_do_not_mix(self, store: Store) -> None:
        one, two = Kept(store, planned("a"), run="one"), Kept(store, planned("b"), run="two")
        one.send("start")
        two.send("start")
        one.send("succeeded a/1")
        assert list(store.events("one")) == one.history
        assert list(store.events("two")) == two.history
        assert [document["state"] for document in store.task_rows("two")] == ["running"]


class TestEvents:
    @pytest.mark.parametrize("place", [-3, 0, 1, 2, 4, 5, 10**30])
    def test_after_a_place(self, store: Store, place: int) -> None:
        run = Kept(store, planned("a"))
        run.send("start")
        assert list(store.events(RUN, place)) == [one for one in run.history if one.seq > place]

    def test_no_run_has_no_events(self, store: Store) -> None:
        assert list(store.events("nothing")) == []
        assert store.run("nothing") is None
        assert store.task_rows("nothing") == []

    @pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 7])
    def test_more_than_are_read_at_a_time(self, store: Store, count: int) -> None:
        run = Kept(store, planned("a"))
        events, projection = cells(run.state, count - 1)
        store.append(events, projection, run.fence)
        assert [stamped.seq for stamped in store.events(RUN)] == list(range(1, count + 1))

    @shared_store
    @given(data=st.data())
    def test_every_event_comes_back_as_it_was(self, store: Store, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(list(ev.TYPES.values())))
        event = data.draw(instances(kind))
        run = Kept(store, planned("a"), run=f"run-{len(store.runs(limit=10**6))}")
        (stamped,), projection = cells(run.state, 1)
        store.append([replace(stamped, event=event)], projection, run.fence)
        assert list(store.events(run.run))[-1].event == event

    @pytest.mark.parametrize(
        "text", ["\ud800", "a\udcffb", "\x00", "\x1b]0;x\x07", "\U0001f600", "e\u0301 \u202e", "\ufffe", "' -- \"", ""]
    )
    def test_odd_text_of_a_notebook_survives(self, store: Store, text: str) -> None:
        run = Kept(store, planned("a"))
        run.send("start", "started a/1")
        done = msg.CellDone(task="a", attempt=1, cell=0, number=1, state=CellState.OK, duration=0.1, preview=text)
        lost = msg.Lost(task="a", attempt=1, message=text)
        run.send(done)
        run.send(lost)
        assert list(store.events(RUN)) == run.history
        assert store.task_rows(RUN)[0]["error"]["message"] == text

    def test_an_instant_of_any_zone_is_the_same_instant(self, store: Store) -> None:
        at = NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
        history, state = begun(planned("a"), at=at)
        store.create(history, project(state))
        row = store.run(RUN)
        assert row is not None
        assert row.created == at == next(store.events(RUN)).at

    def test_a_plan_of_three_megabytes(self, store: Store) -> None:
        tasks = [planned(f"task{number}", reason="x" * 200) for number in range(10_000)]
        run = Kept(store, *tasks)
        events = run.send("start")
        assert len(events) > 10_000
        assert fold(store.events(RUN)).seq == run.state.seq
        assert len(store.task_rows(RUN)) == 10_000


TEXTS = st.text(st.sampled_from("aAbB%_*?[]'\"\\-. é😀\uffff"), max_size=4)


class TestRuns:
    def test_newest_first_to_the_microsecond_then_by_id(self, store: Store) -> None:
        offsets = {"b": 0.0, "a": 0.0, "c": 0.5, "d": 0.000001, "e": -1.0, "f": 3600.0}
        for run, seconds in offsets.items():
            at = after(seconds)
            Kept(store, run=run, at=at.astimezone(timezone(timedelta(hours=5))) if run in "be" else at)
        assert [row.run for row in store.runs()] == ["f", "c", "d", "b", "a", "e"]

    def test_filters_together(self, store: Store) -> None:
        for number, (pipeline, done) in enumerate([("x", True), ("x", False), ("y", True), ("y", False)]):
            run = Kept(store, planned("a"), run=f"{pipeline}-{number}", pipeline=pipeline, at=after(number))
            run.play("start", *(["succeeded a/1"] if done else []))
        Kept(store, planned("a"), run="x-new", pipeline="x", at=after(9))

        def found(**filters: Any) -> list[str]:
            return [row.run for row in store.runs(**filters)]

        assert found() == ["x-new", "y-3", "y-2", "x-1", "x-0"]
        assert found(pipeline="x") == ["x-new", "x-1", "x-0"]
        assert found(states=["succeeded"]) == ["y-2", "x-0"]
        assert found(states={"running", "queued"}) == ["x-new", "y-3", "x-1"]
        assert found(states=frozenset({"failed"})) == []
        assert found(prefix="x-") == ["x-new", "x-1", "x-0"]
        assert found(prefix="x-0") == ["x-0"]
        assert found(prefix="X") == []
        assert found(prefix="-") == []
        assert found(pipeline="y", prefix="y-", states=["running"]) == ["y-3"]
        assert found(pipeline="y", prefix="x") == []
        assert found(pipeline="none") == []
        assert found(limit=2) == ["x-new", "y-3"]
        assert found(pipeline="x", limit=1) == ["x-new"]
        assert found(limit=0) == found(limit=-1) == []
        assert len(found(limit=10**30)) == 5

    @shared_store
    @given(
        runs=st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 5)), max_size=6, unique_by=lambda one: one[0]),
        prefix=TEXTS,
        pipeline=st.none() | TEXTS,
        limit=st.integers(0, 7),
    )
    def test_any_text_is_only_text(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        request: pytest.FixtureRequest,
        store: Store,
        runs: list[tuple[str, str, int]],
        prefix: str,
        pipeline: str | None,
        limit: int,
    ) -> None:
        fresh = PLACES[request.node.callspec.params["store"]](tmp_path_factory.mktemp("store"), FakeClock().now)
        for run, of, second in runs:
            Kept(fresh, run=run, pipeline=of, at=after(second))
        wanted = [
            run
            for run, of, _ in sorted(runs, key=lambda one: (one[2], one[0]), reverse=True)
            if run.startswith(prefix) and pipeline in (None, of)
        ][:limit]
        assert [row.run for row in fresh.runs(prefix=prefix, pipeline=pipeline, limit=limit)] == wanted
        fresh.close()

    @pytest.mark.parametrize("text", ["\udcff", "a\x00b", "", "x" * 100_000])
    def test_what_can_be_no_id_is_the_id_of_nothing(self, store: Store, text: str) -> None:
        Kept(store, planned("a"), run="a")
        assert store.run(text) is None
        assert list(store.events(text)) == store.task_rows(text) == store.take(text) == []
        assert store.last_success(text, text) is None
        assert store.runs(pipeline=text) == []
        assert text == "" or store.runs(prefix=text) == []
        with pytest.raises(ConflictError, match="is not in the store"):
            store.claim(text, "me", dead)
        with pytest.raises(ConflictError, match="is not in the store"):
            store.post(text, cancel("me"))


class TestGoing:
    def test_what_has_begun_and_not_ended_and_what_has_an_owner(self, store: Store) -> None:
        for number, lines in enumerate([[], ["start"], ["start", "succeeded a/1"], ["start", "failed a/1"]]):
            run = Kept(store, planned("a"), run=f"run-{number}", at=after(number))
            run.play(*lines)
        late = Kept(store, planned("a"), run="late", pipeline="other", at=after(9))
        late.send("start")
        store.release("late", late.fence)
        assert store.going() == store.runs()
        assert [row.run for row in store.going() if row.owner is None] == ["late"]
        for number in range(4):
            store.release(f"run-{number}", 1)
        assert [row.run for row in store.going()] == ["late", "run-1"]
        assert store.going() == store.runs(states=["running"])


class TestTaskRows:
    def test_the_order_is_that_of_the_plan(self, store: Store) -> None:
        names = [f"t{number}" for number in (3, 20, 1, 100, 11)]
        run = Kept(store, *(planned(name) for name in names), jobs=9)
        run.send("start")
        run.send("succeeded t11/1", "succeeded t3/1")
        assert [(one["task"], one["state"]) for one in store.task_rows(RUN)] == [
            ("t3", "succeeded"),
            ("t20", "running"),
            ("t1", "running"),
            ("t100", "running"),
            ("t11", "succeeded"),
        ]

    def test_copies_of_a_list_stand_in_the_place_of_their_task(self, store: Store) -> None:
        run = Kept(store, planned("a", for_each=["x/y", "z"]), planned("b", "a"), jobs=9)
        assert [one["task"] for one in store.task_rows(RUN)] == ["a", "b"]
        run.send("start")
        run.send("succeeded a[z]/1 n=1")
        found = [(one["task"], one["state"]) for one in store.task_rows(RUN)]
        assert found == [("a[x/y]", "running"), ("a[z]", "succeeded"), ("b", "pending")]
        assert store.last_success("sales", "a[z]") == Past(run=RUN, outputs={"n": 1})
        assert store.last_success("sales", "a") is None

    def test_copies_of_a_matrix_are_tasks(self, store: Store) -> None:
        Kept(store, planned("train[ridge,eu]"), planned("train[ridge,'é']"))
        assert [one["task"] for one in store.task_rows(RUN)] == ["train[ridge,eu]", "train[ridge,'é']"]


class TestLastSuccess:
    def test_the_newest_run_in_which_it_succeeded(self, store: Store) -> None:
        for number, ends in enumerate(["succeeded a/1 n=0", "succeeded a/1 n=1", "failed a/1"]):
            run = Kept(store, planned("a"), planned("b"), run=f"run-{number}", at=after(number))
            run.play("start", ends)
        Kept(store, planned("a"), run="elsewhere", pipeline="other", at=after(9)).play("start", "succeeded a/1 n=9")
        Kept(store, planned("a"), run="going", at=after(8)).play("start")
        assert store.last_success("sales", "a") == Past(run="run-1", outputs={"n": 1})
        assert store.last_success("other", "a") == Past(run="elsewhere", outputs={"n": 9})
        assert store.last_success("sales", "b") is None
        assert store.last_success("sales", "never") is None
        assert store.last_success("none", "a") is None

    def test_a_run_that_is_still_going_counts_and_so_does_one_without_outputs(self, store: Store) -> None:
        run = Kept(store, planned("a"), planned("b", "a"))
        run.play("start", "succeeded a/1")
        assert store.last_success("sales", "a") == Past(run=RUN, outputs={})

    def test_a_result_that_was_taken_over_is_of_the_run_that_made_it(self, store: Store) -> None:
        Kept(store, planned("a"), run="first").play("start", "succeeded a/1 n=1")
        reuse = planned("a", action=Action.REUSE, reused_from="first", outputs={"n": 1})
        Kept(store, reuse, run="second", at=after(1)).play("start")
        assert store.last_success("sales", "a") == Past(run="first", outputs={"n": 1})

    def test_outputs_are_exact(self, store: Store) -> None:
        value = {"at": NOON, "parts": (1, 2), "ids": {3, 4}, "nothing": None, "ratio": float("inf"), 5: "five"}
        outcome = Outcome(verdict=Verdict.SUCCEEDED, outputs={"value": encode(value)})
        Kept(store, planned("a")).play("start", msg.Finished(task="a", attempt=1, outcome=outcome))
        found = store.last_success("sales", "a")
        assert found is not None
        assert found.outputs == {"value": encode(value)}

    def test_a_task_that_succeeds_after_a_resume(self, store: Store) -> None:
        run = Kept(store, planned("a"))
        run.play("start", "failed a/1")
        assert store.last_success("sales", "a") is None
        run.play("resume", "start", at=after(5))
        run.play("succeeded a/2 n=2")
        assert store.last_success("sales", "a") == Past(run=RUN, outputs={"n": 2})


class TestInbox:
    def test_oldest_first_and_each_once(self, store: Store) -> None:
        Kept(store, planned("a"))
        sent = [cancel("a"), msg.Cancel(mode=msg.StopMode.INTERRUPT, by="é\ud800", force=True), cancel("a")]
        for request in sent:
            store.post(RUN, request)
        assert store.take(RUN) == sent
        assert store.take(RUN) == []
        store.post(RUN, cancel("late"))
        assert store.take(RUN) == [cancel("late")]

    def test_each_run_has_its_own(self, store: Store) -> None:
        Kept(store, run="one")
        Kept(store, run="two")
        store.post("two", cancel("b"))
        store.post("one", cancel("a"))
        assert store.take("one") == [cancel("a")]
        assert store.take("two") == [cancel("b")]

    def test_a_run_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(ConflictError, match="run nothing is not in the store"):
            store.post("nothing", cancel("me"))
        assert store.take("nothing") == []

    def test_a_run_that_nobody_owns_keeps_requests_for_its_next_owner(self, store: Store) -> None:
        history, state = begun(planned("a"))
        store.create(history, project(state))
        store.post(RUN, cancel("early"))
        store.append(*cells(state, 1), store.claim(RUN, "me", dead))
        assert store.take(RUN) == [cancel("early")]

    def test_two_takers_get_each_request_once(self, store: Store) -> None:
        Kept(store, planned("a"))
        count = 40

        def act(place: int) -> list[str]:
            if place == 0:
                for number in range(count):
                    store.post(RUN, cancel(f"{number}"))
                return []
            taken: list[str] = []
            while len(seen) < count:
                found = [request.by for request in store.take(RUN)]
                seen.extend(found)
                taken += found
            return taken

        seen: list[str] = []
        _, one, two = in_threads(3, act)
        assert sorted(one + two, key=int) == [str(number) for number in range(count)]
        assert one == sorted(one, key=int)


MESSAGES = st.sampled_from(
    [
        *("start", "resume", "tick", "cancel", "interrupt", "cancel force", "started a/1", "cell a/1 1"),
        *("celldone a/1 1 ok", "succeeded a/1 n=1", "failed a/1", "lost a/1", "failed a/1 timeout", "stopped a/1"),
        *("succeeded b/1", "failed b/1", "succeeded c/1", "failed a/2", "succeeded a/2 n=2", "succeeded b/2"),
    ]
)


class TestProjections:
    @shared_store
    @given(batches=st.lists(st.lists(MESSAGES, min_size=1, max_size=3), max_size=12))
    def test_they_are_the_fold_of_the_events(self, store: Store, batches: list[list[str]]) -> None:
        name = f"run-{len(store.runs(limit=10**6))}"
        run = Kept(store, planned("a"), planned("b", "a"), planned("c", run_if="always"), run=name)
        for number, batch in enumerate(batches):
            run.send(*batch, at=after(number))
            assert projected(store, name) == rebuilt(store, name)
        row = store.run(name)
        state = fold(store.events(name))
        whole = project(state)
        assert row is not None
        assert replace(row, document=plain(row.document)) == replace(
            whole.row, document=plain(whole.row.document), owner="engine", fence=run.fence
        )


def test_closing_twice(store: Store) -> None:
    store.close()
    store.close()


def test_a_hurry_keeps_nobody_from_what_can_be_done(store: Store) -> None:
    store.hurry()
    run = Kept(store, planned("a"))
    store.hurry()
    run.send("start")
    assert list(store.events(RUN)) == run.history


def test_threads_may_share_a_store(store: Store) -> None:
    def act(place: int) -> int:
        run = Kept(store, planned("a"), run=f"run-{place}", at=after(place))
        run.send("start")
        for number in range(10):
            run.send(f"cell a/1 {number}")
            assert list(store.events(run.run)) == run.history
            assert store.runs(limit=1)
        return run.state.seq

    results = in_threads(6, act)
    assert results == [14] * 6
    assert sorted(row.run for row in store.runs()) == [f"run-{place}" for place in range(6)]


def test_instants_of_creation_are_aware(store: Store) -> None:
    Kept(store, planned("a"))
    row = store.run(RUN)
    assert row is not None
    assert isinstance(row.created, datetime)
    assert row.created.utcoffset() == timedelta(0)
