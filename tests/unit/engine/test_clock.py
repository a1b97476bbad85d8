"""The real clock."""

from __future__ import annotations

from datetime import UTC

from nbflow.engine.clock import SystemClock


def test_now_is_aware_and_monotonic_does_not_run_back() -> None:
    clock = SystemClock()
    first, then = clock.monotonic(), clock.now()
    assert then.tzinfo is UTC
    assert clock.now() >= then
    assert clock.monotonic() >= first
