"""What every store does when runs are taken out of it for good: `ports.Removals`, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from nbflow.core.plan import Action
from nbflow.core.ports import Store
from nbflow.core.rows import Removed
from nbflow.core.values import encode
from nbflow.errors import ConflictError
from nbflow.store.memory import MemoryStore
from nbflow.store.postgres.store import PostgresStore
from nbflow.store.sqlite import SqliteStore
from support.build import NOON, planned
from support.postgres import schema, server
from support.stored import Kept, alive, cells, projected, rebuilt

PLACES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "state.db"),
    "postgres": lambda _: PostgresStore(server().url(schema())),
}


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = PLACES[request.param](tmp_path)
    yield made
    made.close()


def ended(store: Store, run: str, hours: int = 0, *, end: str = "succeeded a/1 n=1", pipeline: str = "sales") -> Kept:
    """A run that has ended, so many hours after noon."""
    made = Kept(store, planned("a"), run=run, pipeline=pipeline, at=NOON + timedelta(hours=hours))
    made.play("start", end)
    return made


def reusing(store: Store, run: str, origin: str, hours: int = 1) -> Kept:
    """A run that takes the result of `a` from another one."""
    old = planned("a", action=Action.REUSE, reused_from=origin, outputs={"n": encode(1)})
    made = Kept(store, old, planned("b", "a"), run=run, at=NOON + timedelta(hours=hours))
    made.play("start", "succeeded b/1")
    return made


class TestRemove:
    def test_nothing_of_it_is_left_and_others_stay(self, store: Store) -> None:
        gone, stays = ended(store, "one"), ended(store, "two", 1)
        before = rebuilt(store, "two")
        store.removals.remove("one", gone.fence)
        assert store.run("one") is None
        assert (list(store.events("one")), store.task_rows("one"), store.take("one")) == ([], [], [])
        assert [row.run for row in store.runs()] == ["two"]
        assert projected(store, "two") == rebuilt(store, "two") == before
        stays.send("resume")
        with pytest.raises(ConflictError, match="run one is not in the store"):
            store.claim("one", "me", alive)

    def test_it_is_noted_until_it_is_forgotten(self, store: Store) -> None:
        for number, run in enumerate(("b", "a", "c")):
            store.removals.remove(run, ended(store, run, number).fence)
        assert store.removals.removed() == [Removed(run=run, pipeline="sales") for run in ("b", "a", "c")]
        for _ in range(2):
            store.removals.forget("a")
        assert [one.run for one in store.removals.removed()] == ["b", "c"]
        store.removals.forget("nothing")

    def test_only_its_owner_may(self, store: Store) -> None:
        run = ended(store, "one")
        for fence in (run.fence - 1, run.fence + 1):
            with pytest.raises(ConflictError, match="taken over by engine"):
                store.removals.remove("one", fence)
        store.release("one", run.fence)
        with pytest.raises(ConflictError, match="owned by nobody"):
            store.removals.remove("one", run.fence)
        with pytest.raises(ConflictError, match="run nothing is not in the store"):
            store.removals.remove("nothing", 1)
        assert projected(store, "one") == rebuilt(store, "one")
        assert store.removals.removed() == []

    def test_what_another_run_has_taken_over_stays(self, store: Store) -> None:
        origin, taker = ended(store, "one"), reusing(store, "two", "one")
        with pytest.raises(ConflictError, match="run two has taken results of run one over"):
            store.removals.remove("one", origin.fence)
        assert projected(store, "one") == rebuilt(store, "one")
        store.removals.remove("two", taker.fence)
        store.removals.remove("one", origin.fence)
        assert store.runs() == []

    def test_it_may_be_made_anew_under_its_id(self, store: Store) -> None:
        store.removals.remove("one", ended(store, "one").fence)
        run = ended(store, "one", 5)
        assert projected(store, "one") == rebuilt(store, "one")
        store.removals.remove("one", run.fence)
        assert [one.run for one in store.removals.removed()] == ["one"]

    def test_a_late_append_of_its_engine_is_refused(self, store: Store) -> None:
        run = Kept(store, planned("a"), run="one")
        batch = cells(run.state, 1)
        store.removals.remove("one", run.fence)
        with pytest.raises(ConflictError):
            store.append(*batch, run.fence)
        assert store.runs() == []


class TestReferences:
    def test_each_pair_once(self, store: Store) -> None:
        ended(store, "one")
        reusing(store, "two", "one")
        twice = [planned(name, action=Action.REUSE, reused_from="one", outputs={"n": encode(1)}) for name in ("a", "c")]
        Kept(store, *twice, planned("b", "a", "c"), run="three").send("start")
        assert sorted(store.removals.references()) == [("three", "one"), ("two", "one")]

    def test_none(self, store: Store) -> None:
        assert store.removals.references() == []
        assert store.removals.compact() >= 0


class TestNewestSuccess:
    def test_the_newest_that_succeeded(self, store: Store) -> None:
        ended(store, "one")
        ended(store, "two", 1)
        ended(store, "three", 2, end="failed a/1")
        ended(store, "four", 3, pipeline="other")
        assert store.removals.newest_success("sales", "a") == "two"
        assert store.removals.newest_success("other", "a") == "four"
        assert store.removals.newest_success("sales", "b") is None
        assert store.removals.newest_success("nothing", "a") is None

    def test_copies_are_their_task(self, store: Store) -> None:
        copy, other = replace(planned("a[x,y]"), slug="a.x"), replace(planned("ab[x]"), slug="ab.x")
        Kept(store, copy, run="one").play("start", "succeeded a[x,y]/1")
        Kept(store, other, run="two", at=NOON + timedelta(hours=1)).play("start", "succeeded ab[x]/1")
        assert store.removals.newest_success("sales", "a") == "one"
        assert store.removals.newest_success("sales", "ab") == "two"
