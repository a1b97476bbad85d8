"""Processes that the system refuses at this moment."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

import pytest

from nbflow.kernels import patience
from nbflow.kernels.patience import PAUSES, insist, insist_async

Ask = Callable[[Callable[[], int]], int]


class Refusing:
    """Gives 7 after so many errors."""

    def __init__(self, times: int, code: int = errno.EAGAIN) -> None:
        self.times, self.code = times, code
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        if self.asked <= self.times:
            raise OSError(self.code, os.strerror(self.code))
        return 7


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(patience.time, "sleep", found.append)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


@pytest.fixture(params=["in-a-thread", "in-a-loop"])
def started(request: pytest.FixtureRequest) -> Ask:
    """What a start gives in the end, in either way."""

    def in_loop(start: Callable[[], int]) -> int:
        async def call() -> int:
            return start()

        return asyncio.run(insist_async(call))

    return insist if request.param == "in-a-thread" else in_loop


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOMEM])
def test_it_is_asked_again_after_longer_and_longer_pauses(slept: list[float], started: Ask, code: int) -> None:
    assert started(Refusing(3, code)) == 7
    assert slept == [0.1, 0.2, 0.4]


def test_not_for_ever(slept: list[float], started: Ask) -> None:
    refusing = Refusing(100)
    with pytest.raises(BlockingIOError):
        started(refusing)
    assert slept == list(PAUSES)
    assert refusing.asked == len(PAUSES) + 1


def test_what_is_refused_for_good_is_told_at_once(slept: list[float], started: Ask) -> None:
    with pytest.raises(FileNotFoundError):
        started(Refusing(1, errno.ENOENT))
    assert slept == []
