"""Runs whose process has died are ended by whoever comes next."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.attempt import Outcome, Verdict, WorkOrder
from nbflow.core.decide import react
from nbflow.core.messages import Resume, Start
from nbflow.core.rows import PoolUse
from nbflow.core.state import RunState, fold
from nbflow.core.views import project
from nbflow.engine.loop import Ports
from nbflow.errors import ConflictError, UnreachableError
from nbflow.rescue import MOST_EVENTS, end, end_dead
from nbflow.runs import Runs
from nbflow.store.memory import MemoryStore
from support.build import RUN, after, planned
from support.engines import FakeClock, FakeExecutor
from support.stored import Kept, begun, cells, projected, rebuilt


def nothing(_: str) -> None:
    """An archive that can be written."""


class Bench:
    """A store with a run of three tasks, one done, one live, one to come; its engine is dead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock.now)
        tasks = [planned("a", pool="db"), planned("b", "a", pool="db"), planned("c", "b")]
        self.run = Kept(self.store, *tasks, owner="dead:1:1", journals=str(folder), pools={"db": 1})
        self.run.play("start", "succeeded a/1", "started b/1", at=after(5))
        events, projection = cells(self.run.state, 1)
        self.store.append(events, replace(projection, pools=(PoolUse(run=RUN, pool="db", held=1),)), self.run.fence)
        self.alive: dict[str, bool | None] = {}
        self.runs = Runs(self.store, lambda owner: self.alive.get(owner, False))
        self.executors: list[FakeExecutor] = []
        self.sealed: list[RunState] = []
        self.failed: dict[str, UnreachableError] = {}

    def ports(self) -> Ports:
        self.executors.append(FakeExecutor())
        return Ports(store=self.store, executor=self.executors[-1], clock=self.clock, seal=self.sealed.append)

    def end_dead(self, check: Any = nothing) -> list[str]:
        return end_dead(self.runs.dead(), self.runs, self.ports, check, self.failed)

    def document(self) -> dict[str, Any]:
        return self.runs.document(self.runs.find(RUN))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def states(document: dict[str, Any]) -> dict[str, str]:
    return {task["task"]: task["state"] for task in document["tasks"]}


def test_a_dead_run_is_ended_as_interrupted_and_its_slots_come_free(bench: Bench) -> None:
    assert bench.end_dead() == [RUN]
    document = bench.document()
    assert document["state"] == "interrupted"
    assert states(document) == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
    lost = document["tasks"][1]
    assert (lost["error"]["kind"], lost["reason"]) == ("lost", "interrupted by the end of its process")
    row = bench.store.run(RUN)
    assert row is not None
    assert (row.state, row.owner) == ("interrupted", None)
    assert projected(bench.store, RUN) == rebuilt(bench.store, RUN)
    assert bench.store.pools() == []
    assert bench.store.going() == []
    assert "recover b/1" in bench.executors[0].calls
    assert bench.executors[0].calls[-1] == "close"
    assert [state.run for state in bench.sealed] == [RUN]


def test_one_that_had_ended_is_only_completed(bench: Bench) -> None:
    """Its process died after the last event, before the page was there and the run was given back."""
    bench.run.send("succeeded b/1")
    bench.run.send("started c/1", "succeeded c/1")
    before = list(bench.store.events(RUN))
    assert bench.end_dead() == [], "it was not interrupted"
    assert [state.run for state in bench.sealed] == [RUN]
    assert list(bench.store.events(RUN)) == before
    row = bench.store.run(RUN)
    assert row is not None
    assert (row.state, row.owner) == ("succeeded", None)
    assert bench.runs.dead() == bench.store.going() == []


def test_what_nobody_has_is_left_to_be_begun(bench: Bench) -> None:
    history, state = begun(planned("a"), run="waiting")
    bench.store.create(history, project(state))
    assert [row.run for row in bench.runs.dead()] == [RUN]
    assert bench.runs.state_of(bench.runs.find("waiting")) == "queued"


def test_what_its_owner_had_not_begun_is_interrupted_and_goes_on(bench: Bench) -> None:
    """Its process has died between the first transaction and the second."""
    bench.end_dead()
    history, state = begun(planned("a"), run="young", journals=str(bench.folder))
    bench.store.create(history, project(state), "dead:2:2")
    bench.alive["dead:2:2"] = True
    assert bench.runs.state_of(bench.runs.find("young")) == "queued"
    assert bench.end_dead() == []
    bench.alive["dead:2:2"] = False
    row = bench.runs.find("young")
    assert {one.run for one in bench.runs.rows(states=["interrupted"])} == {RUN, "young"}
    assert bench.runs.rows(states=["queued"]) == []
    seen = bench.runs.document(row)
    assert bench.end_dead() == ["young"]
    ended = bench.runs.document(bench.runs.find("young"))
    assert (seen.state, states(seen)) == (ended.state, states(ended)) == ("interrupted", {"a": "cancelled"})
    state = fold(bench.store.events("young"))
    react(state, [Resume(), Start(owner="me")], after(9))
    assert state.live == {"a": None}


def test_what_ended_by_itself_after_its_engine_keeps_its_outcome(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def succeeded(_: FakeExecutor, order: WorkOrder, message: str) -> Outcome:
        return Outcome(verdict=Verdict.SUCCEEDED)

    monkeypatch.setattr(FakeExecutor, "recover", succeeded)
    bench.end_dead()
    assert states(bench.document()) == {"a": "succeeded", "b": "succeeded", "c": "cancelled"}


def test_who_may_only_look_sees_the_same(bench: Bench) -> None:
    seen = bench.document()
    assert bench.store.going() != []
    bench.end_dead()
    ended = bench.document()
    for document in (seen, ended):
        document.pop("ended")
        for task in document["tasks"]:
            task.pop("ended")
    assert seen == ended


@pytest.mark.parametrize("alive", [True, None])
def test_a_run_that_may_live_is_left_alone(bench: Bench, alive: bool | None) -> None:
    bench.alive["dead:1:1"] = alive
    before = list(bench.store.events(RUN))
    assert bench.end_dead() == []
    assert list(bench.store.events(RUN)) == before
    assert bench.executors == []
    with pytest.raises(ConflictError, match="process 1 on dead"):
        end(bench.runs.find(RUN), bench.runs, bench.ports())


def test_one_of_another_host_is_ended_once_its_lease_has_run_out(bench: Bench) -> None:
    bench.alive["dead:1:1"] = None
    bench.clock.go_on(61)
    assert bench.end_dead() == [RUN]


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[None]:
    """A worker that still has its journal."""
    with (tmp_path / "b.1.jsonl").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("saving")
def test_nobody_waits_for_workers_that_still_save_their_notebooks(bench: Bench) -> None:
    assert bench.end_dead() == []
    assert bench.executors == []
    assert bench.store.run(RUN) == bench.runs.find(RUN)
    assert bench.document()["state"] == "interrupted"
    assert states(bench.document())["b"] == "cancelled"


@pytest.mark.usefixtures("saving")
def test_nor_do_workers_save_for_longer_than_a_lease_lasts(bench: Bench) -> None:
    """They hang: who recovers their attempts ends them."""
    bench.clock.go_on(61)
    assert bench.end_dead() == [RUN]


def test_nothing_is_done_where_the_archive_or_the_store_cannot_be_written(bench: Bench) -> None:
    def fail(*_: Any) -> Any:
        raise UnreachableError("the disk is read-only")

    before, events = list(bench.store.events(RUN)), bench.store.events
    bench.store.events = None  # type: ignore[assignment] - nobody has to read what cannot be ended
    assert bench.end_dead(check=fail) == []
    bench.store.events = events  # type: ignore[method-assign]
    claim = bench.store.claim
    bench.store.claim = fail  # type: ignore[method-assign]
    assert bench.end_dead() == []
    assert {run: error.message for run, error in bench.failed.items()} == {RUN: "the disk is read-only"}
    bench.store.claim = claim  # type: ignore[method-assign]
    assert list(bench.store.events(RUN)) == before
    assert bench.end_dead() == [RUN]
    assert bench.failed == {}


def test_of_two_who_find_it_one_ends_it(bench: Bench) -> None:
    rows = bench.runs.dead()
    assert end_dead(rows, bench.runs, bench.ports, nothing, {}) == [RUN]
    kept = list(bench.store.events(RUN))
    end_dead(rows, bench.runs, bench.ports, nothing, {})
    assert list(bench.store.events(RUN)) == kept


def test_a_long_run_is_not_ended_in_passing(bench: Bench) -> None:
    rows = [replace(row, seq=MOST_EVENTS + 1) for row in bench.runs.dead()]
    assert end_dead(rows, bench.runs, bench.ports, nothing, {}) == []


def test_its_executor_is_closed_whatever_comes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Outcome:
        raise UnreachableError("no worker can be started")

    monkeypatch.setattr(FakeExecutor, "recover", broken)
    with pytest.raises(UnreachableError):
        end(bench.runs.find(RUN), bench.runs, bench.ports())
    assert bench.executors[0].calls == ["close"]
    row = bench.store.run(RUN)
    assert row is not None
    assert row.owner is None
