"""The fake executor of a simulation: what becomes of attempts, and how their reports come back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from random import Random

from nbflow.core import messages as msg
from nbflow.core.attempt import CellState, ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.spec import Preload
from simulation.oracle import Wrong
from simulation.worlds import FAILURES, Temper, outputs
from support.engines import FakeClock


@dataclass(order=True)
class Letter:
    """A report on its way. `stands` tells, when it arrives, whether it was ever sent: a cancel replaces the end."""

    at: datetime
    number: int
    report: msg.Report = field(compare=False)
    stands: Callable[[], bool] = field(compare=False)


class Mail:
    """Reports on their way, from living and dead workers."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._letters: list[Letter] = []
        self._count = 0

    def post(self, after: float, report: msg.Report, stands: Callable[[], bool]) -> None:
        self._count += 1
        heappush(self._letters, Letter(self._clock.at + timedelta(seconds=after), self._count, report, stands))

    def next_at(self) -> datetime | None:
        """When the next one arrives, if any is on its way."""
        while self._letters and not self._letters[0].stands():
            heappop(self._letters)
        return self._letters[0].at if self._letters else None

    def arrived(self, rng: Random) -> list[msg.Message]:
        """Reports that are there by now; the engine may look before the last one of them is."""
        found: list[msg.Message] = []
        while (at := self.next_at()) is not None and at <= self._clock.at:
            found.append(heappop(self._letters).report)
            if rng.random() < 0.3:
                break
        return found

    def lose_some(self, rng: Random, part: float) -> None:
        """A machine went down, and with it some of the reports of its workers."""
        self._letters = sorted(letter for letter in self._letters if rng.random() < part)


class Worker:
    """Implements `ports.Executor` for one engine. The executor of a later engine knows nothing of this one."""

    def __init__(
        self,
        rng: Random,
        temper: Temper,
        mail: Mail,
        may_crash: Callable[[], None],
        is_kept: Callable[[str, int], bool],
    ) -> None:
        self.orders: list[WorkOrder] = []
        self.killed: list[tuple[str, int, bool]] = []
        self._rng, self._temper, self._mail, self._may_crash, self._is_kept = rng, temper, mail, may_crash, is_kept
        self._ends: dict[tuple[str, int], object] = {}

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """Nothing to load."""

    def open(self, report: Callable[[msg.Report], None]) -> None:
        """Nothing to make ready: reports go by mail."""

    def close(self) -> None:
        """Nothing to give back."""

    def submit(self, order: WorkOrder) -> None:
        self._may_crash()
        if not self._is_kept(order.task, order.attempt):
            raise Wrong(f"{order.task}/{order.attempt} was submitted before that was kept")
        self.orders.append(order)
        self._begin(order.task, order.attempt)
        self._may_crash()

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        self._may_crash()
        self.killed.append((task, attempt, force))
        if (task, attempt) in self._ends and (force or self._rng.random() < self._temper.obedience):
            outcome = Outcome(verdict=Verdict.CANCELLED, duration=self._rng.random())
            self._end(self._rng.choice([0.0, 0.5, 5.0]), msg.Finished(task=task, attempt=attempt, outcome=outcome))

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        error = TaskError(kind=ErrorKind.LOST, message=message)
        return Outcome(verdict=Verdict.FAILED, error=error, duration=self._rng.random())

    def _begin(self, task: str, attempt: int) -> None:
        """Send all reports of an attempt on their way."""
        rng, at = self._rng, self._rng.choice([0.0, 0.1, 1.0])
        if rng.random() < 0.9:
            self._send(at, msg.Started(task=task, attempt=attempt, pid=rng.randint(1, 99), cells=2))
        for cell in range(rng.choice([0, 0, 0, 1, 2])):
            self._send(at, msg.CellStart(task=task, attempt=attempt, cell=cell, number=cell + 1, title="x"))
            for part in range(rng.choice([0, 0, 1, 2])):
                at += rng.choice([0.0, 1.0])
                text = f"part {part}\n"
                self._send(at, msg.CellOutput(task=task, attempt=attempt, cell=cell, number=cell + 1, text=text))
            at += rng.choice([0.0, 0.2])
            self._send(
                at,
                msg.CellDone(
                    task=task, attempt=attempt, cell=cell, number=cell + 1, state=CellState.OK, duration=rng.random()
                ),
            )
        at += rng.choice([0.0, 0.1, 3.0, 10.0, 60.0])
        if rng.random() < self._temper.silent:
            self._end(at + 1000, msg.Lost(task=task, attempt=attempt, message="no word for 1000 s"))
        elif rng.random() < self._temper.lost:
            self._end(at, msg.Lost(task=task, attempt=attempt, message="its process is gone"))
        else:
            self._end(at, msg.Finished(task=task, attempt=attempt, outcome=self._outcome()))
        if rng.random() < self._temper.foreign:
            name, number = rng.choice([("nobody", 1), (task, attempt + 50), (task, 0)])
            self._send(at / 2, msg.Finished(task=name, attempt=number, outcome=self._outcome()))

    def _outcome(self) -> Outcome:
        rng = self._rng
        if rng.random() >= self._temper.failure:
            return Outcome(verdict=Verdict.SUCCEEDED, outputs=outputs(rng), duration=rng.random())
        kind, _, ename = rng.choice(FAILURES).partition(":")
        error = TaskError(kind=ErrorKind(kind), message="it broke", ename=ename or None)
        return Outcome(
            verdict=Verdict.FAILED,
            error=error if rng.random() < 0.95 else None,
            outputs={"n": rng.randint(0, 9)} if rng.random() < 0.5 else {},
            duration=rng.random(),
        )

    def _end(self, after: float, report: msg.Finished | msg.Lost) -> None:
        """Send a final report, in place of the one that may be on its way."""
        key, token = (report.task, report.attempt), object()
        self._ends[key] = token
        self._send(after, report, lambda: self._ends[key] is token)

    def _send(self, after: float, report: msg.Report, stands: Callable[[], bool] = lambda: True) -> None:
        self._mail.post(after, report, stands)
        if self._rng.random() < self._temper.doubled:
            self._mail.post(after + self._rng.choice([0.0, 1.0]), report, stands)
        if self._rng.random() < self._temper.late:
            self._mail.post(after + self._rng.choice([5.0, 40.0, 400.0]), report, stands)
