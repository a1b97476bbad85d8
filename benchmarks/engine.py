"""What the engine costs per task: the loop, the core and the store, with an executor that does nothing.

    python benchmarks/engine.py [--store sqlite|memory|URL] [--sizes 1000 10000] [--shapes chain fan ...] [--jobs 8]

Each part is a process of its own: one run from its plan to its end; another one that is ended by `kill -9` when half of
its tasks have begun; and the one that resumes it. For each shape and size, in milliseconds a task of that part:

    make    planning the run, and keeping its first event
    run     from the claim to the end; `cpu` is what of that was the processor's
    read    reading its events and folding them
    first   from the claim to the death in the middle
    back    opening the store after the death, claiming the run, reading and folding what there is: of all tasks
    second  from there to the end

`store` is what the store takes on the disk, in KiB a task, `peak` the memory of the process of the whole run, in MiB:
behind it, that of the one that resumes. Below stands how `run` grows from the first size to the last: 1.0 is linear.
The target is at most 1 ms a task, linear. What one fsync costs on this disk stands above: a chain needs one a task,
since nothing is begun before it is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
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

WHOLE = "bench-20260131T120000-k3fa"
KILLED = "bench-20260131T120000-dead"
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
    """In place of a `kill -9` where the store would not outlive it: nothing of ours catches it."""


class InstantExecutor:
    """Every attempt starts and succeeds at once. With `lives`, it is over when one more than that is submitted."""

    def __init__(self, lives: int | None = None, end: Callable[[], None] = lambda: None) -> None:
        self._lives, self._end = lives, end

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
                self._end()
        cells = CellCounts(total=5, ok=5)
        outcome = Outcome(verdict=Verdict.SUCCEEDED, cells=cells, outputs={"rows": order.attempt}, duration=0.01)
        self._report(Started(task=order.task, attempt=order.attempt, pid=1, host="here", kernel="python3", cells=5))
        self._report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        """Nothing runs long enough."""

    def recover(self, order: WorkOrder, message: str) -> Outcome:  # noqa: ARG002 - whichever it is
        """What was going on at the death is lost."""
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is measured: so many tasks of some shape."""

    shape: str
    size: int
    jobs: int

    def created(self, run: str) -> ev.RunCreated:
        """A run, as a request would make it."""
        needs = SHAPES[self.shape](self.size)
        tasks = {name: Task(name=name, notebook="n.ipynb", needs=tuple(ups)) for name, ups in needs}
        plan = make_plan(Pipeline(name="bench", tasks=tasks), selected=tasks.keys(), sources={}, past=lambda _: None)
        return ev.RunCreated(
            run=run,
            pipeline="bench",
            logical_date=SystemClock().now(),
            plan=plan,
            settings=ev.Settings(
                root="/p", outputs="outputs", folder="bench/run", journals="/journals", jobs=self.jobs
            ),
            params={"limit": 1000, "region": "eu"},
        )

    def check(self, *states: RunState) -> None:
        """That all of them have all tasks done."""
        for state in states:
            if state.status != "succeeded" or len(state.tasks) != self.size:
                raise AssertionError(f"{self.shape} of {self.size}: {state.status}")


def whole(work: Work, store: Store) -> dict[str, float]:
    """Make a run, carry it out, and read it back; seconds of each."""
    begin = time.perf_counter()
    created = work.created(WHOLE)
    state = _recorded(created, store)
    made, used = time.perf_counter(), time.process_time()
    fence = store.claim(created.run, "bench", lambda _: False)
    ended = Engine(state, fence, _ports(store, InstantExecutor())).run([Start(owner="bench")])
    ran, used = time.perf_counter(), time.process_time() - used
    again = fold(store.events(created.run))
    read = time.perf_counter()
    work.check(ended, again)
    return {"make": made - begin, "run": ran - made, "cpu": used, "read": read - ran}


def first_half(work: Work, store: Store, end: Callable[[dict[str, float]], None]) -> None:
    """Make a run and carry it out until half of it has begun; `end` is told the seconds from the claim to there."""
    state = _recorded(work.created(KILLED), store)
    begin = time.perf_counter()
    fence = store.claim(KILLED, "dead", lambda _: False)
    executor = InstantExecutor(work.size // 2, lambda: end({"first": time.perf_counter() - begin}))
    Engine(state, fence, _ports(store, executor)).run([Start(owner="dead")])
    raise AssertionError("it has outlived its death")


def second_half(work: Work, opened: Callable[[], Store]) -> dict[str, float]:
    """Resume that run and carry it out to its end; the seconds until it is known again, and from there to its end."""
    begin = time.perf_counter()
    store = opened()
    fence = store.claim(KILLED, "bench", lambda _: False)
    state = fold(store.events(KILLED))
    ports = _ports(store, InstantExecutor())
    first = [*recover(state, ports.executor), Resume(), Start(owner="bench")]
    known = time.perf_counter()
    ended = Engine(state, fence, ports).run(first)
    seconds = time.perf_counter() - known
    work.check(ended)
    store.close()
    return {"back": known - begin, "second": seconds}


def _recorded(created: ev.RunCreated, store: Store) -> RunState:
    first = ev.Stamped(run=created.run, seq=1, at=SystemClock().now(), event=created)
    state = fold([first])
    store.create([first], project(state))
    return state


def _ports(store: Store, executor: InstantExecutor) -> Ports:
    return Ports(store=store, executor=executor, clock=SystemClock(), seal=_leave)


def _leave(_: RunState) -> None:
    """No archive is sealed here."""


def _die(seconds: dict[str, float]) -> None:
    print(json.dumps(seconds), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def part(name: str, work: Work, place: str) -> None:
    """One part of the measurements, in this process, on a store that outlives it."""
    match name:
        case "whole":
            with closing(at(place)) as store:
                print(json.dumps(whole(work, store)))
        case "first":
            first_half(work, at(place), _die)
        case _:
            print(json.dumps(second_half(work, lambda: at(place))))


def at(place: str) -> Store:
    """The store in a database or a file."""
    return PostgresStore(place) if is_database(place) else SqliteStore(Path(place))


def measure(work: Work, kind: str) -> dict[str, float]:
    """All parts of one shape and size: seconds, bytes of the store, and of the memory of two processes."""
    if kind == "memory":
        return _in_memory(work)
    found: dict[str, float] = {}
    with place_of(kind) as place:
        for name in ("whole", "first", "second"):
            said, peak = _child(name, work, place)
            found |= {**said, f"{name} peak": peak}
            if name == "whole":
                found["store"] = taken(place)
    return found


def _in_memory(work: Work) -> dict[str, float]:
    """Without a process that could be killed: an exception ends the first half."""
    found: dict[str, float] = {}

    def end(said: dict[str, float]) -> None:
        found.update(said)
        raise DeathError

    store = MemoryStore()
    with suppress(DeathError):
        first_half(work, store, end)
    return whole(work, MemoryStore()) | found | second_half(work, lambda: store)


def _child(name: str, work: Work, place: str) -> tuple[dict[str, float], float]:
    """What a part says, and the most memory that its process had."""
    asked = ["--part", name, "--store", place, "--work", json.dumps(asdict(work))]
    child = subprocess.Popen([sys.executable, __file__, *asked], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
    except BaseException:  # whoever ends this means all of it
        child.kill()
        child.wait()
        raise
    finally:
        child.stdout.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != (-signal.SIGKILL if name == "first" else 0):
        raise SystemExit(f"{name} of {work} has ended with {child.returncode}")
    return json.loads(said), used.ru_maxrss * 1024


@contextmanager
def place_of(kind: str) -> Iterator[str]:
    """Where a new store may be: a file, or a schema that is dropped afterwards."""
    if not is_database(kind):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            yield str(Path(folder, "state.db"))
        return
    import psycopg

    name = f"bench_{uuid.uuid4().hex}"
    try:
        yield f"{kind}{'&' if '?' in kind else '?'}options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(kind, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def taken(place: str) -> float:
    """Bytes that a store takes on the disk."""
    if not is_database(place):
        return sum(file.stat().st_size for file in Path(place).parent.iterdir())
    import psycopg

    tables = "FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::text::regnamespace"
    with psycopg.connect(place) as connection:
        row = connection.execute(f"SELECT sum(pg_total_relation_size(oid)) {tables}".encode()).fetchone()
    return float(row[0]) if row else 0.0


def fsync_cost(times: int = 200) -> float:
    """Milliseconds of one small write that is synced, here."""
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        begin = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - begin) * 1000 / times


COLUMNS = ("make", "run", "cpu", "read", "first", "back", "second")


def row(work: Work, found: Mapping[str, float]) -> str:
    """A line of the table."""
    tasks = {"first": work.size // 2, "second": work.size - work.size // 2}
    costs = [found[name] * 1000 / tasks.get(name, work.size) for name in COLUMNS]
    line = f"{work.shape:12} {work.size:6}  " + " ".join(f"{cost:7.3f}" for cost in costs)
    if "store" not in found:
        return line
    peaks = [found[f"{name} peak"] / 2**20 for name in ("whole", "second")]
    return f"{line} {found['store'] / work.size / 1024:7.2f} {peaks[0]:5.0f} {peaks[1]:5.0f}"


def main() -> None:
    """Measure what the command line asks for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="sqlite", help="sqlite, memory, or the URL of a PostgreSQL database")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--shapes", choices=list(SHAPES), nargs="+", default=list(SHAPES))
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the store lies in the current folder, and has to go
    if asked.part:
        part(asked.part, Work(**asked.work), asked.store)
        return
    kind = shown(asked.store) if is_database(asked.store) else asked.store
    print(f"store {kind}, jobs {asked.jobs}, one fsync here: {fsync_cost():.2f} ms")
    print(f"{'shape':12} {'tasks':>6}  " + " ".join(f"{name:>7}" for name in COLUMNS) + "   store  peak (MiB)")
    for shape in asked.shapes:
        works = [Work(shape=shape, size=size, jobs=asked.jobs) for size in asked.sizes]
        costs = []
        for work in works:
            found = measure(work, asked.store)
            costs.append(found["run"] / work.size)
            print(row(work, found), flush=True)
        print(f"{'':12} growth {costs[-1] / costs[0]:.2f}")


if __name__ == "__main__":
    main()
