"""Values as TOML text, for files that nbflow writes: `toml_value`, `toml_text`."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta, timezone
from typing import Any


def toml_text(text: str) -> str:
    """A text in double quotes; TOML's escapes are those of JSON, but for surrogates, which it has no form for."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escaped(char) for char in escaped)


def toml_value(value: Any) -> str:
    """The TOML form of a value on one line. Raises ValueError for what TOML has no exact form for."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return toml_text(value)
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else str(value)
        case datetime() | time() if _is_plain_time(value):
            return value.isoformat()
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case list():
            return "[" + ", ".join(map(toml_value, value)) + "]"
        case dict() if all(isinstance(key, str) for key in value):
            pairs = [f"{toml_text(key)} = {toml_value(item)}" for key, item in value.items()]
            return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
        case _:
            raise ValueError(f"TOML has no form for a value of type {type(value).__name__}")


def _is_plain_time(value: datetime | time) -> bool:
    """Whether TOML can say it: no zone but a fixed offset of whole minutes, no second pass of a repeated hour."""
    zone = value.tzinfo
    if zone is None:
        return value.fold == 0
    if not isinstance(value, datetime) or not isinstance(zone, timezone):
        return False
    return zone.utcoffset(None) % timedelta(minutes=1) == timedelta(0) and value.fold == 0


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError("TOML has no form for a lone surrogate")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
