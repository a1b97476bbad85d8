"""Numbers of bytes as people read them. Pure."""

from __future__ import annotations

_SCALES = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


def size(number: int) -> str:
    """`1 byte`, `512 bytes`, `3.4 KB`, `12 MB`: powers of 1000."""
    for name, scale in _SCALES:
        if number >= scale:
            value = number / scale
            return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"
    return f"{number} byte" if number == 1 else f"{number} bytes"
