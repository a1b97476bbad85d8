"""Colours of pages and pictures, light and dark, and which colour, word and shape stand for which state.

A state is never told by colour alone: each tone has its own glyph. All tones that text is written in reach a
contrast of 4.5 on every ground they stand on (a test computes it). Must not know pages or pictures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

COLOURS: dict[str, tuple[str, str]] = {
    "bg": ("#f8f8f6", "#15171b"),
    "card": ("#ffffff", "#1d2025"),
    "sunken": ("#f4f4f1", "#181a1f"),
    "line": ("#e2e2dd", "#32363e"),
    "edge": ("#a9adb5", "#5b616c"),
    "text": ("#1d1f23", "#e7e8eb"),
    "muted": ("#5a5e66", "#a6abb5"),
    "link": ("#2757c4", "#8ab0ff"),
    "on": ("#ffffff", "#15171b"),
    "ok": ("#14733f", "#5ccb8f"),
    "ok-soft": ("#e8f5ed", "#1a2e24"),
    "bad": ("#b92b25", "#ff8f86"),
    "bad-soft": ("#fdedec", "#3a2123"),
    "live": ("#1f5cbe", "#82b2ff"),
    "live-soft": ("#e9f1fd", "#1d2a41"),
    "warn": ("#8a5500", "#f0b656"),
    "warn-soft": ("#fcf3e2", "#372c18"),
    "blocked": ("#9a4517", "#f2a57f"),
    "blocked-soft": ("#fbf0e9", "#36261e"),
    "stop": ("#6c3fa6", "#c6a6f4"),
    "stop-soft": ("#f3edfb", "#2b2539"),
    "off": ("#5f646d", "#a0a6b0"),
    "off-soft": ("#f1f1ee", "#262930"),
    "code-key": ("#7a3e9d", "#c9a4f0"),
    "code-text": ("#18703c", "#8fd3a4"),
    "code-note": ("#656a73", "#9096a1"),
    "code-number": ("#a1450c", "#f0ad7e"),
    "code-name": ("#1f5cbe", "#8ab4ff"),
    "code-given": ("#0f6b78", "#75cbd8"),
}
"""Name -> (light, dark). `x-soft` is the ground for text and lines in `x`; `on` is drawn upon a tone."""

TONES = ("ok", "bad", "live", "warn", "blocked", "stop", "off")

STATES: dict[str, tuple[str, str]] = {
    "failed": ("bad", "Failed"),
    "killed": ("bad", "Killed"),
    "running": ("live", "Running"),
    "retrying": ("warn", "Retrying"),
    "interrupted": ("stop", "Interrupted"),
    "upstream_failed": ("blocked", "Upstream failed"),
    "cancelled": ("stop", "Cancelled"),
    "queued": ("off", "Queued"),
    "pending": ("off", "Pending"),
    "not_run": ("off", "Not run"),
    "succeeded": ("ok", "Succeeded"),
    "ok": ("ok", "OK"),
    "skipped": ("off", "Skipped"),
}
"""State of a run, task or cell -> (tone, word), what asks for most attention first."""

_TOLD = (
    *("failed", "killed", "succeeded", "ok", "running", "retrying", "queued", "pending"),
    *("upstream_failed", "cancelled", "interrupted", "skipped", "not_run"),
)
"""The order of counts: what went wrong, is done, goes on, waits, and what was left."""

_RANK = {state: rank for rank, state in enumerate(STATES)}

_ROUND = '<circle class="full" cx="8" cy="8" r="7"/>'
_RING = '<circle class="ring" cx="8" cy="8" r="6.2"/>'
_EIGHT = '<path class="full" d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z"/>'
_SQUARE = '<rect class="full" x="1.5" y="1.5" width="13" height="13" rx="3"/>'
_SHAPES = {
    "succeeded": _ROUND + '<path class="ink" d="M4.7 8.3l2.3 2.3 4.4-4.9"/>',
    "failed": _EIGHT + '<path class="ink" d="M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4"/>',
    "running": _RING + '<path class="full" d="M6.4 4.9v6.2L11.4 8Z"/>',
    "retrying": '<path class="ring" d="M13.6 5.6A6.2 6.2 0 1 0 14.2 8"/><path class="full" d="M14.9 1.9v5h-5Z"/>',
    "queued": _RING + '<path class="mark" d="M8 4.4V8l2.4 1.6"/>',
    "pending": '<circle class="ring dots" cx="8" cy="8" r="6.2"/>',
    "skipped": _RING + '<path class="mark" d="M4.9 5.4L7.5 8l-2.6 2.6M8.4 5.4L11 8l-2.6 2.6"/>',
    "upstream_failed": _RING + '<path class="mark" d="M4.6 8h6.8"/>',
    "cancelled": _SQUARE + '<path class="ink" d="M5.4 8h5.2"/>',
    "interrupted": _SQUARE + '<path class="ink" d="M6.2 5.2v5.6M9.8 5.2v5.6"/>',
}
_SHAPES |= {"ok": _SHAPES["succeeded"], "killed": _SHAPES["failed"], "not_run": _SHAPES["pending"]}

GLYPH_CSS = """
.glyph .full{fill:var(--tone)}
.glyph .ring{fill:none;stroke:var(--tone);stroke-width:1.6}
.glyph .dots{stroke-dasharray:2.4 2.47}
.glyph .mark{fill:none;stroke:var(--tone);stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
.glyph .ink{fill:none;stroke:var(--on);stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
"""
"""How glyphs are painted: `--tone` comes from a class `t-<tone>` on the glyph or around it."""


def tone(state: str | None) -> str:
    """The tone of a state; `off` for one that is not known."""
    return STATES[state][0] if state in STATES else "off"


def word(state: str | None) -> str:
    """The word that people read for a state."""
    return STATES[state][1] if state in STATES else str(state or "").replace("_", " ")


def worst(states: Iterable[str | None]) -> str | None:
    """The state that asks for most attention; None where no state is known."""
    known = [state for state in states if state in _RANK]
    return min(known, key=_RANK.__getitem__) if known else None


def told(states: Iterable[str | None]) -> list[tuple[str, int]]:
    """How many there are of each state, in the order in which people are told; None is not counted."""
    counts = Counter(state for state in states if state)
    known = [state for state in _TOLD if counts[state]]
    return [(state, counts[state]) for state in [*known, *sorted(set(counts) - set(known))]]


def glyph(state: str | None) -> str:
    """The shape of a state: SVG in a square of 16 by 16, for a `<g class="glyph t-...">`. No shape for no state."""
    return _SHAPES.get(state or "", "")


def variables() -> str:
    """The colours as CSS variables of a page, both schemes, and the classes that set `--tone` and `--soft`."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in COLOURS.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in COLOURS.items())
    tones = "".join(f".t-{name}{{--tone:var(--{name});--soft:var(--{name}-soft)}}" for name in TONES)
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{tones}\n"


def literal(css: str) -> str:
    """CSS with `var(--name)` for a picture that stands alone: colours written out, light first, then dark.

    Programs that draw SVG outside a browser know no variables. A rule that uses `--tone` or `--soft` is written
    once for each tone.
    """
    rules = []
    for rule in re.findall(r"[^{}]+\{[^{}]*\}", css):
        selector, body = rule.strip().split("{", 1)
        if "var(--tone)" in body or "var(--soft)" in body:
            rules += [_toned(selector, "{" + body, name) for name in TONES]
        else:
            rules.append(selector + "{" + body)
    schemes = ["".join(_written(rule, index) for rule in rules) for index in (0, 1)]
    return f"{schemes[0]}@media (prefers-color-scheme:dark){{{schemes[1]}}}"


def _toned(selector: str, body: str, name: str) -> str:
    """A rule for one tone: the element that it paints stands below the one that bears the tone's class."""
    selectors = ",".join(f".t-{name} {part.split()[-1]}" for part in selector.split(","))
    return selectors + body.replace("var(--tone)", f"var(--{name})").replace("var(--soft)", f"var(--{name}-soft)")


def _written(rule: str, index: int) -> str:
    return re.sub(r"var\(--([a-z-]+)\)", lambda found: COLOURS[found[1]][index], rule)
