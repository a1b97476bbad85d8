"""Engines that claim, append, crash and come back too late, in any order: each store does what a dictionary would.

The rules say what must follow from the model alone; what is refused must leave the store as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conformance.test_store import PLACES
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.ports import Store
from nbflow.core.rows import LEASE_SECONDS, PoolUse, Projection
from nbflow.core.state import RunState, fold
from nbflow.core.views import project
from nbflow.errors import ConflictError
from support.build import planned
from support.engines import FakeClock
from support.stored import begun, cells, projected, rebuilt

NUMBERS = count(1)
"""Examples share a store: their runs have names of their own."""
POOL = "warehouse"


@dataclass
class Model:
    """What the store must say of a run."""

    events: list[ev.Stamped]
    owner: str | None = None
    fence: int = 0
    heartbeat: float = 0.0
    held: int = 0
    inbox: list[str] = field(default_factory=list)


@dataclass
class Handle:
    """What an engine believes of its run. It may be wrong by now."""

    run: str
    owner: str
    fence: int
    state: RunState


class StoreMachine(RuleBasedStateMachine):
    """`store` and `clock` are set by a class for each adapter."""

    store: Store
    clock: FakeClock

    runs = Bundle("runs")
    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.dead: set[str] = set()

    def alive(self, owner: str) -> bool | None:
        """Of those on another host nobody can tell."""
        return None if owner.startswith("far") else owner not in self.dead

    def lapsed(self, model: Model) -> bool:
        return model.owner is not None and model.heartbeat < self.clock.seconds - LEASE_SECONDS

    def owns(self, handle: Handle) -> bool:
        model = self.models[handle.run]
        return model.owner is not None and model.fence == handle.fence

    # Runs and their owners

    @rule(target=runs, owner=st.sampled_from([None, "near-1", "far-1"]))
    def create(self, owner: str | None) -> str:
        run = f"run-{next(NUMBERS)}"
        history, state = begun(planned("a"), run=run, at=self.clock.now())
        fence = self.store.create(history, project(state), owner)
        self.models[run] = Model(events=history, owner=owner, fence=fence, heartbeat=self.clock.seconds)
        return run

    @rule(run=runs)
    def create_again(self, run: str) -> None:
        history, state = begun(planned("b"), run=run)
        with pytest.raises(ConflictError, match="exists already"):
            self.store.create(history, project(state))

    @rule(target=handles, run=runs, owner=st.sampled_from(["near-1", "near-2", "far-1", "far-2"]))
    def claim(self, run: str, owner: str) -> Handle:
        """One who is refused has a handle too: a fence that never was given."""
        model = self.models[run]
        holder = model.owner
        lives = holder is not None and holder != owner and self.alive(holder)
        is_free = lives is False or (lives is None and self.lapsed(model))
        self.dead.discard(owner)
        state = fold(model.events)
        if not is_free:
            with pytest.raises(ConflictError, match=f"{holder}"):
                self.store.claim(run, owner, self.alive)
            return Handle(run, owner, model.fence + 1000, state)
        fence = self.store.claim(run, owner, self.alive)
        assert fence > model.fence
        model.owner, model.fence, model.heartbeat = owner, fence, self.clock.seconds
        return Handle(run, owner, fence, state)

    @rule(owner=st.sampled_from(["near-1", "near-2"]))
    def crash(self, owner: str) -> None:
        """It is gone; what it had stays with it until somebody else claims it. Its handles are those of a ghost."""
        self.dead.add(owner)

    @rule(seconds=st.sampled_from([1, int(LEASE_SECONDS) - 1, int(LEASE_SECONDS) + 1]))
    def pass_time(self, seconds: int) -> None:
        self.clock.go_on(seconds)

    @rule(handle=handles)
    def renew(self, handle: Handle) -> None:
        if not self.owns(handle):
            with pytest.raises(ConflictError):
                self.store.renew(handle.run, handle.fence)
            return
        self.store.renew(handle.run, handle.fence)
        self.models[handle.run].heartbeat = self.clock.seconds

    @rule(handle=handles)
    def release(self, handle: Handle) -> None:
        model, mine = self.models[handle.run], self.owns(handle)
        self.store.release(handle.run, handle.fence)
        if mine:
            model.owner, model.held = None, 0

    # Events

    @rule(handle=handles, size=st.integers(1, 3), held=st.none() | st.integers(0, 2))
    def append(self, handle: Handle, size: int, held: int | None) -> None:
        self.keep(handle, size, held, lambda events, projection: self.store.append(events, projection, handle.fence))

    @rule(handle=handles, size=st.integers(1, 3), held=st.integers(0, 2))
    def append_pooled(self, handle: Handle, size: int, held: int) -> None:
        """What it sees of the pools is what others have, all of it."""
        others = {run: one.held for run, one in self.models.items() if one.held and run != handle.run}

        def append(events: Sequence[ev.Stamped], projection: Projection) -> None:
            def decide(uses: Sequence[PoolUse]) -> Any:
                assert {use.run: use.held for use in uses if use.run in self.models} == others
                return events, projection

            self.store.append_pooled(handle.run, decide, handle.fence)

        self.keep(handle, size, held, append)

    @rule(handle=handles)
    def decide_nothing(self, handle: Handle) -> None:
        with suppress(ConflictError):  # of one who owns nothing: nothing is what it may do
            assert list(self.store.append_pooled(handle.run, lambda _: None, handle.fence)) == []

    def keep(self, handle: Handle, size: int, held: int | None, append: Callable[..., None]) -> None:
        """Append as the engine of a handle would; it is kept only where nobody else has come between."""
        model, before = self.models[handle.run], handle.state.seq
        events, projection = cells(handle.state, size)
        if held is not None:
            projection = replace(projection, pools=(PoolUse(run=handle.run, pool=POOL, held=held),))
        if not self.owns(handle) or before != model.events[-1].seq:
            handle.state.seq = before
            with pytest.raises(ConflictError):
                append(events, projection)
            return
        append(events, projection)
        model.events += events
        model.heartbeat = self.clock.seconds
        model.held = model.held if held is None else held

    # Requests

    @rule(run=runs, by=st.sampled_from(["me", "you", "é"]))
    def post(self, run: str, by: str) -> None:
        self.store.post(run, msg.Cancel(mode=msg.StopMode.CANCEL, by=by))
        self.models[run].inbox.append(by)

    @rule(run=runs)
    def take(self, run: str) -> None:
        model = self.models[run]
        assert [request.by for request in self.store.take(run)] == model.inbox
        model.inbox = []

    # What is always true

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        for run, model in self.models.items():
            row = self.store.run(run)
            assert row is not None
            said = row.owner, row.seq, row.lapsed
            assert said == (model.owner, len(model.events), self.lapsed(model))

    def teardown(self) -> None:
        uses = {use.run: use.held for use in self.store.pools() if use.run in self.models}
        assert uses == {run: model.held for run, model in self.models.items() if model.held}
        for run, model in self.models.items():
            assert list(self.store.events(run)) == model.events
            assert projected(self.store, run) == rebuilt(self.store, run)
            if model.owner is not None:
                self.store.release(run, model.fence)


def run_machine(name: str, folder: Path, examples: int) -> None:
    """Examples on a store of its own."""
    machine_clock = FakeClock()
    made = PLACES[name](folder, machine_clock.now)

    class Machine(StoreMachine):
        store, clock = made, machine_clock

    asked = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    try:
        run_state_machine_as_test(Machine, settings=asked)
    finally:
        made.close()


@pytest.mark.parametrize(("name", "examples"), [("memory", 200), *((name, 15) for name in PLACES if name != "memory")])
def test_it_does_what_the_model_does(name: str, examples: int, tmp_path: Path) -> None:
    run_machine(name, tmp_path, examples)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PLACES)
def test_it_does_what_the_model_does_for_long(name: str, tmp_path: Path) -> None:
    run_machine(name, tmp_path, 2_000)
