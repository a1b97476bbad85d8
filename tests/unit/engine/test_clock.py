"""The real clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import pytest

from nbflow.engine import clock as module
from nbflow.engine.clock import SystemClock


def test_now_is_aware_and_monotonic_does_not_run_back() -> None:
    clock = SystemClock()
    first, then = clock.monotonic(), clock.now()
    assert then.tzinfo is UTC
    assert abs(then - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.now() >= then
    assert clock.monotonic() >= first


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that nobody sets")
def test_who_sets_the_clock_on_the_wall_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(module, "datetime", None)
    assert timedelta() <= clock.now() - before < timedelta(seconds=5)


def test_it_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    real = module._seconds
    monkeypatch.setattr(module, "_seconds", lambda: real() + 3600)
    assert timedelta(hours=1) <= clock.now() - before < timedelta(hours=1, seconds=5)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that nobody sets")
def test_it_is_the_clock_of_the_system_that_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """`time.monotonic` stands still meanwhile."""
    seconds = {time.CLOCK_BOOTTIME: 100.0}
    monkeypatch.setattr(time, "clock_gettime", seconds.__getitem__)
    clock = SystemClock()
    before = clock.now()
    seconds[time.CLOCK_BOOTTIME] += 8 * 3600
    assert clock.now() - before == timedelta(hours=8)


def test_the_clock_on_the_wall_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Set(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2001, 1, 1, tzinfo=tz)

    clock = SystemClock()
    assert abs(clock.wall() - datetime.now(UTC)) < timedelta(seconds=5)
    monkeypatch.setattr(module, "datetime", Set)
    assert clock.wall() == datetime(2001, 1, 1, tzinfo=UTC)
    assert clock.now().year > 2001


def test_without_such_a_clock_the_one_on_the_wall_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
