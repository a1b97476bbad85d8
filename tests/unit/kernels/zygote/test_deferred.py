"""What is noted while modules are loaded: numbers without a seed, variables, exit handlers; and nothing after that."""

from __future__ import annotations

import atexit
import os
import random
import secrets
from typing import Any

import numpy as np
import pytest

from nbflow.kernels.zygote.deferred import Deferred


def first_numbers(*generators: Any) -> list[float]:
    return [float(one.normal()) for one in generators]


def test_only_generators_without_a_seed_are_seeded_anew() -> None:
    deferred = Deferred()
    before = np.random.default_rng()
    with deferred.noting():
        drawn: list[Any] = [np.random.default_rng(), np.random.RandomState(), np.random.Generator(np.random.Philox())]
        seeded: list[Any] = [
            np.random.default_rng(1),
            np.random.RandomState(1),
            np.random.default_rng(np.random.SeedSequence(7)),
        ]
        for one in (*drawn, *seeded):
            one.normal()  # one state keeps a second number for the next time
        plain, fixed = random.Random(), random.Random(1)
    others = [before.bit_generator.state, fixed.getstate(), *(one.bit_generator.state for one in seeded[::2])]
    legacy = seeded[1].get_state(legacy=False)["state"]["key"].tolist()
    states = [
        one.get_state(legacy=False) if isinstance(one, np.random.RandomState) else one.bit_generator.state
        for one in drawn
    ]
    old = plain.getstate()
    found = []
    for _ in range(2):
        for one, state in zip(drawn, states, strict=True):
            if isinstance(one, np.random.RandomState):
                one.set_state(state)
            else:
                one.bit_generator.state = state
        plain.setstate(old)
        deferred.reseed()
        found.append([*first_numbers(*drawn), plain.random(), drawn[0].spawn(1)[0].random()])
    assert all(mine != theirs for mine, theirs in zip(*found, strict=True))
    assert others == [before.bit_generator.state, fixed.getstate(), *(one.bit_generator.state for one in seeded[::2])]
    assert legacy == seeded[1].get_state(legacy=False)["state"]["key"].tolist()


def test_seeds_of_the_common_generator_are_counted() -> None:
    deferred = Deferred()
    random.seed(1)
    with deferred.noting():
        random.random()
        random.seed()
        random.Random(1)
        assert deferred.seedings == 0
        random.seed(0)
        drawn = random.random()
        random.seed(a=0, version=2)
        assert random.random() == drawn
    random.seed(1)
    random.seed()
    assert deferred.seedings == 2


def test_variables_that_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "1")
    deferred = Deferred()
    with deferred.noting():
        os.environ.get("NOT_THERE_1")
        os.getenv("NOT_THERE_2")
        with pytest.raises(KeyError):
            os.environ["NOT_THERE_3"]
        assert "NOT_THERE_4" not in os.environ
        assert os.environ["THERE"] == "1"
        os.environb.get(b"NOT_THERE_5")
        os.environ["WRITTEN"] = "1"
        del os.environ["WRITTEN"]
    os.environ.get("LATER")
    assert deferred.variables == {"THERE", *(f"NOT_THERE_{number}" for number in range(1, 6))}


def test_all_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [atexit.register, random.seed, random.Random.seed, secrets.randbits, type(os.environ).__getitem__]
    deferred = Deferred()
    said: list[int] = []
    with deferred.noting():
        atexit.register(said.append, 1)
        kept_by_a_module = secrets.randbits
        with pytest.raises(ZeroDivisionError), deferred.noting():
            _ = 1 / 0
    assert kept == [
        *(atexit.register, random.seed, random.Random.seed, secrets.randbits),
        type(os.environ).__getitem__,
    ]
    count = len(deferred._numbers)
    kept_by_a_module(64)
    np.random.default_rng()
    assert len(deferred._numbers) == count
    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", lambda *one: registered.append(one))
    deferred.register_exits()
    assert registered == [(said.append, 1)]
