"""Exact literals of Julia. Must not check names in general, nor values beyond what Julia can hold.

Containers are of `Any` wherever Julia would convert their items to one type, as in `[1, 2.5]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from pathlib import PurePosixPath
from typing import Any

from nbflow.core.values import InexactValueError, child_path

RESERVED = frozenset(
    {"baremodule", "begin", "catch", "const", "do", "elseif", "end", "export", "false", "function", "isa", "let"}
    | {"local", "macro", "module", "quote", "struct", "true", "using", "where"}
    | {"Any", "Dates", "Dict", "Inf", "NaN", "nothing", "missing"}
)
"""Words of Julia that Python allows as names, and names that the literals themselves use."""


def assignments(params: Mapping[str, Any]) -> list[str]:
    """One line for each parameter, after an import where it is needed. Raises ValueError for what has no literal."""
    lines = [f"{_name(name)} = {_write(value, name)}" for name, value in params.items()]
    return ["import Dates", *lines] if any("Dates." in line for line in lines) else lines


def _name(name: str) -> str:
    if name in RESERVED or not name.strip("_"):
        raise ValueError(f"{name}: Julia does not allow this as a name")
    return name


def _write(value: Any, path: str) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case str():
            return _text(value)
        case PurePosixPath():
            return _text(str(value))
        case datetime() | date() | time():
            return _time(value, path)
        case _:
            return _container(value, path)


def _number(value: float) -> str:
    if isinstance(value, int) or math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _text(value: str) -> str:
    return '"' + "".join(_escaped(char) for char in value) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def _time(value: datetime | date | time, path: str) -> str:
    micro = 0 if not isinstance(value, datetime | time) else value.microsecond
    if isinstance(value, datetime | time) and (value.tzinfo is not None or value.fold):
        raise InexactValueError(path, type(value).__name__, "Julia's Dates has no time zones")
    if isinstance(value, datetime):
        if micro % 1000:
            raise InexactValueError(path, "datetime", "Julia's DateTime has milliseconds, no microseconds")
        parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, micro // 1000]
        return f"Dates.DateTime({', '.join(map(str, parts))})"
    if isinstance(value, time):
        parts = [value.hour, value.minute, value.second, micro // 1000, micro % 1000]
        return f"Dates.Time({', '.join(map(str, parts))})"
    return f"Dates.Date({value.year}, {value.month}, {value.day})"


def _container(value: Any, path: str) -> str:
    match value:
        case list():
            kind = "" if _is_uniform(value) else "Any"
            return f"{kind}[{', '.join(_items(value, path))}]"
        case tuple():
            return f"({', '.join(_items(value, path))}{',' if len(value) == 1 else ''})"
        case dict():
            pairs = (f"{_write(key, path)} => {_write(item, child_path(path, key))}" for key, item in value.items())
            return f"Dict{{{'String' if _all_text(value) else 'Any'}, Any}}({', '.join(pairs)})"
        case _:
            kind = type(value).__name__
            raise InexactValueError(path, kind, f"Julia has no exact literal for it ({kind})")


def _items(value: Sequence[Any], path: str) -> list[str]:
    return [_write(item, f"{path}[{i}]") for i, item in enumerate(value)]


def _is_uniform(value: Sequence[Any]) -> bool:
    """Whether all items are scalars of one type of Julia, so that nothing is converted."""
    kinds = {type(item) for item in value}
    if len(kinds) != 1 or not kinds <= {str, bool, int, float}:
        return False
    return kinds != {int} or all(-(2**63) < item < 2**63 for item in value)


def _all_text(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) for key in value)
