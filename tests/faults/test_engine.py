"""The engine is killed at random moments, again and again, and resumed each time; with thousands of tasks too."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nbflow.core.messages import Start
from nbflow.core.state import RunState, fold
from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import Engine, Ports
from nbflow.execution import record
from nbflow.store.sqlite import SqliteStore
from support.engine_process import RUN, SHAPES, make
from support.engines import FakeExecutor
from support.invariants import ask_oracle, check_log
from support.stored import projected, rebuilt

TESTS = Path(__file__).parents[1]
MANY = 10_000


def start(folder: Path, *more: object) -> subprocess.Popen[str]:
    """An engine, on the store of a folder."""
    command = [sys.executable, "-m", "support.engine_process", folder / "state.db", folder / "ledger", *more]
    return subprocess.Popen([str(one) for one in command], cwd=TESTS, stdout=subprocess.PIPE, text=True)


def kill_until_done(folder: Path, shape: str, size: int, seed: int, *, kills: int) -> int:
    """Kill engines at random moments, each after some attempts more than the one before; how many have died."""
    chance = random.Random(seed)
    for deaths in range(kills + 1):
        with start(folder, shape, size, chance.randrange(10**6)) as engine:
            assert engine.stdout is not None
            engine.stdout.readline()
            if deaths < kills:
                wait_for_attempts(folder, engine, chance.randrange(size // kills))
                time.sleep(chance.random() * 0.01)  # somewhere between two of them
                engine.kill()
            if engine.wait() == 0:
                return deaths
            assert engine.returncode == -signal.SIGKILL
    raise AssertionError(f"no end after {kills} kills")


def wait_for_attempts(folder: Path, engine: subprocess.Popen[str], more: int) -> None:
    """Wait until so many more attempts have begun, or the engine has ended."""
    ledger = folder / "ledger"
    begun = lines(ledger)
    while lines(ledger) < begun + more and engine.poll() is None:
        time.sleep(0.001)


def lines(ledger: Path) -> int:
    """How many attempts have begun."""
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def check(folder: Path, *, oracle: bool = True) -> RunState:
    """Everything that the store and the ledger tell of the run, which has succeeded."""
    with closing(SqliteStore(folder / "state.db")) as store:
        events = list(store.events(RUN))
        assert [one.seq for one in events] == list(range(1, len(events) + 1))
        assert projected(store, RUN) == rebuilt(store, RUN)
    check_log([one.event for one in events])
    if oracle:
        ask_oracle(events)
    state = fold(events)
    assert state.status == "succeeded"
    begun = Counter(tuple(line.split()) for line in (folder / "ledger").read_text().splitlines())
    assert set(begun.values()) == {1}, "I3: an attempt was begun twice"
    for name, attempt in begun:
        assert int(attempt) <= state.tasks[name].attempt, "I2: it began again after its success"
    return state


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random(tmp_path: Path, seed: int) -> None:
    assert kill_until_done(tmp_path, "mixed", 150, seed, kills=6) > 0
    check(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(200))
def test_killed_at_random_with_many_seeds(tmp_path: Path, seed: int) -> None:
    kill_until_done(tmp_path, "mixed", 150, seed, kills=6)
    check(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "mixed"])
def test_ten_thousand_tasks_with_a_death_in_the_middle(tmp_path: Path, shape: str) -> None:
    """Planned, begun, killed when about half is done, resumed."""
    with start(tmp_path, shape, MANY, 1) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "begun\n"
        while lines(tmp_path / "ledger") < MANY / 2:
            assert engine.poll() is None, "it has ended before it could be killed"
        engine.kill()
    assert kill_until_done(tmp_path, shape, MANY, 2, kills=0) == 0
    state = check(tmp_path, oracle=False)  # which is slow on purpose
    assert len(state.tasks) == MANY + (2 if shape == "fan" else 0)
    assert sum(len(task.attempts) > 1 for task in state.tasks.values()) <= 8


@pytest.mark.parametrize(("shape", "small"), [("fan", 500), ("layers", 300)])
def test_the_store_and_memory_grow_as_the_tasks_do(tmp_path: Path, shape: str, small: int) -> None:
    """Bytes, of four times as many tasks, and of so many more edges between them."""
    few, many = (carry_out(tmp_path / f"{size}.db", shape, size) for size in (small, 4 * small))
    edges, more = (sum(len(needs) for _, needs in SHAPES[shape](size)) for size in (small, 4 * small))
    assert many[0] < 1.1 * few[0] * more / edges, "the store"
    assert many[1] < 1.1 * few[1] * more / edges, "memory"


def carry_out(file: Path, shape: str, size: int) -> tuple[int, int]:
    """The bytes that a whole run leaves in a store, and the most that it had of memory."""
    created = make(shape, size, faults=False)
    created = replace(created, settings=replace(created.settings, jobs=100))
    with closing(SqliteStore(file)) as store:
        record(created, store)
        del created
        tracemalloc.start()
        ports = Ports(store=store, executor=FakeExecutor(), clock=SystemClock(), seal=lambda _: None)
        fence = store.claim(RUN, "me", lambda _: False)
        ended = Engine(fold(store.events(RUN)), fence, ports).run([Start(owner="me")])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert ended.status == "succeeded"
    return file.stat().st_size, peak
