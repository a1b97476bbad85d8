"""How states look on a terminal: a glyph, a colour and a word each, so that none is told by colour alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """`ascii` stands for `glyph` where the terminal cannot show it; `style` is a name that `Output.paint` knows."""

    glyph: str
    ascii: str
    style: str
    word: str


LOOKS: dict[str, Look] = {
    "pending": Look("·", ".", "dim", "pending"),
    "queued": Look("○", "o", "blue", "queued"),
    "running": Look("●", ">", "cyan", "running"),
    "retrying": Look("↻", "r", "yellow", "retrying"),
    "succeeded": Look("✓", "+", "green", "succeeded"),
    "failed": Look("✗", "x", "red", "failed"),
    "skipped": Look("»", "-", "dim", "skipped"),
    "upstream_failed": Look("⊘", "/", "yellow", "upstream failed"),
    "cancelled": Look("■", "#", "magenta", "cancelled"),
    "interrupted": Look("■", "#", "magenta", "interrupted"),
    "run": Look("▸", ">", "cyan", "run"),
    "reuse": Look("↺", "=", "green", "reuse"),
    "skip": Look("»", "-", "dim", "skip"),
    "ok": Look("✓", "+", "green", "ok"),
    "warn": Look("!", "!", "yellow", "warn"),
    "fail": Look("✗", "x", "red", "fail"),
}
"""By state of a run or task, action of a plan, and result of a check of `doctor`."""

UNKNOWN = Look("?", "?", "", "unknown")


def look(state: str) -> Look:
    """How a state looks; one that this version does not know is shown as it is."""
    return LOOKS.get(state) or Look(UNKNOWN.glyph, UNKNOWN.ascii, UNKNOWN.style, state)
