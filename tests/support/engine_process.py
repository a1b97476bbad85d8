"""An engine on a SQLite store, in a process that tests kill: its executor only pretends, so that thousands may die.

`python -m support.engine_process STORE LEDGER SHAPE SIZE SEED`, from the folder of the tests. Makes the run where there
is none, else resumes it; says `begun`, and at the end the run's state. Each attempt that begins is a line of the
ledger.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from nbflow.core import events as ev
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Finished, Report, Resume, Start, Started
from nbflow.core.plan import make_plan
from nbflow.core.spec import Pipeline, Preload, RetryPolicy, Task
from nbflow.core.state import fold
from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import Engine, Ports
from nbflow.engine.owner import is_alive, this_process
from nbflow.engine.recovery import recover
from nbflow.execution import record
from nbflow.store.sqlite import SqliteStore

RUN = "sales-20260131T120000-k3fa"
LAYER = 100
"""Tasks in a layer of `layers`; each needs all of the layer before."""

SUCCEEDED = Outcome(verdict=Verdict.SUCCEEDED, outputs={"rows": 1}, duration=0.01)
BROKEN = Outcome(
    verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.EXCEPTION, message="it broke", ename="ValueError")
)

Needs = Iterator[tuple[str, list[str]]]


def independent(size: int) -> Needs:
    """Tasks that need nothing."""
    for place in range(size):
        yield f"t{place:05d}", []


def chain(size: int) -> Needs:
    """Each needs the one before."""
    for place in range(size):
        yield f"t{place:05d}", [f"t{place - 1:05d}"] if place else []


def fan(size: int) -> Needs:
    """One, then so many, then one that needs them all."""
    middle = [f"t{place:05d}" for place in range(size)]
    yield "first", []
    for name in middle:
        yield name, ["first"]
    yield "last", middle


def layers(size: int) -> Needs:
    """Layers of 100, each fully connected to the next."""
    before: list[str] = []
    for layer in range(size // LAYER):
        names = [f"t{layer:03d}_{place:02d}" for place in range(LAYER)]
        for name in names:
            yield name, before
        before = names


def mixed(size: int) -> Needs:
    """Tasks that need a few of the ones before them, always the same."""
    chance = random.Random(size)
    names = [f"t{place:05d}" for place in range(size)]
    for place, name in enumerate(names):
        near = names[max(0, place - 6) : place]
        yield name, sorted(chance.sample(near, min(len(near), chance.randrange(4))))


SHAPES: dict[str, Callable[[int], Needs]] = {one.__name__: one for one in (independent, chain, fan, layers, mixed)}


class Pretender:
    """An executor whose attempts do nothing. With `faults` they end late, in any order, some by an error first."""

    def __init__(self, ledger: Path, seed: int, *, faults: bool) -> None:
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._rng = random.Random(seed)
        self._faults = faults

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """There is nothing to load."""

    def open(self, report: Callable[[Report], None]) -> None:
        """Take the place to report to."""
        self._report = report

    def submit(self, order: WorkOrder) -> None:
        """Note that it began, and have it end."""
        os.write(self._ledger, f"{order.task} {order.attempt}\n".encode())
        self._report(Started(task=order.task, attempt=order.attempt, pid=1, host="here", kernel="python3", cells=1))
        if not self._faults:
            self._end(order, SUCCEEDED)
            return
        breaks = order.attempt == 1 and self._rng.random() < 0.1
        threading.Timer(self._rng.random() * 0.01, self._end, [order, BROKEN if breaks else SUCCEEDED]).start()

    def _end(self, order: WorkOrder, outcome: Outcome) -> None:
        self._report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        """Nothing runs long enough."""

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        """Some ended by themselves after their engine had died."""
        if self._rng.random() < 0.5:
            return SUCCEEDED
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        """Nothing to give back."""


def make(shape: str, size: int, *, faults: bool) -> ev.RunCreated:
    """A run of some shape, as a request would make it."""
    retry = RetryPolicy(retries=1, delay=0.001) if faults else RetryPolicy()
    tasks = {
        name: Task(name=name, notebook="n.ipynb", needs=tuple(needs), retry=retry)
        for name, needs in SHAPES[shape](size)
    }
    plan = make_plan(Pipeline(name="sales", tasks=tasks), selected=tasks.keys(), sources={}, past=lambda _: None)
    return ev.RunCreated(
        run=RUN,
        pipeline="sales",
        logical_date=SystemClock().now(),
        plan=plan,
        settings=ev.Settings(root="/p", outputs="outputs", folder="sales/run", journals="/journals", jobs=8),
    )


def main(path: str, ledger: str, shape: str, size: str, seed: str) -> None:
    """Carry the run out, to its end or to that of this process."""
    faults = shape == "mixed"
    with closing(SqliteStore(Path(path))) as store:
        is_new = store.run(RUN) is None
        if is_new:
            record(make(shape, int(size), faults=faults), store)
        owner = this_process()
        fence = store.claim(RUN, owner, is_alive)
        state = fold(store.events(RUN))
        executor = Pretender(Path(ledger), int(seed), faults=faults)
        ports = Ports(store=store, executor=executor, clock=SystemClock(), seal=lambda _: None)
        print("begun", flush=True)
        again = [] if is_new or state.started_at is None else [Resume()]
        ended = Engine(state, fence, ports).run([*recover(state, executor), *again, Start(owner=owner)])
        store.release(RUN, fence)
    print(ended.status, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
