"""Engines that share a pool on one store, as processes that are killed: what they do is seen from outside of nbflow."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.core.ports import Store
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import fold
from nbflow.core.views import project
from nbflow.store.opening import open_store
from support.build import planned
from support.invariants import ask_oracle, check_log
from support.pooled_process import BEGUN, FULL, GO, OWNED_TWICE, REFUSED, SLOTS, TOO_MANY, owned
from support.postgres import schema, server
from support.stored import begun, projected, rebuilt

TESTS = Path(__file__).parents[1]
PLACES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: str(folder / "state.db"),
    "postgres": lambda _: server().url(schema()),
}
TASKS = 16
RIVALS = 2
"""Engines that are started at once for one run: one of them gets it."""
LONGEST = 240.0


class Rivals:
    """Engines of several runs on one store, in processes; those that are gone are followed by others."""

    def __init__(self, place: str, folder: Path, runs: list[str]) -> None:
        self.place, self.folder = place, folder
        self.live: dict[str, list[subprocess.Popen[str]]] = {run: [] for run in runs}
        self.ended: Counter[int] = Counter()

    def start(self, run: str) -> None:
        command = [sys.executable, "-m", "support.pooled_process", self.place, str(self.folder), run]
        for _ in range(RIVALS):
            self.live[run].append(subprocess.Popen(command, cwd=TESTS, stderr=subprocess.PIPE, text=True))

    def look(self) -> None:
        """Take in who has ended. A run that has not is begun again."""
        for run, engines in list(self.live.items()):
            for engine in [one for one in engines if one.poll() is not None]:
                said = engine.communicate()[1]
                assert said == "", f"{run}: {said}"
                engines.remove(engine)
                self.ended[engine.returncode] += 1
                if engine.returncode == 0:
                    del self.live[run]
            if not engines and run in self.live:
                self.start(run)

    def kill(self, chance: random.Random) -> None:
        """Kill one of them."""
        chance.choice([one for engines in self.live.values() for one in engines]).kill()

    def end(self) -> None:
        for engines in self.live.values():
            for engine in engines:
                engine.kill()
                engine.wait()


def lines(folder: Path) -> list[list[str]]:
    ledger = folder / "ledger"
    return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


def carry_out(place: str, folder: Path, runs: list[str], kills: int, seed: int) -> Counter[int]:
    """Carry runs out to their ends, killing so many engines on the way; how their engines ended, by exit code."""
    chance, rivals, due, deadline = random.Random(seed), Rivals(place, folder, runs), 5, time.monotonic() + LONGEST
    try:
        while rivals.live:
            assert time.monotonic() < deadline, "it does not come to an end"
            rivals.look()
            if all((folder / owned(run)).exists() for run in runs):  # from now on each of them wants slots
                (folder / GO).touch()
            if kills and rivals.live and len(lines(folder)) >= due:
                rivals.kill(chance)
                kills, due = kills - 1, len(lines(folder)) + chance.randrange(3, 9)
            time.sleep(0.01)
    finally:
        rivals.end()
    return rivals.ended


def check(store: Store, run: str, tasks: int) -> None:
    """A run has succeeded, and its record is in order."""
    events = list(store.events(run))
    assert [one.seq for one in events] == list(range(1, len(events) + 1))
    assert projected(store, run) == rebuilt(store, run)
    check_log([one.event for one in events])
    ask_oracle(events)
    state = fold(events)
    assert (state.status, len(state.tasks)) == ("succeeded", tasks)


def share(place: str, folder: Path, *, runs: int, tasks: int, kills: int, seed: int) -> None:
    """Engines of some runs share a pool, and are killed: never are more attempts out than there are slots."""
    names = [f"run-{number}" for number in range(runs)]
    with closing(open_store(place)) as store:
        plan = [planned(f"t{number}", pool="db", retry=RetryPolicy(retries=99)) for number in range(tasks)]
        for name in names:
            history, state = begun(*plan, run=name, pools={"db": SLOTS}, jobs=4)
            store.create(history, project(state))
        ended = carry_out(place, folder, names, kills, seed)
        for name in names:
            check(store, name, tasks)
        assert not store.pools(), "slots are left in the hand of somebody"
        assert not store.going(), "runs are left in the hand of somebody"
    noted = Counter(tuple(line) for line in lines(folder))
    words = Counter(word for word, *_ in noted.elements())
    assert (words[TOO_MANY], words[OWNED_TWICE]) == (0, 0)
    assert words[FULL] > 0, "the pool was never full: nothing was tried"
    assert all(count == 1 for line, count in noted.items() if line[0] == BEGUN), "an attempt was begun twice"
    assert ended.keys() <= {0, REFUSED, -signal.SIGKILL}
    assert ended[REFUSED] > 0, "nobody wanted a run that another engine had"
    assert ended[-signal.SIGKILL] > 0


@pytest.mark.parametrize("where", PLACES)
def test_a_pool_is_never_given_out_twice(tmp_path: Path, where: str) -> None:
    share(PLACES[where](tmp_path), tmp_path, runs=2, tasks=TASKS, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("where", PLACES)
def test_nor_with_many_seeds(tmp_path: Path, where: str, seed: int) -> None:
    share(PLACES[where](tmp_path), tmp_path, runs=4, tasks=60, kills=20, seed=seed)
