"""Processes that the system refuses at this moment."""

from __future__ import annotations

import errno
import os

import pytest

from nbflow.kernels import patience
from nbflow.kernels.patience import PAUSES, patiently


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
    monkeypatch.setattr(patience.time, "sleep", found.append)
    return found


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOMEM])
def test_it_is_asked_again_after_longer_and_longer_pauses(slept: list[float], code: int) -> None:
    assert patiently(Refusing(3, code)) == 7
    assert slept == [0.1, 0.2, 0.4]


def test_not_for_ever(slept: list[float]) -> None:
    refusing = Refusing(100)
    with pytest.raises(BlockingIOError):
        patiently(refusing)
    assert slept == list(PAUSES)
    assert refusing.asked == len(PAUSES) + 1


def test_what_is_refused_for_good_is_told_at_once(slept: list[float]) -> None:
    with pytest.raises(FileNotFoundError):
        patiently(Refusing(1, errno.ENOENT))
    assert slept == []
