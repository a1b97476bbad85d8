"""Engines on PostgreSQL while the server goes away again and again, and while they are killed themselves."""

from __future__ import annotations

import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbflow.core import messages as msg
from nbflow.core.attempt import WorkOrder
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import RunState, fold
from nbflow.core.views import project as projection_of
from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import POLL_SECONDS, Engine, Ports
from nbflow.errors import UnreachableError
from nbflow.store.postgres.store import PostgresStore
from support.build import planned
from support.engines import FakeExecutor, succeed
from support.invariants import ask_oracle, check_leftovers, check_log, check_run
from support.postgres import schema, server
from support.projects import Project, project
from support.stored import begun, dead, projected, rebuilt
from support.waiting import allowed, until
from support.wire import Break, Wire

SLOTS = 2
Span = tuple[float, float]
"""Seconds, from the fewest to the most."""
MOST = 10
"""How often an engine may give up before something else is wrong."""


class World:
    """What all engines have in common: how many attempts run now, and which were ever begun."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.begun: Counter[str] = Counter()

    def enter(self, name: str) -> None:
        with self.lock:
            self.begun[name] += 1
            self.now += 1
            self.most = max(self.most, self.now)

    def leave(self) -> None:
        with self.lock:
            self.now -= 1


class TimedExecutor(FakeExecutor):
    """Each attempt takes a while, in a thread; `close` ends those that run, without a report."""

    def __init__(self, world: World, run: str, seed: int) -> None:
        super().__init__(succeed)
        self.world, self.run, self.random = world, run, random.Random(seed)
        self.closing = threading.Event()
        self.threads: list[threading.Thread] = []

    def submit(self, order: WorkOrder) -> None:
        self.world.enter(f"{self.run}/{order.task}/{order.attempt}")
        seconds = self.random.uniform(0.0, 0.03)
        self.threads.append(threading.Thread(target=self.work, args=(order, seconds)))
        self.threads[-1].start()

    def work(self, order: WorkOrder, seconds: float) -> None:
        ended = not self.closing.wait(seconds)
        self.world.leave()
        if ended:
            super().submit(order)

    def close(self) -> None:
        self.closing.set()
        for thread in self.threads:
            thread.join()


def go_on(store: PostgresStore, run: str, executor: TimedExecutor) -> None:
    """Take a run and carry it out to its end, or until the server has been away for too long."""
    fence = store.claim(run, run, dead)
    state = fold(store.events(run))
    lost = [msg.Lost(task=name, attempt=state.tasks[name].attempt, message="gone") for name in state.live]
    ports = Ports(store=store, executor=executor, clock=SystemClock(), seal=lambda _: None)
    Engine(state, fence, ports).run([*lost, msg.Start(owner=run)])
    store.release(run, fence)


def drive(url: str, run: str, world: World, seed: int) -> int:
    """Carry a run out, and on again where its engine had to give up; how often that was."""
    given_up = 0
    while given_up < MOST:
        try:
            with closing(PostgresStore(url)) as store:
                go_on(store, run, TimedExecutor(world, run, seed))
        except UnreachableError:
            given_up += 1
        else:
            return given_up
    raise AssertionError(f"{run}: the server does not come back")


@contextmanager
def again_and_again(act: Callable[[random.Random], None], seed: int, often: Span) -> Iterator[None]:
    """Do something in a thread, after pauses of some length, until it is enough."""
    over, chance = threading.Event(), random.Random(seed)

    def repeat() -> None:
        while not over.wait(chance.uniform(*often)):
            act(chance)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(kw_only=True)
class Harm:
    """What engines have met: ends of the server, connections cut at a commit, and how often they gave up."""

    restarts: int = 0
    cuts: int = 0
    given_up: int = 0


def shake(runs: int, tasks: int, seed: int, restarts: Span, cuts: Span, away: float) -> Harm:
    """Several engines share a pool while the server is stopped or crashes, and is `away` for at most so long.

    Connections are lost in the midst of a commit too, seen or unseen by the server.
    """
    place, world, harm = schema(), World(), Harm()
    names = [f"run-{number}" for number in range(runs)]
    given_up: list[int] = []

    def restart(chance: random.Random) -> None:
        chance.choice([server().stop, server().crash])()
        harm.restarts += 1
        time.sleep(chance.uniform(0.0, away))
        server().start()

    def cut(chance: random.Random) -> None:
        wire = chance.choice(wires)
        if wire.is_whole:
            wire.break_at("COMMIT", chance.choice([Break.BEFORE, Break.AFTER]))

    with ExitStack() as stack, closing(PostgresStore(server().url(place))) as store:
        wires = [stack.enter_context(Wire(server().folder)) for _ in names]
        plan = [planned(f"t{number}", pool="db", retry=RetryPolicy(retries=9)) for number in range(tasks)]
        for name in names:
            history, state = begun(*plan, run=name, pools={"db": SLOTS}, jobs=4)
            store.create(history, projection_of(state))
        urls = {name: server().url(place, folder=wire.folder) for name, wire in zip(names, wires, strict=True)}
        threads = [
            threading.Thread(target=lambda name=name, url=url: given_up.append(drive(url, name, world, seed)))
            for name, url in urls.items()
        ]
        with again_and_again(restart, seed, restarts), again_and_again(cut, seed, cuts):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(given_up) == runs, "an engine met an error that is none of the store's"
        states = {name: check(store, name) for name in names}
        assert store.pools() == []
    assert all(state.status == "succeeded" for state in states.values())
    assert world.most <= SLOTS, "more were out than there are"
    assert set(world.begun.values()) == {1}, "an attempt was begun twice"
    harm.cuts, harm.given_up = sum(wire.broken for wire in wires), sum(given_up)
    return harm


def check(store: PostgresStore, run: str) -> RunState:
    """The invariants of a run without an archive."""
    events = list(store.events(run))
    assert [one.seq for one in events] == list(range(1, len(events) + 1)), f"I1: {run}: its events have gaps"
    assert projected(store, run) == rebuilt(store, run), f"I1: {run}: its rows are not the fold of its events"
    check_log([one.event for one in events])
    ask_oracle(events)
    return fold(events)


def test_a_server_that_restarts_all_the_time_loses_nothing() -> None:
    harm = shake(runs=2, tasks=20, seed=1, restarts=(0.2, allowed(0.6)), cuts=(0.3, 1.0), away=0.2)
    assert harm.restarts >= 1
    assert harm.cuts >= 1
    assert harm.given_up == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(5))
def test_nor_for_long(seed: int) -> None:
    harm = shake(runs=4, tasks=150, seed=seed, restarts=(0.2, 3.0), cuts=(1.0, 4.0), away=0.2)
    assert harm.restarts >= 5
    assert harm.cuts >= 5
    assert harm.given_up == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nor_one_that_is_away_for_longer() -> None:
    harm = shake(runs=4, tasks=600, seed=1, restarts=(5.0, 40.0), cuts=(1.0, 6.0), away=15.0)
    assert harm.restarts >= 2
    assert harm.given_up == 0


TOML = """
[nbflow]
state = "{url}"

[pools]
db = 2

[defaults]
pool = "db"
start_timeout = "120s"

[pipelines.p.tasks]
a = {{ notebook = "work.ipynb" }}
b = {{ notebook = "work.ipynb" }}
c = {{ notebook = "work.ipynb" }}
d = {{ notebook = "work.ipynb", needs = ["a", "b", "c"] }}
"""
CELL = f"""
import fcntl, os, time
def note(word):
    with open('ledger', 'a') as file:
        file.write(f'{{os.environ["NBFLOW_RUN"]}} {{word}}\\n')
def has(slot):
    try:
        fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
slots = [open(f'slot-{{number}}', 'w') for number in range({SLOTS})]
note('begin' if any(has(slot) for slot in slots) else 'too-many')
while os.path.exists('hold'): time.sleep(0.05)
for slot in slots: slot.close()
note('end')
"""
"""Holds one of as many locks of the system as there are slots, till its kernel ends: whether there are more is seen."""


@pytest.fixture
def place() -> str:
    return server().url(schema())


@pytest.fixture
def shared(tmp_path: Path, place: str) -> Iterator[Project]:
    with project(tmp_path / "project", TOML.format(url=place)) as made:
        made.notebook("work", CELL)
        yield made


def noted(shared: Project) -> list[list[str]]:
    file = shared.root / "ledger"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], pytest.param([signal.SIGTERM, signal.SIGINT], marks=pytest.mark.slow)]
)
def test_who_stops_a_run_does_not_wait_for_a_server_that_is_away(
    shared: Project, place: str, signals: list[signal.Signals]
) -> None:
    hold = shared.root / "hold"
    hold.touch()
    with shared.start("run", "p") as engine:
        until(lambda: len(noted(shared)) == 2, 90)
        server().stop()
        try:
            time.sleep(2 * POLL_SECONDS)  # by now it waits for the server
            began = time.monotonic()
            for number in signals:
                engine.send_signal(number)
                time.sleep(0.2)
            _, said = engine.communicate(timeout=60)
            took = time.monotonic() - began
            shared.until_nobody_lives()
        finally:
            server().start()
    (run,) = {run for run, _ in noted(shared)}
    assert engine.returncode == 130, said
    assert re.match(rf"error: run {run} was stopped, but not in good order: postgresql:.* cannot be used", said)
    assert f"; then: nbflow resume {run}" in said
    assert took < allowed(10)
    assert [one["state"] for one in shared.runs()] == ["interrupted"]
    hold.unlink()
    assert shared.call("resume", run).code == 0
    with closing(PostgresStore(place)) as store:
        state = check_run(store, run, shared.root / "outputs")
    shared.until_nobody_lives()
    check_leftovers([state], shared.root / "outputs", shared.temporary)
    assert state.status == "succeeded"


def test_real_runs_outlive_a_crash_of_the_server_and_their_own(shared: Project, place: str) -> None:
    """Two engines share a pool; the server crashes under them, then one of them is killed, and its run is resumed."""
    hold = shared.root / "hold"
    hold.touch()
    with ExitStack() as stack, closing(PostgresStore(place)) as store:
        one = stack.enter_context(shared.start("run", "p"))
        until(lambda: len(noted(shared)) == 2, 90)
        other = stack.enter_context(shared.start("run", "p"))
        until(lambda: len(store.going()) == 2, 90)
        server().crash()
        time.sleep(0.5)  # both engines ask twice a second
        server().start()
        (killed,) = {run for run, _ in noted(shared)}
        one.send_signal(signal.SIGKILL)
        hold.unlink()
        assert other.wait(120) == 0, other.communicate()
        shared.until_nobody_lives()
        assert {run["run"]: run["state"] for run in shared.runs()}[killed] == "interrupted"
        assert shared.call("resume", killed).code == 0
        assert "too-many" not in {word for _, word in noted(shared)}
        outputs = shared.root / "outputs"
        states = [check_run(store, row.run, outputs) for row in store.runs()]
        check_leftovers(states, outputs, shared.temporary)
        assert [state.status.value for state in states] == ["succeeded", "succeeded"]
    shared.until_nobody_lives()
