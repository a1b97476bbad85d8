"""Names of runs: `sales-20260131T060000-k3fa`. They sort by time and are easy to type.

Pure: time and chance come in.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"
"""Without i, l, o, u, 0 and 1, which are misread."""


def run_id(pipeline: str, at: datetime, timezone: str, entropy: str) -> str:
    """The id of a run that is made at the instant `at`, written as local time; four letters come from `entropy`."""
    local = at.astimezone(ZoneInfo(timezone))
    number = int.from_bytes(sha256(f"{pipeline}/{at.isoformat()}/{entropy}".encode()).digest()[:8])
    letters = []
    for _ in range(4):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return f"{pipeline}-{local:%Y%m%dT%H%M%S}-{''.join(letters)}"


def attempt_id(run: str, task: str, attempt: int) -> str:
    """The name of one attempt, as logs and jitter use it: `run/task/2`."""
    return f"{run}/{task}/{attempt}"
