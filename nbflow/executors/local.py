"""Attempts on this machine: one worker process for each, its reports read in a thread.

The process of the executor stays light: whatever is heavy is loaded once, by the server that forks the workers.
A worker that dies without an outcome, or hangs, is never the end of it: another one makes the notebook from the
journal first.
Must not know how a worker does its work.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Finished, Report
from nbflow.core.spec import Preload
from nbflow.executors.ahead import worker_command
from nbflow.executors.process import WorkerProcess
from nbflow.executors.workers import Workers
from nbflow.worker.protocol import ProtocolError, decode_report, encode_cancel, encode_order

_CLOSING = 15.0
"""Seconds that workers get, once their kernels are killed, to publish what they have."""
_OVERDUE = 300.0
"""Seconds after its time limit, or after it was asked to end, in which a worker may end by itself and archive."""
_LEFT = TaskError(kind=ErrorKind.LOST, message="the process that ran it could not go on")
"""What attempts fail with that still run when the executor is closed."""


class LocalExecutor:
    """Runs each attempt in a process of its own.

    `grace`: seconds that an interrupted cell gets to end. `forks`: fork workers from a server where the system allows
    it, instead of starting each.
    """

    def __init__(self, python: str = sys.executable, *, grace: float = 10.0, forks: bool = True) -> None:
        self._workers = Workers(worker_command(python, grace), forks=forks)
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Attempt] = {}
        self._report: Callable[[Report], None] | None = None

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """Load what attempts need, and what the notebooks of these kernels import; returns at once."""
        self._workers.prepare(kernels, cwd, withheld)

    def open(self, report: Callable[[Report], None]) -> None:
        """Make ready; every report of every attempt goes to `report`, from a thread of that attempt."""
        self._report = report

    def submit(self, order: WorkOrder) -> None:
        """Begin an attempt and return at once."""
        if self._report is None:
            raise RuntimeError("the executor is not open")
        attempt = _Attempt(order, self._workers, self._report, self._forget)
        with self._lock:
            self._running[order.task, order.attempt] = attempt
        try:
            attempt.thread.start()
        except RuntimeError as error:
            self._forget(order)
            self._report(attempt.not_begun(str(error)))

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        """Ask an attempt to end (`force`: kill its kernel now; `error`: as failed); unknown ones have just ended."""
        with self._lock:
            found = self._running.get((task, attempt))
        if found is not None:
            found.cancel(force=force, error=error)

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        """What is left of an attempt whose engine died. Its own outcome, where it ended by itself after that.

        Its worker, if it still lives, first gets time to end; what is left of it is ended. Takes seconds.
        """
        return _recovered(self._workers, order, message, lambda _: None)

    def close(self) -> None:
        """Kill the kernels that still run, let the notebooks be published, and leave no process behind."""
        with self._lock:
            running = list(self._running.values())
        for attempt in running:
            attempt.cancel(force=True, error=_LEFT)
        deadline = time.monotonic() + _CLOSING
        for attempt in running:
            attempt.thread.join(max(0.0, deadline - time.monotonic()))
        for attempt in running:
            attempt.kill()
        self._workers.close()
        for attempt in running:
            attempt.thread.join()

    def _forget(self, order: WorkOrder) -> None:
        with self._lock:
            self._running.pop((order.task, order.attempt), None)


class _Attempt:
    """One attempt on its way: the thread that reads its worker's reports, and requests to cancel it."""

    def __init__(
        self,
        order: WorkOrder,
        workers: Workers,
        report: Callable[[Report], None],
        forget: Callable[[WorkOrder], None],
    ) -> None:
        self.thread = threading.Thread(target=self._run, name=f"attempt {order.task}/{order.attempt}", daemon=True)
        self._order = order
        self._workers = workers
        self._report = report
        self._forget = forget
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._asked = b""
        self._is_forced = False

    def cancel(self, *, force: bool, error: TaskError | None) -> None:
        line = encode_cancel(force=force, error=error)
        with self._lock:
            self._asked += line
            self._is_forced = self._is_forced or force
            if self._worker is not None:
                self._tell(self._worker, line)

    def _tell(self, worker: WorkerProcess, line: bytes) -> None:
        worker.send(line)
        if line:
            worker.hurry(after=0.0 if self._is_forced else _OVERDUE)

    def kill(self) -> None:
        with self._lock:
            if self._worker is not None:
                self._worker.kill()

    def not_begun(self, reason: str) -> Finished:
        """The report of one for which the system had no process or no thread."""
        return self._finished(_failed(ErrorKind.START_FAILED, f"no worker could be started: {reason}"))

    def _run(self) -> None:
        try:
            last = self._executed()
        finally:
            self._forget(self._order)
        self._report(last)

    def _executed(self) -> Finished:
        try:
            finished, autopsy = self._talk()
        except OSError as error:
            return self.not_begun(error.strerror or str(error))
        if finished is not None:
            return finished
        reason = f"the worker of {self._order.task} died: {autopsy}"
        return self._finished(_recovered(self._workers, self._order, reason, self._have))

    def _talk(self) -> tuple[Finished | None, str]:
        worker = self._workers.take()
        worker.send(encode_order(self._order))
        if (limit := self._order.limits.timeout) is not None:
            worker.hurry(after=limit + _OVERDUE)
        self._have(worker)
        finished = _listen(worker, self._report)
        self._have(None)
        worker.end()
        return finished, worker.autopsy()

    def _have(self, worker: WorkerProcess | None) -> None:
        """Note the worker that requests are for."""
        with self._lock:
            self._worker = worker
            if worker is not None:
                self._tell(worker, self._asked)

    def _finished(self, outcome: Outcome) -> Finished:
        return Finished(task=self._order.task, attempt=self._order.attempt, outcome=outcome)


def _listen(worker: WorkerProcess, report: Callable[[Report], None]) -> Finished | None:
    """Pass a worker's reports on; the last one is returned. None where it died, or said what is no report."""
    finished: Finished | None = None
    try:
        for line in worker.lines():
            match decode_report(line):
                case Finished() as finished:
                    pass
                case other:
                    report(other)
    except ProtocolError:
        worker.kill()
    return finished


def _recovered(
    workers: Workers, order: WorkOrder, reason: str, have: Callable[[WorkerProcess | None], None]
) -> Outcome:
    """Have the notebook of an attempt made by a worker of its own, of which `have` is told. Where that fails too, or
    does not come to an end either, the outcome says so.
    """
    try:
        worker = workers.take()
    except OSError as error:
        return _failed(ErrorKind.LOST, f"{reason}; its notebook could not be made: {error.strerror}")
    worker.send(encode_order(order, recover=reason))
    worker.hurry(after=_OVERDUE)
    have(worker)
    finished = _listen(worker, lambda _: None)
    have(None)
    worker.end()
    if finished is not None:
        return finished.outcome
    return _failed(ErrorKind.LOST, f"{reason}; its notebook could not be made: {worker.autopsy()}")


def _failed(kind: ErrorKind, message: str) -> Outcome:
    return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=kind, message=message))
