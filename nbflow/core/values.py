"""Values of parameters and outputs: which there are, and their exact, readable and canonical JSON forms.

`encode` and `decode` are inverse of each other, types included; they are what the store, the event log and
work orders use. `plain` is for documents that people and scripts read. Must not know where values come from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import PurePath, PurePosixPath
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

Json: TypeAlias = Any
"""None, bool, int, float, str, list of Json, dict of str to Json."""

MAX_DEPTH = 100
PLACE = 60
"""Characters that are shown of a place that is deep within a value."""
MAX_INT_BITS = 10_000
"""CPython refuses to print more than 4,300 digits, which are some 14,000 bits."""
MAX_SIZE = 1024 * 1024
"""Bytes of the canonical form that a parameter or an output may have."""


class InexactValueError(ValueError):
    """A value that cannot be stored and passed on exactly; names the place inside the value and its type."""

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.type_name = type_name


def encode(value: object, *, name: str = "value") -> Json:
    """The exact JSON form: JSON's own types as they are, every other as an object with one key `$type`.

    `name` begins the path in messages. Raises InexactValueError for every type that has no exact form.
    """
    return _encode(value, name, 0)


def _encode(value: object, path: str, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise _inexact(f"{path[:PLACE]}...", value, f"nested more than {MAX_DEPTH} levels deep")
    value = _unwrap(value, path)
    match value:
        case None | bool() | int() | float() | str():
            return _encode_scalar(value, path)
        case list() | tuple():
            items = [_encode(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        case set() | frozenset():
            items = [_encode(item, f"{path}{{...}}", depth + 1) for item in value]
            return {f"${type(value).__name__}": sorted(items, key=_dump)}
        case dict():
            return _encode_dict(value, path, depth)
        case _:
            return _encode_tagged(value, path)


def _encode_scalar(value: Json, path: str) -> Json:
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        raise _inexact(path, value, f"an integer of more than {MAX_INT_BITS:,} bits")
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return _checked_text(value, path) if isinstance(value, str) else value


def _encode_dict(value: dict[Any, Any], path: str, depth: int) -> Json:
    pairs = [
        (_encode(key, f"key of {path}", depth + 1), _encode(item, child_path(path, key), depth + 1))
        for key, item in value.items()
    ]
    if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [list(pair) for pair in pairs]}


def _encode_tagged(value: object, path: str) -> Json:
    match value:
        case datetime() | time():
            local = value.replace(tzinfo=None, fold=0).isoformat()
            return {f"${type(value).__name__}": local} | _zone(value, path)
        case date():
            return {"$date": value.isoformat()}
        case timedelta():
            return {"$timedelta": [value.days, value.seconds, value.microseconds]}
        case Decimal():
            return {"$decimal": str(value)}
        case PurePosixPath():
            return {"$path": _checked_text(str(value), path)}
        case _:
            raise _inexact(path, value, f"a value of type {_type_name(value)} cannot be passed on exactly")


def _zone(value: datetime | time, path: str) -> dict[str, Json]:
    found: dict[str, Json] = {"fold": value.fold} if value.fold else {}
    match value.tzinfo:
        case None:
            return found
        case ZoneInfo(key=str(key)):
            return found | {"zone": key}
        case timezone() as fixed:
            offset = fixed.utcoffset(None)
            return found | {"offset": [offset.days, offset.seconds, offset.microseconds]}
        case other:
            kind = _type_name(other)
            raise _inexact(path, value, f"a time zone of type {kind} cannot be passed on exactly; use zoneinfo")


_EXACT: tuple[type, ...] = (
    *(type(None), bool, int, float, str, list, tuple, set, frozenset, dict),
    *(datetime, date, time, timedelta, Decimal),
)


def _unwrap(value: object, path: str) -> object:
    """A value of one of our types: numpy's scalars become Python's; subclasses (enums, timestamps) are refused."""
    if type(value) in _EXACT or isinstance(value, PurePosixPath):
        return value
    if any(kind.__module__ == "numpy" and kind.__name__ == "generic" for kind in type(value).__mro__):
        item: object = value.item()  # type: ignore[attr-defined]
        # A datetime64 finer than microseconds gives an int, a longdouble gives itself: neither is exact.
        is_time = getattr(getattr(value, "dtype", None), "kind", "") in {"m", "M"}
        if type(item) in _EXACT and not (is_time and isinstance(item, int)):
            return item
    raise _inexact(path, value, f"a value of type {_type_name(value)} cannot be passed on exactly")


def _checked_text(text: str, path: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _inexact(path, text, "text with a lone surrogate, which has no UTF-8 form") from None
    return text


def _inexact(path: str, value: object, reason: str) -> InexactValueError:
    return InexactValueError(path, _type_name(value), reason)


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def child_path(path: str, key: object) -> str:
    """The path of an entry: `limits.max`, `limits["odd key"]`, `limits[3]`."""
    if isinstance(key, str):
        if re.fullmatch(r"[A-Za-z_]\w{0,63}", key, re.ASCII):
            return f"{path}.{key}"
        return f"{path}[{json.dumps(key if len(key) <= 40 else key[:40] + '...')}]"
    return f"{path}[{key}]" if isinstance(key, int | float) else f"{path}[...]"


def decode(data: Json) -> Any:
    """The value of `encode`'s JSON, which may come from outside. Raises ValueError for what has no value."""
    try:
        return _decode(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _decode(data: Json) -> Any:
    match data:
        case None | bool() | int() | float() | str():
            return data
        case list():
            return [_decode(item) for item in data]
        case dict():
            tag = next((key for key in data if key.startswith("$")), None)
            if tag is None:
                return {key: _decode(item) for key, item in data.items()}
            return _decode_tagged(tag, data)
        case _:
            raise ValueError(f"{_type_name(data)} is not JSON")


def _decode_tagged(tag: str, data: Mapping[str, Json]) -> Any:
    reader = _READERS.get(tag)
    known = {tag, "zone", "offset", "fold"} if tag in {"$datetime", "$time"} else {tag}
    if reader is None or not data.keys() <= known:
        raise ValueError(f"unknown kind of value {tag!r}")
    try:
        value = reader(data[tag])
        if isinstance(value, datetime | time):
            return value.replace(tzinfo=_decode_zone(data), fold=data.get("fold", 0))
    except (TypeError, LookupError, ArithmeticError, OSError) as error:
        raise ValueError(f"damaged value of kind {tag!r}") from error
    return value


def _decode_zone(data: Mapping[str, Json]) -> tzinfo | None:
    if "zone" in data:
        return ZoneInfo(data["zone"])
    return timezone(timedelta(*data["offset"])) if "offset" in data else None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "$float": float,
    "$date": date.fromisoformat,
    "$datetime": datetime.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda parts: timedelta(*parts),
    "$decimal": Decimal,
    "$path": PurePosixPath,
    "$tuple": lambda items: tuple(_decode(item) for item in items),
    "$set": lambda items: {_decode(item) for item in items},
    "$frozenset": lambda items: frozenset(_decode(item) for item in items),
    "$dict": lambda pairs: {_decode(key): _decode(item) for key, item in pairs},
}


def canonical(value: object) -> str:
    """One text for equal values of equal types: the exact form with keys sorted. Raises as `encode`."""
    return _dump(_ordered(encode(value)))


def _ordered(data: Json) -> Json:
    match data:
        case list():
            return [_ordered(item) for item in data]
        case {"$dict": list(pairs)}:
            return {"$dict": sorted(([_ordered(key), _ordered(item)] for key, item in pairs), key=_dump)}
        case dict():
            return {key: _ordered(item) for key, item in data.items()}
        case _:
            return data


def _dump(data: Json) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: object, *, name: str = "value") -> Json:
    """The readable JSON form: times as ISO text, paths and decimals as text, tuples and sets as lists.

    One way only: `decode` does not read it. Raises InexactValueError as `encode`.
    """
    return _plain(decode(encode(value, name=name)))


def _plain(value: Any) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted((_plain(item) for item in value), key=_sort_key)
        case dict():
            return _plain_dict(value)
        case _:
            return text(value)


def _sort_key(data: Json) -> tuple[bool, float, str]:
    is_number = isinstance(data, int | float)
    return not is_number, data if is_number else 0, _dump(data)


def _plain_dict(value: dict[Any, Any]) -> dict[str, Json]:
    """JSON's keys are text; of two keys with one text ({1: "a", "1": "b"}) the later gets a prime: none is lost."""
    found: dict[str, Json] = {}
    for key, item in value.items():
        shown = text(key)
        while shown in found:
            shown += "'"
        found[shown] = _plain(item)
    return found


def text(value: Any) -> str:
    """The text of a value inside other text: ISO for dates and times, JSON for containers, else `str`."""
    match value:
        case str():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case list() | tuple() | set() | frozenset() | dict():
            return json.dumps(plain(value), ensure_ascii=False)
        case PurePath():
            return value.as_posix()
        case _:
            return str(value)


def check_size(value: object, limit: int = MAX_SIZE, *, name: str = "value") -> int:
    """Bytes of the canonical form. Raises ValueError above the limit, and InexactValueError as `encode`."""
    size = len(_dump(encode(value, name=name)).encode("utf-8"))
    if size > limit:
        shown = f"{size / 1e6:.1f} MB is above the limit of {limit / 1e6:.1f} MB"
        raise ValueError(f"{name}: {shown}; write a file and pass its path")
    return size
