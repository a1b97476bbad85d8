"""Seeded histories of runs with everything that can go wrong, judged by invariants and by the oracle.

A seed that fails is kept as `tests/scenarios/seed-N.json`, which from then on is a test of its own.
"""

from __future__ import annotations

from collections import Counter

import pytest

from simulation.simulator import Simulation
from support.scenarios import FOLDER, dump

BATCH = 100
MANY, SLOW = 1_200, 50_000


def run_seeds(seeds: range) -> Counter[str]:
    """Run histories; what they had in them. A failure says how to replay it."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        simulation = Simulation(seed)
        try:
            state = simulation.run()
        except Exception as error:  # noqa: BLE001 - whatever breaks is kept with the history that led to it
            place = FOLDER / f"seed-{seed}.json"
            place.write_text(dump(simulation.scenario(f"Simulated history {seed}")), "utf-8")
            pytest.fail(
                f"seed {seed}: {type(error).__name__}: {error}\n"
                f"replay: python tests/simulation/replay.py {seed}\n"
                f"kept as {place.relative_to(FOLDER.parents[1])}",
            )
        seen.update([f"ended {state.status.value}"])
        seen.update(one.split()[0] for one in simulation.lines())
        seen.update(
            {name: getattr(simulation, name) for name in ("crashes", "resumes", "stops", "failures", "refusals")}
        )
    return seen


@pytest.mark.parametrize("first", range(0, MANY, BATCH))
def test_histories(first: int) -> None:
    seen = run_seeds(range(first, first + BATCH))
    assert min(seen["crashes"], seen["resumes"], seen["stops"]) > 0


def test_a_history_is_the_same_each_time() -> None:
    first, second = Simulation(7), Simulation(7)
    assert (first.run().seq, first.lines()) == (second.run().seq, second.lines())


def test_histories_have_everything_in_them() -> None:
    """A simulator that no longer meets retries, say, would find nothing wrong with them."""
    seen = run_seeds(range(MANY, MANY + 200))
    wanted = [
        *("crashes", "failures", "refusals"),
        *(f"ended {state}" for state in ("succeeded", "failed", "cancelled", "interrupted")),
        *("run_resumed", "cancel_requested", "kill_requested", "retry_scheduled", "attempt_started", "cell_output"),
        "cell_ended",
        "task_expanded",
        *("task_skipped", "task_blocked", "task_reused", "task_cancelled", "task_failed", "task_succeeded"),
    ]
    assert {kind: seen[kind] for kind in wanted if seen[kind] < 3} == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(10_000, 10_000 + SLOW, 1_000))
def test_many_histories(first: int) -> None:
    run_seeds(range(first, first + 1_000))
