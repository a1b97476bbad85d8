"""The loop: append first, act after; whose requests it hears; what it leaves when something breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nbflow.core import messages as msg
from nbflow.core.attempt import WorkOrder
from nbflow.core.events import Stamped
from nbflow.core.plan import PlannedTask
from nbflow.core.rows import Projection
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import RunState, fold
from nbflow.core.views import run_summary, task_document
from nbflow.engine.loop import POLL_SECONDS, Engine, Ports
from nbflow.errors import ConflictError, UnreachableError
from nbflow.store.memory import MemoryStore
from support.build import RUN, created, planned
from support.engines import Behaviour, FakeClock, FakeExecutor, record, succeed
from support.notation import line, parse_message

START = msg.Start(owner="engine")


class NotedStore(MemoryStore):
    """Notes each append among the executor's calls, and fails at the one that it is told to."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls
        self.fails_at: str | None = None

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        lines = [line(one) for one in events]
        if self.fails_at in lines:
            raise UnreachableError("the disk is full")
        super().append(events, projection, fence)
        self.calls.append(f"append {lines[-1]}")


class Bench:
    """An engine with a store and a fake executor."""

    def __init__(self, *tasks: PlannedTask, behaviour: Behaviour = succeed, **settings: Any) -> None:
        self.clock, self.executor = FakeClock(), FakeExecutor(behaviour)
        self.store = NotedStore(self.executor.calls)
        self.seen: list[Stamped] = []
        self.sealed: list[RunState] = []
        self.on_event: Callable[[Stamped], None] = self.seen.append
        self.on_seal: Callable[[RunState], None] = self.sealed.append
        self.state = record(self.store, created(tasks, **settings))
        self.fence = self.store.claim(RUN, "engine", lambda _: True)
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        ports = Ports(
            store=self.store,
            executor=self.executor,
            clock=self.clock,
            seal=self.seal,
            listeners=[self.hear],
        )
        return Engine(self.state, self.fence, ports)

    def seal(self, state: RunState) -> None:
        self.on_seal(state)

    def hear(self, stamped: Stamped) -> None:
        self.on_event(stamped)

    @property
    def stored(self) -> list[str]:
        return [line(one) for one in self.store.events(RUN)]


def reports(*lines: str) -> Sequence[Any]:
    return [parse_message(one) for one in lines]


def test_a_run_to_its_end() -> None:
    bench = Bench(planned("a"), planned("b", "a"))
    state = bench.engine.run([START])
    assert state is bench.engine.state is bench.sealed[0]
    assert state.status == "succeeded"
    assert bench.stored[-1] == "run_finished succeeded"
    assert bench.executor.calls == [
        "open",
        "append attempt_submitted a/1",
        "submit a/1",
        "append attempt_submitted b/1",
        "submit b/1",
        "append run_finished succeeded",
        "close",
    ]


def test_listeners_hear_every_event_once_it_is_kept() -> None:
    bench = Bench(planned("a"))
    bench.engine.run([START])
    assert bench.seen == list(bench.store.events(RUN, after=1))


def test_the_projections_are_those_of_the_fold() -> None:
    bench = Bench(planned("a"), planned("b", "a", when="params.nobody"), planned("c", "b"))
    bench.engine.run([START])
    state = fold(bench.store.events(RUN))
    assert bench.store.task_rows(RUN) == [task_document(state, task) for task in state.tasks.values()]
    row = bench.store.run(RUN)
    assert row is not None
    assert (row.document, row.seq, row.state) == (run_summary(state), state.seq, "failed")


def test_a_retry_comes_when_its_time_has_come() -> None:
    def fail_once(order: WorkOrder) -> Sequence[Any]:
        bench.clock.go_on(60)
        return reports("failed a/1") if order.attempt == 1 else reports("succeeded a/2")

    bench = Bench(planned("a", retry=RetryPolicy(retries=1, delay=0.001)), behaviour=fail_once)

    def pass_time(stamped: Stamped) -> None:
        if line(stamped).startswith("retry_scheduled"):
            bench.clock.go_on(1)

    bench.on_event = pass_time
    bench.engine.run([START])
    assert bench.executor.calls.count("submit a/2") == 1


class TestRequests:
    """`nbflow cancel` leaves a request in the store."""

    cancel = msg.Cancel(mode=msg.StopMode.CANCEL, by="somebody else")

    def test_it_is_heard_while_nothing_happens(self) -> None:
        def wait(order: WorkOrder) -> Sequence[Any]:
            bench.store.post(RUN, self.cancel)
            return []

        bench = Bench(planned("a"), planned("b", "a"), behaviour=wait)
        bench.executor.cancel = lambda *_, **__: bench.engine.post(parse_message("stopped a/1"))  # type: ignore[method-assign]
        assert bench.engine.run([START]).status == "cancelled"
        assert "cancel_requested cancel" in bench.stored

    def test_it_is_heard_while_the_inbox_is_never_empty(self) -> None:
        """A notebook that prints without end must not keep the engine from asking the store."""
        bench = Bench(planned("a"), behaviour=lambda order: reports("cell a/1 0"))

        def print_on(stamped: Stamped) -> None:
            bench.clock.go_on(POLL_SECONDS / 4)
            match line(stamped).split():
                case ["cell_started", _, cell] if int(cell) < 100:
                    bench.engine.post(parse_message(f"cell a/1 {int(cell) + 1}"))
                    if cell == "3":
                        bench.store.post(RUN, self.cancel)
                case ["kill_requested", *_]:
                    bench.engine.post(parse_message("stopped a/1"))
                case _:
                    pass

        bench.on_event = print_on
        assert bench.engine.run([START]).status == "cancelled"
        assert bench.stored.count("cell_started a/1 20") == 0

    def test_one_that_comes_too_late_does_not_meet_the_resumed_run(self) -> None:
        bench = Bench(planned("a"), behaviour=lambda order: reports("failed a/1"))
        bench.on_seal = lambda _: bench.store.post(RUN, self.cancel)
        assert bench.engine.run([START]).status == "failed"
        assert bench.store.take(RUN) == []


class TestBreaks:
    def test_nothing_is_done_that_could_not_be_kept(self) -> None:
        bench = Bench(planned("a"), planned("b", "a"))
        bench.store.fails_at = "attempt_submitted b/1"
        with pytest.raises(UnreachableError):
            bench.engine.run([START])
        assert bench.executor.calls[-1] == "close"
        assert "submit b/1" not in bench.executor.calls
        assert bench.stored[-1] == "attempt_submitted a/1"
        assert bench.seen[-1] == list(bench.store.events(RUN))[-1]

    def test_an_engine_that_has_lost_its_run_stops(self) -> None:
        def take_over(order: WorkOrder) -> Sequence[Any]:
            bench.store.claim(RUN, "another", lambda _: False)
            return reports("succeeded a/1")

        bench = Bench(planned("a"), planned("b", "a"), behaviour=take_over)
        with pytest.raises(ConflictError, match="another"):
            bench.engine.run([START])
        assert bench.executor.calls[-1] == "close"
        assert bench.stored[-1] == "attempt_submitted a/1"

    def test_a_run_that_has_ended_is_left_as_it_is(self) -> None:
        bench = Bench(planned("a"))
        bench.engine.run([START])
        events = bench.stored
        assert bench.new_engine().run([START]).status == "succeeded"
        assert bench.stored == events


def test_a_stop_reaches_the_executor() -> None:
    def interrupt(order: WorkOrder) -> Sequence[Any]:
        bench.engine.post(parse_message("interrupt"))
        bench.engine.post(parse_message("interrupt force"))
        return []

    bench = Bench(planned("a"), behaviour=interrupt)
    calls = bench.executor.calls

    def cancel(task: str, attempt: int, *, force: bool) -> None:
        calls.append(f"cancel {task}/{attempt} {force}")
        if force:
            bench.engine.post(parse_message("stopped a/1"))

    bench.executor.cancel = cancel  # type: ignore[method-assign]
    assert bench.engine.run([START]).status == "interrupted"
    assert [call for call in calls if call.startswith("cancel")] == ["cancel a/1 False", "cancel a/1 True"]
