"""How long a run will still take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.estimate import Remaining, remaining

SECONDS = st.floats(0, 1e4)


@pytest.mark.parametrize(
    ("tasks", "at_once", "seconds"),
    [
        ([], 1, 0),
        ([Remaining("a", ())], 1, 10),
        ([Remaining("a", (), 4)], 1, 6),
        ([Remaining("a", (), 99)], 1, 0),
        ([Remaining("a", ()), Remaining("b", ())], 1, 30),
        ([Remaining("a", ()), Remaining("b", ())], 2, 20),
        ([Remaining("a", ()), Remaining("b", ("a",))], 8, 30),
        ([Remaining("b", ("a",))], 8, 20),
        ([Remaining("a", ()), Remaining("unknown", ())], 1, None),
    ],
)
def test_the_longest_chain_or_the_shared_work(tasks: list[Remaining], at_once: int, seconds: float | None) -> None:
    assert remaining(tasks, {"a": 10, "b": 20}, at_once) == seconds


@given(st.lists(SECONDS, min_size=1, max_size=8), st.integers(1, 10))
def test_more_workers_never_make_it_longer(past: list[float], at_once: int) -> None:
    tasks = [Remaining(str(place), (str(place - 2),) if place > 1 else ()) for place in range(len(past))]
    known = {str(place): seconds for place, seconds in enumerate(past)}
    found = remaining(tasks, known, at_once)
    more = remaining(tasks, known, at_once + 1)
    assert found is not None
    assert more is not None
    assert more <= found <= sum(past) + 1e-6
    assert found >= max(past)
