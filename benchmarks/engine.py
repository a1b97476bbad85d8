"""What the engine costs per task: the loop, the core and the store, with an executor that does nothing.

    python benchmarks/engine.py [--store sqlite|memory|URL] [--sizes 1000 10000] [--shapes chain fan ...] [--jobs 8]

Prints, for each shape and size, milliseconds a task for planning and making the run, for running it (wall and
processor), for reading it back, and for resuming it after a death in the middle: all from the claim to the end. And how
the running cost per task grows from the first size to the last (1.0 is linear). The target is at most 1 ms a task,
linear. What one fsync costs on this disk stands above: a chain needs one a task, since nothing is begun before it is
kept.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nbflow.core import events as ev
from nbflow.core.attempt import CellCounts, ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.database_url import is_database, shown
from nbflow.core.messages import Finished, Report, Resume, Start, Started
from nbflow.core.plan import make_plan
from nbflow.core.ports import Store
from nbflow.core.spec import Pipeline, Preload, Task
from nbflow.core.state import RunState, fold
from nbflow.core.views import project
from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import Engine, Ports
from nbflow.engine.recovery import recover
from nbflow.store.memory import MemoryStore
from nbflow.store.postgres.store import PostgresStore
from nbflow.store.sqlite import SqliteStore

LAYER = 100
"""Tasks in a layer; each needs all of the layer before."""


def independent(size: int) -> Iterator[tuple[str, list[str]]]:
    """Tasks that need nothing."""
    for place in range(size):
        yield f"t{place:05d}", []


def chain(size: int) -> Iterator[tuple[str, list[str]]]:
    """Each needs the one before."""
    for place in range(size):
        yield f"t{place:05d}", [f"t{place - 1:05d}"] if place else []


def fan(size: int) -> Iterator[tuple[str, list[str]]]:
    """One, then all the others, then one that needs them all."""
    middle = [f"t{place:05d}" for place in range(1, size - 1)]
    yield "first", []
    for name in middle:
        yield name, ["first"]
    yield "last", middle


def layers(size: int) -> Iterator[tuple[str, list[str]]]:
    """Layers of 100, each fully connected to the next."""
    before: list[str] = []
    for layer in range(size // LAYER):
        names = [f"t{layer:03d}_{place:02d}" for place in range(LAYER)]
        for name in names:
            yield name, before
        before = names


SHAPES: dict[str, Callable[[int], Iterator[tuple[str, list[str]]]]] = {
    "independent": independent,
    "chain": chain,
    "fan": fan,
    "layers": layers,
}


class DeathError(BaseException):
    """In place of a `kill -9` in the middle: nothing of ours catches it."""


class InstantExecutor:
    """Every attempt starts and succeeds at once. With `lives`, the engine dies when it submits one more than that."""

    def __init__(self, lives: int | None = None) -> None:
        self._lives = lives

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """There is nothing to load."""

    def open(self, report: Callable[[Report], None]) -> None:
        """Take the place to report to."""
        self._report = report

    def submit(self, order: WorkOrder) -> None:
        """Report a start and a success."""
        if self._lives is not None:
            self._lives -= 1
            if self._lives < 0:
                raise DeathError
        cells = CellCounts(total=5, ok=5)
        outcome = Outcome(verdict=Verdict.SUCCEEDED, cells=cells, outputs={"rows": order.attempt}, duration=0.01)
        self._report(Started(task=order.task, attempt=order.attempt, pid=1, host="here", kernel="python3", cells=5))
        self._report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))

    def cancel(self, task: str, attempt: int, *, force: bool) -> None:
        """Nothing runs long enough."""

    def recover(self, order: WorkOrder, message: str) -> Outcome:  # noqa: ARG002 - whichever it is
        """What was going on at the death is lost."""
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one run of so many tasks."""

    tasks: int
    making: float
    running: float
    processor: float
    reading: float
    resuming: float

    def per_task(self, seconds: float) -> float:
        """Milliseconds a task."""
        return seconds * 1000 / self.tasks


def make_run(shape: str, size: int, jobs: int) -> ev.RunCreated:
    """A run of one shape, as a request would make it."""
    tasks = {name: Task(name=name, notebook="n.ipynb", needs=tuple(needs)) for name, needs in SHAPES[shape](size)}
    plan = make_plan(Pipeline(name="bench", tasks=tasks), selected=tasks.keys(), sources={}, past=lambda _: None)
    return ev.RunCreated(
        run="bench-20260131T120000-k3fa",
        pipeline="bench",
        logical_date=SystemClock().now(),
        plan=plan,
        settings=ev.Settings(root="/p", outputs="outputs", folder="bench/run", journals="/journals", jobs=jobs),
        params={"limit": 1000, "region": "eu"},
    )


def measure(shape: str, size: int, jobs: int, store: Store) -> Cost:
    """Make a run, carry it out, and fold it again."""
    begin = time.perf_counter()
    created = make_run(shape, size, jobs)
    state = _recorded(created, store)
    made, used = time.perf_counter(), time.process_time()
    fence = store.claim(created.run, "bench", lambda _: False)
    ended = Engine(state, fence, _ports(store, InstantExecutor())).run([Start(owner="bench")])
    ran, used = time.perf_counter(), time.process_time() - used
    again = fold(store.events(created.run))
    read = time.perf_counter()
    _check(shape, size, ended, again)
    return Cost(size, made - begin, ran - made, used, read - ran, _resume(shape, size, jobs, store))


def _resume(shape: str, size: int, jobs: int, store: Store) -> float:
    """Seconds from the claim to the end of a run whose engine has died in the middle."""
    created = replace(make_run(shape, size, jobs), run="bench-20260131T120000-dead")
    state = _recorded(created, store)
    fence = store.claim(created.run, "dead", lambda _: False)
    with suppress(DeathError):
        Engine(state, fence, _ports(store, InstantExecutor(size // 2))).run([Start(owner="dead")])
    begin = time.perf_counter()
    fence = store.claim(created.run, "bench", lambda _: False)
    state = fold(store.events(created.run))
    ports = _ports(store, InstantExecutor())
    ended = Engine(state, fence, ports).run([*recover(state, ports.executor), Resume(), Start(owner="bench")])
    seconds = time.perf_counter() - begin
    _check(shape, size, ended)
    return seconds


def _recorded(created: ev.RunCreated, store: Store) -> RunState:
    first = ev.Stamped(run=created.run, seq=1, at=SystemClock().now(), event=created)
    state = fold([first])
    store.create([first], project(state))
    return state


def _ports(store: Store, executor: InstantExecutor) -> Ports:
    return Ports(store=store, executor=executor, clock=SystemClock(), seal=_leave)


def _check(shape: str, size: int, *states: RunState) -> None:
    for state in states:
        if state.status != "succeeded" or len(state.tasks) != size:
            raise AssertionError(f"{shape} of {size}: {state.status}")


def _leave(_: RunState) -> None:
    """No archive is sealed here."""


@contextmanager
def opened(kind: str) -> Iterator[Store]:
    """A new store."""
    if kind == "memory":
        yield MemoryStore()
        return
    if is_database(kind):
        yield from _schema_of_its_own(kind)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        store = SqliteStore(Path(folder, "state.db"))
        try:
            yield store
        finally:
            store.close()


def _schema_of_its_own(url: str) -> Iterator[Store]:
    """A store in a database, in a schema that is dropped afterwards."""
    import psycopg

    name = f"bench_{uuid.uuid4().hex}"
    store = PostgresStore(f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}")
    try:
        yield store
    finally:
        store.close()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def fsync_cost(times: int = 200) -> float:
    """Milliseconds of one small write that is synced, here."""
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        begin = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - begin) * 1000 / times


def main() -> None:
    """Measure what the command line asks for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="sqlite", help="sqlite, memory, or the URL of a PostgreSQL database")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--shapes", choices=list(SHAPES), nargs="+", default=list(SHAPES))
    parser.add_argument("--jobs", type=int, default=8)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the store lies in the current folder, and has to go
    kind = shown(asked.store) if is_database(asked.store) else asked.store
    print(f"store {kind}, jobs {asked.jobs}, one fsync here: {fsync_cost():.2f} ms")
    print(f"{'shape':12} {'tasks':>6}  {'make':>7} {'run':>7} {'cpu':>7} {'read':>7} {'resume':>7}  ms a task")
    for shape in asked.shapes:
        costs = []
        for size in asked.sizes:
            with opened(asked.store) as store:
                cost = measure(shape, size, asked.jobs, store)
            costs.append(cost)
            seconds = (cost.making, cost.running, cost.processor, cost.reading, cost.resuming)
            numbers = [cost.per_task(one) for one in seconds]
            print(f"{shape:12} {size:6}  " + " ".join(f"{number:7.3f}" for number in numbers), flush=True)
        first, last = costs[0], costs[-1]
        print(f"{'':12} growth {last.per_task(last.running) / first.per_task(first.running):.2f}")


if __name__ == "__main__":
    main()
