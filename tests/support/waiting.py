"""Waiting for the world outside, and looking at it while it changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil


def until(condition: Callable[[], object], limit: float = 30.0) -> None:
    """Wait for a condition of the world outside."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def allowed(seconds: float) -> float:
    """Seconds that may pass here for what takes at most so many on an idle machine."""
    return seconds * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))


def command(process: psutil.Process) -> str:
    """What a process was started with; nothing for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
