"""An engine that shares a pool with others, in a process that tests kill.

`python -m support.pooled_process STORE FOLDER RUN`, from the folder of the tests, where STORE is a path or a URL. That
it may do what it does is not only nbflow's word: each attempt holds one of as many locks of the system as there are
slots, and the engine one for its run. They end with the process, however that ends; who gets none writes so into the
ledger. No attempt ends before there is a file `go`.
"""

from __future__ import annotations

import fcntl
import os
import random
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Finished, Report, Resume, Start
from nbflow.core.spec import Preload
from nbflow.core.state import fold
from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import Engine, Ports
from nbflow.engine.owner import is_alive, this_process
from nbflow.engine.recovery import recover
from nbflow.errors import ConflictError
from nbflow.store.opening import open_store

SLOTS = 2
REFUSED = 4
LONGEST = 0.05
"""Seconds that an attempt takes at most."""
GO = "go"
BEGUN, FULL, TOO_MANY, OWNED_TWICE = "begun", "full", "too-many", "owned-twice"
"""What the ledger says: an attempt has begun, the last slot is taken, there was none left, another engine lives."""


def owned(run: str) -> str:
    """The name of the file of which the engine of a run has the lock."""
    return f"owner-{run}"


class Witness:
    """An executor whose attempts take a moment, in threads, and prove that there is a slot for each."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run = folder, run
        self._ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._own: int | None = None

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """There is nothing to load."""

    def open(self, report: object) -> None:
        """Take the place to report to; from now on the run is ours."""
        assert callable(report)
        self._report = report
        self._own = self._lock(owned(self._run))
        if self._own is None:
            self._note(OWNED_TWICE, self._run)

    def submit(self, order: WorkOrder) -> None:
        """Note that it began, take a slot, and have it end."""
        self._note(BEGUN, self._run, order.task, str(order.attempt))
        self._threads.append(threading.Thread(target=self._work, args=(order,)))
        self._threads[-1].start()

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        """Nothing runs long enough."""

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        """It died with its engine."""
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        """End what runs, without a report; the run is ours no more."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _work(self, order: WorkOrder) -> None:
        found = next(((slot, held) for slot in range(SLOTS) if (held := self._lock(f"slot-{slot}")) is not None), None)
        if found is None:
            self._note(TOO_MANY, self._run, order.task)
        elif found[0] == SLOTS - 1:
            self._note(FULL, self._run, order.task)
        while not (self._folder / GO).exists() and not self._closing.wait(0.01):
            pass
        ended = not self._closing.wait(random.uniform(0.0, LONGEST))
        if found is not None:
            os.close(found[1])
        if ended:
            last: Report = Finished(
                task=order.task, attempt=order.attempt, outcome=Outcome(verdict=Verdict.SUCCEEDED, outputs={"rows": 1})
            )
            self._report(last)

    def _lock(self, name: str) -> int | None:
        """Hold a lock, if nobody else does: an open file, which is to be closed to let it go."""
        held = os.open(self._folder / name, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        return held

    def _note(self, *words: str) -> None:
        os.write(self._ledger, f"{' '.join(words)}\n".encode())


def main(place: str, folder: str, run: str) -> int:
    """Carry a run out, to its end or to that of this process; 4 where somebody else has it."""
    with closing(open_store(place)) as store:
        owner = this_process()
        try:
            fence = store.claim(run, owner, is_alive)
        except ConflictError:
            return REFUSED
        state, executor = fold(store.events(run)), Witness(Path(folder), run)
        ports = Ports(store=store, executor=executor, clock=SystemClock(), seal=lambda _: None)
        again = [Resume()] if state.started_at is not None and state.ended_at is None else []
        Engine(state, fence, ports).run([*recover(state, executor), *again, Start(owner=owner)])
        store.release(run, fence)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
