"""The order of things in an attempt, with a kernel that does what the test says."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from nbflow.core.attempt import CellState, ErrorKind, TaskError, Verdict
from nbflow.core.messages import CellDone, CellStart, Report, Started
from nbflow.core.spec import Limits
from nbflow.errors import UnreachableError
from nbflow.kernels.leaving import Left
from nbflow.kernels.specs import KernelSpec
from nbflow.worker import runner, start
from nbflow.worker.client import Pending
from nbflow.worker.control import Control, Stop, StopCause
from nbflow.worker.session import Ending, Session
from nbflow.worker.vitals import Vitals
from support.attempts import code, notebook

Act = Callable[["Kernel", Pending], None]


class Kernel:
    """What a script makes of a kernel. `cells` are what happens when the first, second, ... cell is sent."""

    cells: list[Act]
    starts = True
    ready = True
    ends_when_asked = True
    ends_on: Collection[signal.Signals] = (signal.SIGTERM, signal.SIGKILL)
    on_interrupt: Act | None = None
    made: Kernel

    is_forked = False
    mask: Any = None
    hang_up: Callable[[], None]
    usage = None

    def __init__(
        self, spec: KernelSpec, *, cwd: str, env: dict[str, str], zygote: None, reason: None, ahead: None
    ) -> None:
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self.spec, self.env, self.cwd, self.reason = spec, env, cwd, reason
        self.folder = "/run/k"
        self.calls: list[str] = []
        self.running: Pending | None = None
        type(self).made = self

    async def start(self, longest: float | None = None) -> None:
        self.longest = longest
        if not self.starts:
            raise UnreachableError("no such program")
        self.pid = 4242

    async def interrupt(self) -> None:
        self.calls.append("interrupt")
        if self.on_interrupt is not None and self.running is not None:
            self.on_interrupt(self.running)  # type: ignore[call-arg, arg-type]

    def signal_group(self, number: signal.Signals) -> None:
        self.calls.append(number.name)
        if number in self.ends_on:
            self.die(-number)

    def die(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)

    async def close(self) -> list[str]:
        self.calls.append("close")
        return ["sleep (pid 9)"]

    def last_words(self, most: int = 2_000) -> str:
        return "ouch"


class Client:
    """A client of that kernel."""

    def __init__(self, notebook_: Any, kernel: Kernel, recorder: Any) -> None:
        self.kernel, self.recorder = kernel, recorder
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.hung_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        kernel.hang_up = lambda: self.hung_up.set_result(None)
        self.is_ready = False
        self.sent = 0

    def open(self) -> None:
        return

    async def ready(self) -> None:
        if not self.kernel.ready:
            await asyncio.Event().wait()
        self.is_ready = True

    def begin(self, index: int, cell: Any) -> Pending:
        pending = self.kernel.running = Pending(index)
        pending.run()
        asyncio.get_running_loop().call_soon(self.kernel.cells[self.sent], self.kernel, pending)
        self.sent += 1
        return pending

    def left(self) -> Left | None:
        return None

    async def ask_to_end(self) -> None:
        self.kernel.calls.append("ask")
        if self.kernel.ends_when_asked:
            self.kernel.die(0)

    async def drain(self) -> None:
        self.kernel.calls.append("drain")

    async def aclose(self) -> None:
        return


class Journal:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, kind: str, **body: Any) -> None:
        self.records.append({"type": kind, **body})

    def sync_soon(self) -> None:
        return


def ok(kernel: Kernel, pending: Pending) -> None:
    pending.reply = {"status": "ok"}
    pending.settle()


def error(ename: str) -> Act:
    def act(kernel: Kernel, pending: Pending) -> None:
        pending.reply = {"status": "error", "ename": ename, "evalue": ""}
        pending.settle()

    return act


def hang(kernel: Kernel, pending: Pending) -> None:
    return


def die(kernel: Kernel, pending: Pending) -> None:
    kernel.die(-9)


class Played:
    """One run of a script: its ending, its records, reports and what was done to the kernel."""

    def __init__(
        self, kind: type[Kernel], control: Control, limits: Limits, grace: float, cells: tuple[Any, ...]
    ) -> None:
        journal = Journal()
        self.reports: list[Report] = []
        spec = KernelSpec(name="fake", display_name="Fake", language="python", argv=("fake",))
        session = Session(
            task="t",
            attempt=1,
            document=notebook(*cells),
            kernel=spec,
            root="/root",
            limits=limits,
            grace=grace,
            began=time.monotonic(),
            variables={"NBFLOW_TASK": "t"},
            journal=journal,  # type: ignore[arg-type]
            control=control,
            report=self.reports.append,
        )
        self.ending: Ending = asyncio.run(runner.run(session, None))
        self.records = journal.records
        self.kernel = kind.made

    @property
    def states(self) -> list[str]:
        return [record["state"] for record in self.records if record["type"] == "cell_ended"]

    @property
    def kind(self) -> ErrorKind | None:
        return self.ending.error.kind if self.ending.error else None

    @property
    def warnings(self) -> list[str]:
        return [record["text"] for record in self.records if record["type"] == "warning"]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Played]:
    monkeypatch.setattr(runner, "JournalClient", Client)

    def run(
        *acts: Act,
        control: Control | None = None,
        limits: Limits | None = None,
        grace: float = 0.05,
        cells: tuple[Any, ...] | None = None,
        **traits: Any,
    ) -> Played:
        kind = type("Scripted", (Kernel,), {"cells": list(acts), **traits})
        monkeypatch.setattr(runner, "Kernel", kind)
        return Played(kind, control or Control(), limits or Limits(), grace, cells or tuple("x" * len(acts)))

    return run


def test_a_cell_that_ends_well_over_its_limit_has_not(
    play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had started was ended for it: its reply counts no more, and its kernel is killed."""
    monkeypatch.setattr(Vitals, "is_over_limit", property(lambda self: True))
    monkeypatch.setattr(Vitals, "explain", lambda self, what, source: (f"memory limit {source}", None))
    played = play(ok, ok)
    assert played.ending.error == TaskError(kind=ErrorKind.KERNEL_DIED, message="memory limit x", cell=0)
    assert played.states == ["killed"]
    assert played.kernel.calls[:1] == ["SIGTERM"]


def test_threads_as_many_as_cores(play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "thread_variables", lambda cpu, environment: {"OMP_NUM_THREADS": str(cpu)})
    played = play(ok, limits=Limits(cpu=3))
    assert played.kernel.env["OMP_NUM_THREADS"] == "3"
    assert played.kernel.reason == start.OWN_THREADS


def test_all_goes_well(play: Callable[..., Played]) -> None:
    cells = ("first", "  ", code("no", "skip-execution"), "second")
    played = play(ok, ok, cells=cells)
    assert played.ending == Ending(verdict=Verdict.SUCCEEDED)
    assert played.states == ["ok", "skipped", "skipped", "ok"]
    assert [type(one) for one in played.reports] == [
        Started,
        CellStart,
        CellDone,
        CellDone,
        CellDone,
        CellStart,
        CellDone,
    ]
    started = played.reports[0]
    assert isinstance(started, Started)
    assert (started.pid, started.kernel, started.cells) == (4242, "fake", 4)
    last = played.reports[-1]
    assert isinstance(last, CellDone)
    assert (last.cell, last.number, last.state) == (3, 4, CellState.OK)
    assert played.kernel.calls == ["ask", "SIGKILL", "drain", "close"]
    assert played.kernel.env["NBFLOW_TASK"] == "t"
    assert played.records[-1] == {"type": "left_behind", "process": "sleep (pid 9)"}
    assert [set(record) for record in played.records if record["type"] == "kernel_ended"] == [{"type", "cpu", "memory"}]


def test_a_failure_ends_it_in_good_order(play: Callable[..., Played]) -> None:
    played = play(ok, error("ValueError"), ok)
    assert (played.kind, played.states) == (ErrorKind.EXCEPTION, ["ok", "failed"])
    assert played.kernel.calls == ["ask", "SIGKILL", "drain", "close"]


PROSE = {"cell_type": "markdown", "source": "prose", "metadata": {}}


class TestNumbers:
    """An error counts all cells from 0, people count code cells from 1: a text with either would contradict one."""

    def test_messages_have_no_number(self, play: Callable[..., Played]) -> None:
        cells = (PROSE, "a", PROSE, "b")
        for last, limits in ((die, Limits()), (hang, Limits(cell_timeout=0.05))):
            played = play(ok, last, cells=cells, limits=limits)
            assert played.ending.error is not None
            assert played.ending.error.cell == 3
            assert "cell 3" not in played.ending.error.message
            assert "cell 2" not in played.ending.error.message

    def test_a_warning_counts_code_cells_from_one(self, play: Callable[..., Played]) -> None:
        played = play(ok, ok, cells=(PROSE, "a", PROSE, code("b", "raises-exception")))
        assert played.warnings[0] == "cell 2 is tagged raises-exception and did not raise"


class TestDeath:
    def test_in_a_cell(self, play: Callable[..., Played]) -> None:
        played = play(ok, die, ok)
        assert (played.kind, played.states) == (ErrorKind.KERNEL_DIED, ["ok", "killed"])
        assert played.ending.error is not None
        assert (played.ending.error.cell, played.ending.error.signal) == (1, 9)
        assert "it said last: ouch" in played.ending.error.message
        assert "ask" not in played.kernel.calls

    def test_one_that_hangs_up_and_goes_on_has_restarted(
        self, play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "_LEAVING", 0.05)

        def restart(kernel: Kernel, pending: Pending) -> None:
            kernel.hang_up()

        played = play(ok, restart, ok, ends_on={signal.SIGKILL})
        assert (played.kind, played.states) == (ErrorKind.KERNEL_DIED, ["ok", "killed"])
        assert played.ending.error is not None
        assert (played.ending.error.cell, played.ending.error.signal) == (1, None)
        assert played.ending.error.message.startswith("the kernel restarted in a cell")

    def test_one_that_hangs_up_on_its_way_out_has_died(self, play: Callable[..., Played]) -> None:
        def leave(kernel: Kernel, pending: Pending) -> None:
            kernel.hang_up()
            asyncio.get_running_loop().call_later(0.05, kernel.die, 7)

        played = play(leave)
        assert played.kind is ErrorKind.KERNEL_DIED
        assert played.ending.error is not None
        assert "exit code 7" in played.ending.error.message

    def test_between_two_cells(self, play: Callable[..., Played]) -> None:
        def last_breath(kernel: Kernel, pending: Pending) -> None:
            ok(kernel, pending)
            kernel.die(1)

        played = play(last_breath, ok)
        assert (played.kind, played.states) == (ErrorKind.KERNEL_DIED, ["ok"])
        assert played.ending.error is not None
        assert played.ending.error.cell is None

    def test_after_the_last_cell_it_changes_nothing(self, play: Callable[..., Played]) -> None:
        def last_breath(kernel: Kernel, pending: Pending) -> None:
            ok(kernel, pending)
            kernel.die(1)

        assert play(last_breath).ending.verdict is Verdict.SUCCEEDED

    def test_before_it_was_ready(self, play: Callable[..., Played]) -> None:
        async def start(self: Kernel, longest: float | None = None) -> None:
            self.pid = 999_999_999  # of no process
            self.die(3)

        played = play(ok, ready=False, start=start)
        assert played.kind is ErrorKind.START_FAILED
        assert played.ending.error is not None
        assert played.ending.error.message == 'kernel "fake" ended before it was ready: exit code 3\nit said last: ouch'


class TestStart:
    def test_it_cannot_be_started(self, play: Callable[..., Played]) -> None:
        played = play(ok, starts=False)
        assert played.kind is ErrorKind.START_FAILED
        assert played.kernel.calls == ["close"]

    def test_it_knows_how_long_it_may_take(self, play: Callable[..., Played]) -> None:
        assert play(ok, limits=Limits(start_timeout=50, timeout=None)).kernel.longest == pytest.approx(50, abs=5)
        assert play(ok, limits=Limits(start_timeout=50, timeout=20)).kernel.longest == pytest.approx(20, abs=5)
        assert play(ok, limits=Limits(start_timeout=None, timeout=None)).kernel.longest is None

    @pytest.mark.parametrize(
        ("limits", "kind", "said"),
        [
            (Limits(start_timeout=0.05), ErrorKind.START_FAILED, "start_timeout"),
            (Limits(timeout=0.05), ErrorKind.TIMEOUT, "(timeout)"),
        ],
    )
    def test_it_is_never_ready(self, play: Callable[..., Played], limits: Limits, kind: ErrorKind, said: str) -> None:
        played = play(ok, ready=False, limits=limits)
        assert played.kind is kind
        assert played.ending.error is not None
        assert said in played.ending.error.message
        assert played.kernel.calls[0] == "SIGTERM"


class TestLimits:
    def test_a_cell_that_can_be_interrupted(self, play: Callable[..., Played]) -> None:
        played = play(hang, ok, limits=Limits(cell_timeout=0.05), on_interrupt=ok, grace=5.0)
        assert (played.kind, played.states) == (ErrorKind.TIMEOUT, ["failed"])
        assert played.kernel.calls == ["interrupt", "ask", "SIGKILL", "drain", "close"]

    def test_one_that_cannot(self, play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "_TERMINATED", 0.05)
        played = play(hang, ok, limits=Limits(cell_timeout=0.05), ends_on={signal.SIGKILL})
        assert (played.kind, played.states) == (ErrorKind.TIMEOUT, ["killed"])
        assert played.kernel.calls[:4] == ["interrupt", "interrupt", "SIGTERM", "SIGKILL"]

    def test_a_cell_that_runs_for_some_time_is_interrupted_once(
        self, play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "_FRESH", 0.01)
        played = play(hang, limits=Limits(cell_timeout=0.05))
        assert played.kernel.calls[:2] == ["interrupt", "SIGTERM"]

    def test_an_interrupt_that_a_fresh_cell_did_not_feel_is_repeated(self, play: Callable[..., Played]) -> None:
        def second(kernel: Kernel, pending: Pending) -> None:
            if kernel.calls.count("interrupt") == 2:
                error("KeyboardInterrupt")(kernel, pending)

        played = play(hang, limits=Limits(cell_timeout=0.05), on_interrupt=second, grace=0.2)
        assert played.states == ["failed"]

    def test_the_notebooks_own(self, play: Callable[..., Played]) -> None:
        played = play(hang, limits=Limits(timeout=0.1, cell_timeout=100))
        assert played.kind is ErrorKind.TIMEOUT
        assert played.ending.error is not None
        assert "(timeout)" in played.ending.error.message

    def test_the_notebooks_own_between_two_cells(self, play: Callable[..., Played]) -> None:
        def slow(kernel: Kernel, pending: Pending) -> None:
            ok(kernel, pending)
            time.sleep(0.2)

        played = play(slow, ok, limits=Limits(timeout=0.1))
        assert (played.kind, played.states) == (ErrorKind.TIMEOUT, ["ok"])


class TestStops:
    def asking(self, control: Control, **stop: Any) -> Act:
        def act(kernel: Kernel, pending: Pending) -> None:
            control.request(Stop(**{"cause": StopCause.CANCELLED, **stop}))

        return act

    def test_a_cell_is_interrupted_and_the_rest_is_not_run(self, play: Callable[..., Played]) -> None:
        control = Control()
        interrupted = error("KeyboardInterrupt")
        played = play(self.asking(control), ok, control=control, on_interrupt=interrupted, grace=5.0)
        assert played.ending == Ending(verdict=Verdict.CANCELLED)
        assert played.states == ["failed"]
        assert played.kernel.calls[0] == "interrupt"

    def test_a_cell_that_ends_well_all_the_same(self, play: Callable[..., Played]) -> None:
        control = Control()
        played = play(self.asking(control), ok, control=control, on_interrupt=ok, grace=5.0)
        assert (played.ending.verdict, played.states) == (Verdict.CANCELLED, ["ok"])

    def test_force_asks_nothing(self, play: Callable[..., Played]) -> None:
        control = Control()
        played = play(self.asking(control, force=True), ok, control=control, ends_on={signal.SIGKILL}, grace=50.0)
        assert (played.ending.verdict, played.states) == (Verdict.CANCELLED, ["killed"])
        assert played.kernel.calls[0] == "SIGKILL"

    def test_force_cuts_the_grace_short(self, play: Callable[..., Played]) -> None:
        control = Control()
        force = self.asking(control, force=True)
        played = play(self.asking(control), ok, control=control, on_interrupt=force, grace=50.0)
        assert played.kernel.calls[:2] == ["interrupt", "SIGKILL"]

    def test_before_the_first_cell(self, play: Callable[..., Played]) -> None:
        control = Control()
        control.request(Stop(cause=StopCause.CANCELLED))
        played = play(ok, control=control)
        assert (played.ending.verdict, played.states) == (Verdict.CANCELLED, [])

    def test_while_it_starts(self, play: Callable[..., Played]) -> None:
        control = Control()
        control.request(Stop(cause=StopCause.CANCELLED))
        assert play(ok, control=control, ready=False).ending.verdict is Verdict.CANCELLED

    def test_it_fails_with_the_error_that_it_is_asked_to(self, play: Callable[..., Played]) -> None:
        control, late = Control(), TaskError(kind=ErrorKind.TIMEOUT, message="the run's time limit has passed")
        played = play(self.asking(control, error=late), ok, control=control, on_interrupt=ok, grace=5.0)
        assert played.ending == Ending(verdict=Verdict.FAILED, error=replace(late, cell=0))

    def test_a_signal_from_anywhere_makes_it_lost(self, play: Callable[..., Played]) -> None:
        control = Control()
        played = play(self.asking(control, cause=StopCause.SIGNAL), ok, control=control, on_interrupt=ok, grace=5.0)
        assert played.kind is ErrorKind.LOST
        assert played.ending.error is not None
        assert "stopped from outside" in played.ending.error.message

    def test_an_owner_that_is_gone_makes_it_lost(self, play: Callable[..., Played]) -> None:
        control = Control()
        played = play(self.asking(control, cause=StopCause.OWNER_GONE), ok, control=control)
        assert (played.kind, played.states) == (ErrorKind.LOST, ["killed"])


def test_a_kernel_that_does_not_end_when_asked_is_killed_and_that_is_said(play: Callable[..., Played]) -> None:
    played = play(ok, ends_when_asked=False)
    assert played.ending.verdict is Verdict.SUCCEEDED
    assert played.kernel.calls[:2] == ["ask", "SIGTERM"]
    assert played.warnings[0] == "the kernel did not end when it was asked to, and was killed"


def test_a_journal_that_breaks_ends_it_and_the_kernel(
    play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(self: Client, index: int, cell: Any) -> Pending:
        self.broken.set_exception(UnreachableError("the disk is full"))
        kernels.append(self.kernel)
        return Pending(index)

    kernels: list[Kernel] = []
    monkeypatch.setattr(Client, "begin", begin)
    with pytest.raises(UnreachableError, match="the disk is full"):
        play(ok)
    assert kernels[0].calls == ["close"]


def test_an_interrupt_waits_until_the_kernel_can_feel_it(
    play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(self: Client, index: int, cell: Any) -> Pending:
        pending = self.kernel.running = Pending(index)
        control.request(Stop(cause=StopCause.CANCELLED))
        asyncio.get_running_loop().call_later(0.1, running, self.kernel, pending)
        return pending

    def running(kernel: Kernel, pending: Pending) -> None:
        kernel.calls.append("running")
        pending.run()

    control = Control()
    monkeypatch.setattr(Client, "begin", begin)
    played = play(ok, control=control, on_interrupt=error("KeyboardInterrupt"), grace=5.0)
    assert played.kernel.calls[:2] == ["running", "interrupt"]
    assert played.states == ["failed"]
