"""The loop: append first, act after; whose requests it hears; what it leaves when something breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from nbflow.core import messages as msg
from nbflow.core.attempt import ErrorKind, TaskError, WorkOrder
from nbflow.core.events import Stamped
from nbflow.core.plan import PlannedTask
from nbflow.core.pools import Overtaken
from nbflow.core.rows import LEASE_SECONDS, PoolUse, Projection
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import RunState, fold
from nbflow.core.views import run_summary, task_document
from nbflow.engine.lease import RENEW_SECONDS
from nbflow.engine.loop import POLL_SECONDS, RESCUE_SECONDS, Engine, Ports, Probe, Rescue
from nbflow.errors import ConflictError, StoppedError, UnreachableError
from nbflow.store.memory import MemoryStore
from support.build import RUN, created, planned
from support.engines import Behaviour, FakeClock, FakeExecutor, record, succeed
from support.notation import line, parse_message
from support.stored import Kept, cells

START = msg.Start(owner="engine")
INTERRUPT = msg.Cancel(mode=msg.StopMode.INTERRUPT, by="somebody")


class NotedStore(MemoryStore):
    """Notes each append among the executor's calls, and fails at the one that it is told to."""

    def __init__(self, calls: list[str], now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self.calls = calls
        self.fails_at: str | None = None
        self.kept: list[list[str]] = []

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        lines = [line(one) for one in events]
        if self.fails_at in lines:
            raise UnreachableError("the disk is full")
        super().append(events, projection, fence)
        self.calls.append(f"append {lines[-1]}")
        self.kept.append(sorted(document["task"] for document in projection.tasks.values()))

    def hurry(self) -> None:
        super().hurry()
        self.calls.append("hurry")


class Bench:
    """An engine with a store and a fake executor."""

    def __init__(self, *tasks: PlannedTask, behaviour: Behaviour = succeed, **settings: Any) -> None:
        self.clock, self.executor = FakeClock(), FakeExecutor(behaviour)
        self.store = NotedStore(self.executor.calls, self.clock.now)
        self.seen: list[Stamped] = []
        self.sealed: list[RunState] = []
        self.on_event: Callable[[Stamped], None] = self.seen.append
        self.probe: Probe = lambda _: None
        self.on_seal: Callable[[RunState], None] = self.sealed.append
        self.rescue: Rescue = lambda _: None
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
            probe=self.probe,
            rescue=self.rescue,
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


def test_of_a_run_that_the_store_has_only_what_changes_is_kept() -> None:
    bench = Bench(planned("a"), planned("b", "a"), planned("c", "b"))
    bench.engine.run([START])
    assert bench.store.kept == [["a"], ["a", "b"], ["b", "c"], ["c"]]


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


class TestNothingCanBeArchived:
    """An attempt has failed for that: where the next one would too, none begins."""

    def bench(self) -> Bench:
        def fail(order: WorkOrder) -> Sequence[Any]:
            return reports(f"failed {order.task}/1 archive")

        return Bench(planned("a"), planned("b"), jobs=1, behaviour=fail)

    def test_it_stops_and_says_why(self) -> None:
        bench = self.bench()
        full = UnreachableError("the disk is full", hint="make room")

        def probe(_: str) -> None:
            raise full

        bench.probe = probe
        engine = bench.new_engine()
        assert engine.run([START]).status == "interrupted"
        assert engine.refusal is full
        assert [call for call in bench.executor.calls if call.startswith("submit")] == ["submit a/1"]
        assert bench.stored[-3:] == [
            "task_failed a: failed: archive (it broke)",
            "task_cancelled b: interrupted by nbflow: the archive takes nothing more",
            "run_finished interrupted",
        ]
        assert bench.executor.calls[-1] == "close"
        assert len(bench.sealed) == 1

    def test_it_goes_on_where_only_that_one_could_not(self) -> None:
        bench = self.bench()
        probed: list[str] = []
        bench.probe = probed.append
        engine = bench.new_engine()
        assert engine.run([START]).status == "failed"
        assert engine.refusal is None
        assert probed == ["it broke", "it broke"]
        assert bench.executor.calls.count("submit b/1") == 1


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


class TestLease:
    def test_it_is_renewed_while_nothing_happens(self) -> None:
        bench = Bench(planned("a"), behaviour=lambda order: [])
        renewed: list[float] = []
        renew, take = bench.store.renew, bench.store.take

        def note(run: str, fence: int) -> None:
            renew(run, fence)
            renewed.append(bench.clock.seconds)
            if len(renewed) == 3:
                bench.engine.post(parse_message("succeeded a/1"))

        def pass_time(run: str) -> list[msg.Cancel]:
            bench.clock.go_on(RENEW_SECONDS + 1)
            return take(run)

        bench.store.renew = note  # type: ignore[method-assign]
        bench.store.take = pass_time  # type: ignore[method-assign]
        assert bench.engine.run([START]).status == "succeeded"
        assert len(renewed) == 3

    def test_an_engine_that_only_waits_finds_out_that_it_has_lost_its_run(self) -> None:
        def take_over(order: WorkOrder) -> Sequence[Any]:
            bench.store.claim(RUN, "another", lambda _: False)
            bench.clock.go_on(RENEW_SECONDS + 1)
            return []

        bench = Bench(planned("a"), behaviour=take_over)
        with pytest.raises(ConflictError, match="taken over by another"):
            bench.engine.run([START])
        assert bench.executor.calls[-1] == "close"

    def test_nothing_is_begun_after_a_sleep_without_asking(self) -> None:
        """The machine sleeps just after the append, and another takes the run over."""
        bench = Bench(planned("a"))
        append = bench.store.append

        def sleep_after(*args: Any) -> None:
            append(*args)
            bench.store.claim(RUN, "another", lambda _: False)
            bench.clock.go_on(LEASE_SECONDS + 1)

        bench.store.append = sleep_after  # type: ignore[method-assign]
        with pytest.raises(ConflictError, match="taken over by another"):
            bench.engine.run([START])
        assert bench.executor.calls == ["open", "append attempt_submitted a/1", "close"]


class TestPools:
    @staticmethod
    def other(store: MemoryStore, held: int, owner: str = "other") -> Kept:
        """Another run, that holds slots."""
        run = Kept(store, planned("a"), run="other", owner=owner)
        events, projection = cells(run.state, 1)
        uses = (PoolUse(run="other", pool="db", held=held),)
        store.append(events, replace(projection, pools=uses), run.fence)
        return run

    def test_slots_are_taken_and_given_back_with_the_events(self) -> None:
        bench = Bench(*(planned(name, pool="db") for name in "abc"), pools={"db": 2}, jobs=3)
        held: list[tuple[str, int]] = []
        bench.on_event = lambda one: held.append((line(one), sum(use.held for use in bench.store.pools())))
        assert bench.engine.run([START]).status == "succeeded"
        assert ("attempt_submitted b/1", 2) in held
        assert held[-1] == ("run_finished succeeded", 0)
        assert max(count for _, count in held) == 2

    def test_a_task_waits_for_slots_of_another_run_and_gets_them_soon(self) -> None:
        bench = Bench(planned("a", pool="db"), pools={"db": 1})
        other = self.other(bench.store, 1)
        asked: list[Any] = []

        def rescue(runs: Any) -> None:
            asked.append((list(runs), bench.store.pools("other")))
            assert bench.engine.waits == {"db": "waits for pool db (1 of 1 taken, by run other)"}
            bench.store.release("other", other.fence)

        bench.rescue = rescue
        bench.engine = bench.new_engine()
        assert bench.engine.run([START]).status == "succeeded"
        assert bench.engine.waits == {}
        ((runs, uses),) = asked
        assert runs == ["other"]
        assert [(use.run, use.held, use.wanted) for use in uses] == [(RUN, 0, 1)]

    def test_who_holds_what_is_waited_for_is_looked_after_now_and_then(self) -> None:
        bench = Bench(planned("a", pool="db"), pools={"db": 1})
        other = self.other(bench.store, 1)
        looks: list[float] = []
        take = bench.store.take

        def pass_time(run: str) -> list[msg.Cancel]:
            bench.clock.go_on(RESCUE_SECONDS / 2)
            return take(run)

        def rescue(runs: Any) -> None:
            looks.append(bench.clock.seconds)
            if len(looks) == 3:
                bench.store.release("other", other.fence)

        bench.rescue, bench.store.take = rescue, pass_time  # type: ignore[method-assign]
        bench.engine = bench.new_engine()
        bench.engine.run([START])
        assert looks == [looks[0] + RESCUE_SECONDS * place for place in range(3)]

    @pytest.mark.parametrize("at", ["start", "succeeded"])
    def test_what_was_not_kept_is_decided_again_by_what_others_have_got_since(self, at: str) -> None:
        """`at` is what was to be kept: the first of all events, or some in the midst of the run."""
        bench = Bench(planned("a", pool="db"), planned("b", "a", pool="db"), planned("c"), pools={"db": 1}, jobs=1)
        append, lost = bench.store.append_pooled, []

        def lose(run: str, decide: Callable[[Sequence[PoolUse]], Any], fence: int) -> Sequence[Stamped]:
            if (at == "start") == (bench.engine.state.seq == 1) and not lost:
                batch = decide(bench.store.pools(run))
                lost.append([line(one) for one in batch[0]])
                self.other(bench.store, 1)
                raise Overtaken
            return append(run, decide, fence)

        bench.store.append_pooled = lose  # type: ignore[method-assign]
        bench.rescue = lambda _: bench.store.release("other", 1)
        bench.engine = bench.new_engine()
        ended = bench.engine.run([START])
        assert ended is bench.engine.state is bench.sealed[0]
        assert ended.status == "succeeded"
        assert lost[0][-1] == ("attempt_submitted a/1" if at == "start" else "attempt_submitted b/1")
        assert bench.stored.count(lost[0][-1]) == 1
        assert [call for call in bench.executor.calls if call.startswith("submit")][at != "start"] == "submit c/1"
        assert bench.store.task_rows(RUN) == [task_document(ended, task) for task in ended.tasks.values()]

    def test_a_run_that_stops_wants_nothing_any_more(self) -> None:
        bench = Bench(planned("a", pool="db"), pools={"db": 1})
        self.other(bench.store, 1)
        bench.rescue = lambda _: bench.engine.post(parse_message("cancel"))
        bench.engine = bench.new_engine()
        assert bench.engine.run([START]).status == "cancelled"
        assert bench.store.pools("other") == []

    def test_without_pools_nobody_is_asked(self) -> None:
        bench = Bench(planned("a"))

        def never(*_: Any) -> Any:
            raise AssertionError

        bench.store.append_pooled = never  # type: ignore[method-assign]
        assert bench.engine.run([START]).status == "succeeded"


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

    @pytest.mark.parametrize("is_stopped", [False, True])
    def test_an_end_is_told_though_its_page_cannot_be_made(self, *, is_stopped: bool) -> None:
        full = UnreachableError("the disk is full")

        def seal(_: RunState) -> None:
            raise full

        bench = Bench(planned("a"))
        bench.on_seal = seal
        if is_stopped:
            bench.engine.stop(INTERRUPT)
        assert bench.engine.run([START]).ended_at is not None
        assert [line(one) for one in bench.seen] == bench.stored[1:]
        if is_stopped:
            assert isinstance(bench.engine.refusal, StoppedError)
        else:
            assert bench.engine.refusal is full

    def test_a_store_that_fails_after_the_end_does_not_hide_it(self) -> None:
        bench = Bench(planned("a"))
        gone = UnreachableError("the disk is gone")

        def take(run: str) -> list[msg.Cancel]:
            if bench.engine.state.ended_at is not None:
                raise gone
            return []

        bench.store.take = take  # type: ignore[method-assign]
        assert bench.engine.run([START]).status == "succeeded"
        assert bench.engine.refusal is gone

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


class TestAStopWhileTheStoreIsAway:
    def stopped(self, stop: Callable[[Bench], None]) -> Bench:
        """An engine that is asked to stop in the midst of its first attempt; the store is away from then on."""

        def hear(_: WorkOrder) -> Sequence[Any]:
            stop(bench)
            bench.store.fails_at = "cancel_requested interrupt"
            return []

        bench = Bench(planned("a"), behaviour=hear)
        return bench

    def test_it_says_so_and_leaves_nothing_running(self) -> None:
        bench = self.stopped(lambda bench: bench.engine.stop(INTERRUPT))
        with pytest.raises(StoppedError) as told:
            bench.engine.run([START])
        assert told.value.message == f"run {RUN} was stopped, but not in good order: the disk is full"
        assert told.value.exit_code == 130
        assert told.value.hint == f"see to that; then: nbflow resume {RUN}"
        assert bench.executor.calls[-2:] == ["hurry", "close"]

    def test_one_that_another_process_asks_for_is_no_reason_to_hurry(self) -> None:
        bench = self.stopped(lambda bench: bench.store.post(RUN, INTERRUPT))
        with pytest.raises(UnreachableError, match=r"^the disk is full"):
            bench.engine.run([START])
        assert "hurry" not in bench.executor.calls

    def test_with_the_store_there_it_is_kept_as_ever(self) -> None:
        bench = Bench(planned("a"))
        bench.engine.stop(INTERRUPT)
        assert bench.engine.run([START]).status == "succeeded", "nothing was left to stop"


def test_what_the_time_limit_of_the_run_ends_is_told_so() -> None:
    def too_long(_: WorkOrder) -> Sequence[Any]:
        bench.clock.go_on(5)
        return []

    bench = Bench(planned("a"), behaviour=too_long, timeout=4.0)
    asked: list[TaskError | None] = []

    def cancel(task: str, attempt: int, *, force: bool, error: TaskError | None) -> None:
        assert (task, attempt, force) == ("a", 1, False)
        asked.append(error)
        bench.engine.post(parse_message("stopped a/1"))

    bench.executor.cancel = cancel  # type: ignore[method-assign]
    state = bench.engine.run([START])
    assert asked == [TaskError(kind=ErrorKind.TIMEOUT, message="the run's time limit of 4 s has passed")]
    assert state.tasks["a"].error == asked[0], "also of an executor that only cancels"


def test_a_stop_reaches_the_executor() -> None:
    def interrupt(order: WorkOrder) -> Sequence[Any]:
        bench.engine.post(parse_message("interrupt"))
        bench.engine.post(parse_message("interrupt force"))
        return []

    bench = Bench(planned("a"), behaviour=interrupt)
    calls = bench.executor.calls

    def cancel(task: str, attempt: int, *, force: bool, error: TaskError | None) -> None:
        calls.append(f"cancel {task}/{attempt} {force}")
        if force:
            bench.engine.post(parse_message("stopped a/1"))

    bench.executor.cancel = cancel  # type: ignore[method-assign]
    assert bench.engine.run([START]).status == "interrupted"
    assert [call for call in calls if call.startswith("cancel")] == ["cancel a/1 False", "cancel a/1 True"]
