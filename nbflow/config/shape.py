"""Shapes of values: what a key may hold, read from what tomllib gives, and described as JSON Schema.

A kind reads a raw value into the one that the specification holds, or notes faults and gives MISSING. Every
fault is noted, none raised. Must not know which keys nbflow has (`keys.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from enum import Enum, StrEnum
from typing import Any, Protocol

from nbflow.config.quantities import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size
from nbflow.core.faults import NOT_YET, Fault, KeyPath, did_you_mean, name_fault
from nbflow.core.sizes import size
from nbflow.core.spec import EMPTY, NAME_PATTERN

Schema = dict[str, Any]


class Missing(Enum):
    """The one value that stands for no value."""

    MISSING = "missing"


MISSING = Missing.MISSING


class Reading:
    """Goes along while values are read. `partial`: a profile, where nothing is required nor refused as later.

    `unclear` are keys whose values are not what the file's author meant: what follows from them is no fault.
    """

    def __init__(self, *, partial: bool = False) -> None:
        self.partial = partial
        self.faults: list[Fault] = []
        self.unclear: set[KeyPath] = set()

    def fault(self, at: KeyPath, message: str, hint: str | None = None, *, on_key: bool = False) -> Missing:
        self.faults.append(Fault(key=at, message=message, hint=hint, on_key=on_key))
        if not on_key:
            self.unclear.add(at)
        return MISSING

    def wrong(self, at: KeyPath, expected: str, value: object, hint: str | None = None) -> Missing:
        return self.fault(at, f"expected {expected}, not {described(value)}", hint)


class Kind(Protocol):
    """What a value may be."""

    def read(self, value: Any, at: KeyPath, reading: Reading, /) -> Any: ...

    def schema(self) -> Schema: ...


def described(value: object) -> str:
    """A value in words, short and printable, for messages."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            short = value if len(value) <= 40 else value[:40] + "..."
            return "the text " + ascii(short) if not short.isprintable() else f'the text "{short}"'
        case int():
            return f"the number {value}" if abs(value) < 10**20 else "a huge number"
        case float():
            return f"the number {value:g}"
        case dict():
            return "a table"
        case list():
            return "an array"
        case datetime() | date() | time():
            return f"the {type(value).__name__} {value}"
        case _:
            return f"a value of type {type(value).__name__}"


class Text:
    """A text that is not empty."""

    def __init__(self, *, what: str = "a text", longest: int = 10_000) -> None:
        self.what = what
        self.longest = longest

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, str):
            return reading.wrong(at, self.what, value)
        if not value.strip():
            return reading.fault(at, f"expected {self.what}, not an empty one")
        if len(value) > self.longest:
            return reading.fault(at, f"the text has {len(value):,} characters; at most {self.longest:,} are allowed")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": self.longest}


class Name:
    """A name by the rule for names."""

    def __init__(self, *, what: str) -> None:
        self.what = what

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, str):
            return reading.wrong(at, self.what, value)
        if fault := name_fault(value):
            return reading.fault(at, f"{described(value)} is no name: {fault}")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{NAME_PATTERN}$"}


class Whole:
    """A whole number from `least` to `most`."""

    def __init__(self, *, least: int = 0, most: int = 1_000_000) -> None:
        self.least = least
        self.most = most

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return reading.wrong(at, "a whole number", value)
        if not self.least <= value <= self.most:
            return reading.wrong(at, f"a whole number from {self.least} to {self.most}", value)
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Number:
    """A finite number; with `least` not below that one."""

    def __init__(self, *, least: float | None = None) -> None:
        self.least = least

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            return reading.wrong(at, "a number", value)
        if self.least is not None and value < self.least:
            return reading.wrong(at, f"a number from {self.least:g} on", value)
        return value

    def schema(self) -> Schema:
        return {"type": "number"} if self.least is None else {"type": "number", "minimum": self.least}


class Size:
    """A number of bytes, at least `least`."""

    def __init__(self, *, least: int) -> None:
        self.least = least

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        try:
            found = parse_size(value)
        except ValueError as error:
            return reading.wrong(at, "a size", value, str(error))
        if found < self.least:
            hint = 'write a size with its dimension, such as "500MB" or "4GB"'
            return reading.wrong(at, f"a size of at least {size(self.least)}", value, hint)
        return found

    def schema(self) -> Schema:
        text = {"type": "string", "pattern": f"^{SIZE_PATTERN}$"}
        return {"anyOf": [text, {"type": "integer", "minimum": self.least}]}


class Choice:
    """One of the values of an enumeration; `aliases` are other words that people write for them."""

    def __init__(self, *, options: type[StrEnum], aliases: Mapping[str, str] = EMPTY) -> None:
        self.options = options
        self.aliases = aliases

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        names = [option.value for option in self.options]
        if isinstance(value, str) and value in names:
            return self.options(value)
        hint = None
        if isinstance(value, str):
            meant = self.aliases.get(value.lower())
            hint = f'did you mean "{meant}"?' if meant else did_you_mean(value, names, what="there are")
        return reading.wrong(at, "one of " + ", ".join(names), value, hint)

    def schema(self) -> Schema:
        return {"enum": [option.value for option in self.options]}


class Duration:
    """A length of time, read as seconds."""

    def __init__(self, *, zero: bool = False) -> None:
        self.zero = zero

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            return reading.wrong(at, "a duration", value, str(error))
        if seconds == 0 and not self.zero:
            return reading.wrong(at, "a duration longer than 0", value)
        return seconds

    def schema(self) -> Schema:
        least = {"minimum": 0} if self.zero else {"exclusiveMinimum": 0}
        return {"anyOf": [{"type": "string", "pattern": f"^{DURATION_PATTERN}$"}, {"type": "number", **least}]}


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class LocalPath:
    """A path on this machine. URLs are known and not supported yet."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, str) or not value.strip():
            return reading.wrong(at, "a path", value)
        if match := _URL.match(value):
            if reading.partial:
                return value
            return reading.fault(at, f"{NOT_YET}{at[-1]} = {match[1]}://...", "give a path on this machine")
        if "\0" in value:
            return reading.fault(at, "a path cannot hold a NUL character")
        if value.startswith("~"):
            return reading.fault(at, '"~" is not expanded', "write the path in full, or relative to this file")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1}


class Anything:
    """Any value of TOML, taken as it is; `shape` tells editors more."""

    def __init__(self, *, shape: Schema | None = None) -> None:
        self.shape = shape or {}

    def read(self, value: Any, _at: KeyPath, _reading: Reading) -> Any:
        return value

    def schema(self) -> Schema:
        return self.shape


class ListOf:
    """An array of values of one kind, read as a tuple; what is wrong in it is left out."""

    def __init__(self, *, item: Kind) -> None:
        self.item = item

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, list):
            hint = f'write ["{value}"]' if isinstance(value, str) and value.isprintable() else None
            return reading.wrong(at, "an array", value, hint)
        items = (self.item.read(item, (*at, str(index)), reading) for index, item in enumerate(value))
        return tuple(item for item in items if item is not MISSING)

    def schema(self) -> Schema:
        return {"type": "array", "items": self.item.schema()}


class TableOf:
    """Names that the user gives, each with a value of one kind.

    `reserved` says why a name (in small letters) is taken. `fallback` stands for a value that could not be
    read, so that whoever refers to the name is not blamed as well.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        what: str,
        name_fault: Callable[[str], str | None] = name_fault,
        pattern: str = NAME_PATTERN,
        reserved: Mapping[str, str] = EMPTY,
        fallback: Any = MISSING,
    ) -> None:
        self.kind = kind
        self.what = what
        self.name_fault = name_fault
        self.pattern = pattern
        self.reserved = reserved
        self.fallback = fallback

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return reading.wrong(at, f"a table, each key the name of a {self.what}", value)
        found: dict[str, Any] = {}
        for name, item in value.items():
            if fault := self.name_fault(name) or self.reserved.get(name.lower()):
                reading.fault((*at, name), f"illegal name of a {self.what}: {fault}", on_key=True)
            got = self.kind.read(item, (*at, name), reading)
            if (kept := self.fallback if got is MISSING else got) is not MISSING:
                found[name] = kept
        for name, twin in case_twins(value):
            reading.fault((*at, name), f'differs from the {self.what} "{twin}" by case alone', on_key=True)
        return found

    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{self.pattern}$"},
            "additionalProperties": self.kind.schema(),
        }


def case_twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that equal an earlier one but for case, each with that one."""
    first: dict[str, str] = {}
    return [(name, twin) for name in names if (twin := first.setdefault(name.lower(), name)) != name]


def _is_finite(value: float) -> bool:
    """Whether a number is neither infinite, nor nan, nor too large for a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
