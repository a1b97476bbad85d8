"""Fakes of what an engine works with: a clock that is told the time, an executor that does what it is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from nbflow.core import events as ev
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Finished, Report
from nbflow.core.ports import Store
from nbflow.core.spec import Preload
from nbflow.core.state import RunState, fold
from nbflow.core.views import project
from support.build import NOON

Behaviour = Callable[[WorkOrder], Sequence[Report]]
"""What an executor reports of an attempt, at once."""


def succeed(order: WorkOrder) -> Sequence[Report]:
    """Every attempt succeeds."""
    return [Finished(task=order.task, attempt=order.attempt, outcome=Outcome(verdict=Verdict.SUCCEEDED))]


class FakeClock:
    """Implements `ports.Clock`; stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.at = NOON
        self.seconds = 1.0
        self.wrong = timedelta()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return self.at + self.wrong

    def go_on(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds

    def put(self, seconds: float) -> None:
        """The clock on the wall is set, forward or back, where instants go by it."""
        self.at += timedelta(seconds=seconds)

    def put_wall(self, seconds: float) -> None:
        """The clock on the wall is set where nothing else goes by it."""
        self.wrong += timedelta(seconds=seconds)


class FakeExecutor:
    """Implements `ports.Executor` in the caller's thread; `calls` tells what it was asked for."""

    def __init__(self, behaviour: Behaviour = succeed) -> None:
        self.behaviour = behaviour
        self.calls: list[str] = []
        self.report: Callable[[Report], None] | None = None

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        self.calls.append("prepare")

    def open(self, report: Callable[[Report], None]) -> None:
        self.calls.append("open")
        self.report = report

    def submit(self, order: WorkOrder) -> None:
        self.calls.append(f"submit {order.task}/{order.attempt}")
        assert self.report is not None, "submitted before it was opened"
        for report in self.behaviour(order):
            self.report(report)

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        self.calls.append(
            f"cancel {task}/{attempt}" + (" force" if force else "") + (f" {error.kind}" if error else "")
        )

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        self.calls.append(f"recover {order.task}/{order.attempt}")
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        self.calls.append("close")


def record(store: Store, first: ev.RunCreated) -> RunState:
    """Keep the first event of a run and return its state."""
    stamped = ev.Stamped(run=first.run, seq=1, at=NOON, event=first)
    state = fold([stamped])
    store.create([stamped], project(state))
    return state
