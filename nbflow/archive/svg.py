"""Text and numbers in pictures: escaping, widths, shortening. Must not know what is drawn."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import escape as _escape

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

TIMES = "\N{MULTIPLICATION SIGN}"

_WIDTHS = {
    0.3: "'IJijl",
    0.35: " ,./:;\\|·",
    0.4: "()-[]ft",
    0.45: "!r",
    0.5: '"*_`\N{EN DASH}',
    0.55: "?csz",
    0.6: "FLkvxy",
    0.65: "$0123456789EPSTYabdeghnopqu{}",
    0.7: "ABCKRVXZ",
    0.75: "NU",
    0.8: "&DGHOQ",
    0.85: "#+<=>^w~→←\N{MULTIPLICATION SIGN}",
    0.9: "M",
    1.0: "%@Wm…—",
}
"""Widths in em of DejaVu Sans, the widest of the fonts that FONT can come to: text fits wherever it is shown."""
_WIDTH = {letter: width for width, letters in _WIDTHS.items() for letter in letters}
_OTHER = 0.9
_WIDE = 1.4

_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Text without what XML and UTF-8 cannot hold: control characters and lone surrogates become U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def escape(text: str) -> str:
    """Text for the inside of an element or an attribute."""
    return _escape(clean(text))


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """An upper estimate, in pixels, of text set in FONT at `size` pixels."""
    return size * sum(_WIDTH.get(letter) or _other(letter) for letter in text)


def fit(text: str, width: float, size: float) -> str:
    """The text, or its beginning and an ellipsis, so that it needs at most `width` pixels."""
    text = " ".join(clean(text).split())
    if text_width(text, size) <= width:
        return text
    room = width - text_width("…", size)
    kept = []
    for letter in text:
        room -= text_width(letter, size)
        if room < 0:
            break
        kept.append(letter)
    return "".join(kept).rstrip() + "…"


def num(value: float) -> str:
    """A coordinate with one decimal at most: the same picture has the same bytes."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _other(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(letter) in "WF" else _OTHER
