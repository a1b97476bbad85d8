"""Names of processes that own runs, as others read them: `host:pid:start@instant`. Must not know processes.

`start` tells a process from a later one that got its pid; `instant` (seconds since 1970) is when that was, for people.
"""

from __future__ import annotations

from datetime import UTC, datetime


def describe(owner: str) -> str:
    """An owner as a message names it: `process 12 on host, since 2026-01-31 12:00:00 UTC`; as it is if it has no such
    form.
    """
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if not host or not rest.isdecimal():
        return owner
    _, _, seconds = owner.rpartition("@")
    since = ""
    if seconds != owner and seconds.isdecimal() and len(seconds) < 12:
        since = f", since {datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"process {rest} on {host}{since}"
