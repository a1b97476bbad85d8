"""Exact literals of R. Must not check names in general, nor values beyond what R can hold.

R has no integers above 32 bits (a double holds them up to 2^53), no local times, no tuples and sets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from nbflow.core.values import InexactValueError, child_path

RESERVED = frozenset({"function", "next", "repeat", "TRUE", "FALSE", "NULL", "Inf", "NaN"})
"""Words of R that Python allows as names; those that begin with NA besides."""

_LONGEST = 4_000
"""Characters of one literal with Unicode escapes. R's parser takes 10,000, of 16 bits on some systems."""


def assignments(params: Mapping[str, Any]) -> list[str]:
    """One line for each parameter. Raises ValueError for what R cannot write exactly."""
    return [_assignment(name, value) for name, value in params.items()]


def _assignment(name: str, value: Any) -> str:
    if name.startswith("_") or name in RESERVED or re.fullmatch(r"NA(_\w+_)?", name):
        raise ValueError(f"{name}: R does not allow this as a name")
    written = _write(value, name)
    shown = f"  # {value!r}" if isinstance(value, float) and written.startswith(("0x", "-0x")) else ""
    return f"{name} = {written}{shown}"


def _write(value: Any, path: str) -> str:
    match value:
        case None:
            return "NULL"  # `list(1, NULL)` keeps it; only assigning NULL to an entry takes the entry out
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return _number(value, path)
        case str():
            return _text(value, path)
        case PurePosixPath():
            return _text(str(value), path)
        case datetime() | date():
            return _time(value, path)
        case list() | dict():
            return _container(value, path)
        case _:
            kind = type(value).__name__
            raise InexactValueError(path, kind, f"R has no exact literal for it ({kind})")


def _number(value: float, path: str) -> str:
    if isinstance(value, int):
        if abs(value) > 2**53:
            raise InexactValueError(path, "int", f"R has no exact number of {value.bit_length()} bits")
        return f"{value}L" if abs(value) < 2**31 else str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    # R does not promise to round decimals to the nearest double; hexadecimal digits need no rounding.
    return repr(value) if Decimal(repr(value)) == Decimal(value) else value.hex()


def _text(value: str, path: str) -> str:
    if "\0" in value:
        raise InexactValueError(path, "str", "R has no NUL in text")
    if value.isascii() or len(value) <= _LONGEST:
        return _one_text(value)
    parts = (_one_text(value[start : start + _LONGEST]) for start in range(0, len(value), _LONGEST))
    return f"paste0({', '.join(parts)})"


def _one_text(value: str) -> str:
    return '"' + "".join(_escaped(char) for char in value) + '"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if " " <= char <= "~":
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def _time(value: datetime | date, path: str) -> str:
    if not isinstance(value, datetime):
        return f'as.Date("{value.isoformat()}")'
    offset = value.utcoffset()
    if value.tzinfo is None or value.microsecond or (offset and not isinstance(value.tzinfo, ZoneInfo)):
        raise InexactValueError(path, "datetime", "R has times of whole seconds in UTC or a named zone only")
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else "UTC"
    return f'as.POSIXct({int(value.timestamp())}, origin = "1970-01-01", tz = {_text(zone, path)})'


def _container(value: list[Any] | dict[Any, Any], path: str) -> str:
    if isinstance(value, list):
        return f"list({', '.join(_write(item, f'{path}[{i}]') for i, item in enumerate(value))})"
    if not value:
        return "structure(list(), names = character(0))"
    for key in value:
        if not isinstance(key, str) or not key:
            raise InexactValueError(path, "dict", f"names in a list of R are text that is not empty, not {key!r}")
    keys = [_text(key, path) for key in value]
    items = [_write(item, child_path(path, key)) for key, item in value.items()]
    if max(map(len, keys)) > _LONGEST:  # a name that is written before `=` has a limit of its own
        return f"structure(list({', '.join(items)}), names = c({', '.join(keys)}))"
    return f"list({', '.join(f'{key} = {item}' for key, item in zip(keys, items, strict=True))})"
