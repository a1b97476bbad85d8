"""Durations, instants and counts as people read them. Must not know pages; no clock is read."""

from __future__ import annotations

from datetime import datetime, tzinfo

from nbflow.core.sizes import size


def duration(seconds: float) -> str:
    """`40ms`, `0.4s`, `12s`, `4m 12s`, `1h 05m`, `3d 4h`: two units at most."""
    if seconds < 0.095:
        return f"{round(seconds * 1000)}ms" if seconds >= 0.0005 else "0s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}s"
    if minutes < 60:
        return f"{minutes}m {rest:02d}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h" if hours else f"{days}d"


def moment(text: str | None) -> datetime | None:
    """The instant of an ISO 8601 text with an offset; None for none, and for what is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def clock(at: datetime, zone: tzinfo) -> str:
    """`Sat 31 Jan 2026, 06:00:04 CET`: local to a zone, with the zone's name."""
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M:%S %Z}"


def day(at: datetime, zone: tzinfo) -> str:
    """`Sat 31 Jan 2026, 06:00`, without the time where it is midnight."""
    local = at.astimezone(zone)
    date = f"{local:%a} {local.day} {local:%b %Y}"
    return date if (local.hour, local.minute, local.second) == (0, 0, 0) else f"{date}, {local:%H:%M}"


def count(number: int, noun: str) -> str:
    """`1 task`, `12 tasks`, `1,000 tasks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def usage(cpu: object, memory: object) -> str:
    """`CPU 1.2s, peak 340 MB`: CPU seconds and peak memory in bytes, as far as they are known."""
    known = (
        f"CPU {duration(cpu)}" if isinstance(cpu, int | float) else "",
        f"peak {size(memory)}" if isinstance(memory, int) else "",
    )
    return ", ".join(one for one in known if one)
