"""Waits that somebody in a hurry ends."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

import pytest

from nbflow.store.hurry import AWAY_SECONDS, BUSY_SECONDS, Hurry
from support.waiting import allowed


def test_without_one_there_is_all_the_time() -> None:
    assert Hurry().deadline(100.0, 60.0) == 160.0


def test_in_one_there_is_little_left() -> None:
    hurry, now = Hurry(), time.monotonic()
    assert not hurry.is_begun
    hurry.begin()
    assert hurry.is_begun
    assert hurry.deadline(now - 30, 60.0) == pytest.approx(now + BUSY_SECONDS, abs=0.5)
    assert hurry.deadline(now - 30, 60.0, is_away=True) == pytest.approx(now + AWAY_SECONDS, abs=0.5)
    assert hurry.deadline(now - 60, 60.0) == now, "never more than there was"
    assert hurry.deadline(now + 100, 60.0) == now + 100 + BUSY_SECONDS, "what is begun later has as much"


def test_to_begin_again_gives_no_more_time() -> None:
    hurry = Hurry()
    hurry.begin()
    first = hurry.deadline(0.0, 1e9)
    hurry.begin()
    assert hurry.deadline(0.0, 1e9) == first


@pytest.mark.parametrize("how", [Hurry.begin, Hurry.wake])
def test_a_pause_ends_at_once(how: object) -> None:
    hurry, began = Hurry(), time.monotonic()
    assert callable(how)
    threading.Timer(0.1, how, [hurry]).start()
    hurry.pause(30.0)
    assert time.monotonic() - began < allowed(5)


def test_a_signal_in_the_midst_of_a_pause_ends_it() -> None:
    """Whatever line the main thread is at, of the pause itself too: no lock may be waited for."""
    hurry, came = Hurry(), []

    def begin(_: int, __: FrameType | None) -> None:
        came.append(time.monotonic())
        hurry.begin()

    before = signal.signal(signal.SIGALRM, begin)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.0005)
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            hurry.pause(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert len(came) > 50
    began = time.monotonic()
    hurry.begin()
    hurry.pause(30.0)
    assert time.monotonic() - began < allowed(5)


def test_a_pause_that_nobody_ends_takes_its_time() -> None:
    began = time.monotonic()
    Hurry().pause(0.1)
    Hurry().pause(-1.0)
    assert time.monotonic() - began >= 0.1
