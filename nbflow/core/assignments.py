"""Parameters that cells of R, Julia and Bash declare, where they do it in the plainest way: one literal a line.

There is no parser of these languages here. A line is read where it can mean one thing only: a name, its value, perhaps
a comment. At the first line that is anything else the reading ends, and the rest of the cell is not known; the last
line of a cell says all that it means, for no value goes on in the next one. Must not know notebooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from nbflow.core.comments import words_of
from nbflow.core.declarations import Declared
from nbflow.core.params import infer_type, is_name
from nbflow.core.spec import ParamType


@dataclass(frozen=True, slots=True)
class _Value:
    """A literal of a language, as a value of ours; `type` ANY where it may be replaced by one of any type."""

    type: ParamType
    value: Any


_END = r"[ \t]*;?[ \t]*(?:#(?P<comment>.*))?"
_TEXT = r"\"[^\"\\]*\"|'[^'\\]*'"
_WHOLE = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = rf"{_WHOLE}(?:\.[0-9]{{0,40}})?(?:[eE][+-]?[0-9]{{1,3}})?"
_R_WHOLE = r"-?(?:0|[1-9][0-9]{0,8})L"
_R_DATE = r"as\.Date\((?:'\d{4}-\d\d-\d\d'|\"\d{4}-\d\d-\d\d\")\)"

_LINES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "r": re.compile(
            r"[ \t]*(?P<name>[A-Za-z.][\w.]*)[ \t]*(?:<-|=)[ \t]*"
            rf"(?P<value>{_TEXT}|{_R_WHOLE}|{_NUMBER}|{_R_DATE}|TRUE|FALSE|NULL){_END}",
            re.ASCII,
        ),
        "julia": re.compile(
            r"[ \t]*(?P<name>[A-Za-z_]\w*)(?P<type>::[A-Za-z]\w*)?[ \t]*=[ \t]*"
            rf"(?P<value>\"[^\"\\$]*\"|{_NUMBER}|true|false|nothing){_END}",
            re.ASCII,
        ),
        "bash": re.compile(
            r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)="
            r"(?P<value>'[^']*'|\"[^\"\\$`!]*\"|[\w.,:/@%+-]*)(?:[ \t]*;)?(?:[ \t]+#(?P<comment>.*)|[ \t]*)",
            re.ASCII,
        ),
    }
)
_NOTHING = re.compile(r"[ \t]*(?:#(?P<comment>.*))?")
_BLOCK = "="
"""Begins a comment of Julia that may go on for lines: `#= ... =#`."""


def _read_r(text: str) -> _Value:
    """A number without `L` is a double, also where it looks like an integer."""
    words = {"TRUE": True, "FALSE": False, "NULL": None}
    if text in words:
        return _known(words[text])
    if text[0] in "\"'":
        return _known(text[1:-1])
    if text.startswith("as."):
        return _Value(ParamType.DATE, date.fromisoformat(text[9:-2]))
    return _known(int(text[:-1]) if text.endswith("L") else float(text))


def _read_julia(text: str) -> _Value:
    words = {"true": True, "false": False, "nothing": None}
    if text in words:
        return _known(words[text])
    if text[0] == '"':
        return _known(text[1:-1])
    return _known(int(text) if re.fullmatch(_WHOLE, text) else float(text))


def _read_bash(text: str) -> _Value:
    """All is text in Bash, and whatever has a text may take its place."""
    return _Value(ParamType.ANY, text[1:-1] if text[:1] in {"'", '"'} else text)


def _known(value: Any) -> _Value:
    return _Value(infer_type(value), value)


_READERS: Mapping[str, Callable[[str], _Value]] = MappingProxyType(
    {"r": _read_r, "julia": _read_julia, "bash": _read_bash}
)

LANGUAGES = frozenset(_READERS)
"""Languages that can be read, in lower case."""


def read_assignments(source: str, language: str, cell: int) -> tuple[list[Declared], bool]:
    """What a parameters cell declares, and whether that is all of it. `cell` is its index among all cells."""
    found: list[Declared] = []
    above: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", source), 1):
        empty = _NOTHING.fullmatch(line)
        assigned = None if empty else _LINES[language].fullmatch(line)
        comment = (empty or assigned or {"comment": None})["comment"]
        if not (empty or assigned) or (language == "julia" and (comment or "").startswith(_BLOCK)):
            return found, False
        words = words_of(comment or "")
        if assigned is None:
            above = [*above, words] if words else []
            continue
        try:
            value = _READERS[language](assigned["value"])
        except ValueError:  # as.Date("2026-02-30")
            return found, False
        if assigned.groupdict().get("type"):
            value = _Value(ParamType.ANY, value.value)  # what Julia converts it to is not known
        if not is_name(assigned["name"]):
            about = words or " ".join(above) or None
            found.append(_declared(assigned["name"], value, about, cell, number))
        above = []
    return found, True


def _declared(name: str, value: _Value, description: str | None, cell: int, line: int) -> Declared:
    return Declared(
        name=name,
        type=value.type,
        default=value.value,
        has_default=True,
        nullable=value.value is None,
        description=description,
        cell=cell,
        line=line,
    )
