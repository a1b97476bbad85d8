"""Thousands of histories of several engines: never too many slots, no run with two owners, and all come to an end."""

from __future__ import annotations

import pytest

from simulation.engines import Engines, check_states

BLOCK = 150


@pytest.mark.parametrize("first", [BLOCK * place for place in range(4)])
def test_histories(first: int) -> None:
    for seed in range(first, first + BLOCK):
        engines = Engines(seed)
        try:
            engines.play()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        assert all(state.status == "succeeded" for state in check_states(engines))


def test_histories_have_everything_in_them() -> None:
    played = [Engines(seed) for seed in range(60)]
    for engines in played:
        engines.play()
    assert sum(engines.crashes for engines in played) > 60
    assert sum(engines.waits for engines in played) > 200
    assert sum(engines.lives for engines in played) > 200
    assert any(not engines.zombies for engines in played)
    assert sum(engines.cancels for engines in played) > 15
    assert sum(engines.pruned for engines in played) > 10
    tried = [task for engines in played for state in check_states(engines) for task in state.tasks.values()]
    assert sum(task.attempt > 1 for task in tried) > 50
