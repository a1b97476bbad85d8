"""Durations and sizes as people write them: "1h30m" in seconds, "4GB" in bytes."""

from __future__ import annotations

import math
import re

MAX_SECONDS = 3650 * 86400.0
"""Ten years: more is a mistake, and far more does not fit into a timer."""

DURATION_PATTERN = (
    r"(?=.)(?:[0-9.]{1,9}w)?(?:[0-9.]{1,9}d)?(?:[0-9.]{1,9}h)?(?:[0-9.]{1,9}m)?(?:[0-9.]{1,9}s)?(?:[0-9.]{1,9}ms)?"
)
SIZE_PATTERN = r"[0-9]{1,9}(?:\.[0-9]{1,3})? ?(?:[KMGT]i?)?B"

_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    f"{prefix}i": 1024**power for power, prefix in enumerate("KMGT", start=1)
}
_PART = re.compile(r"([0-9.]+)([a-z]+)")
_SIZE = re.compile(r"([0-9.]+) ?([KMGT]i?|)B")


def parse_duration(value: object) -> float:
    """Seconds of "30s", "1h30m", "1.5h", "7d" or of a number of seconds. Raises ValueError with what is wrong."""
    advice = 'durations are written like "30s", "1h30m" or "7d", or as a number of seconds'
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(advice)
    if isinstance(value, str):
        if not re.fullmatch(DURATION_PATTERN, value):
            raise ValueError(advice)
        try:
            seconds = sum(float(number) * _SECONDS[name] for number, name in _PART.findall(value))
        except ValueError:
            raise ValueError(advice) from None
    else:
        seconds = float(min(value, 2 * MAX_SECONDS)) if value == value else math.nan  # noqa: PLR0124
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError("a duration is between 0 and 3650d")
    return seconds


def parse_size(value: object) -> int:
    """Bytes of "512MB" (powers of 1000), "4GiB" (powers of 1024) or of a whole number. Raises ValueError."""
    advice = 'sizes are written like "500MB", "4GB" or "4GiB", or as a number of bytes'
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(SIZE_PATTERN, value) and (match := _SIZE.fullmatch(value)):
        return int(float(match[1]) * _BYTES[match[2]])
    raise ValueError(advice)
