"""Frozen dataclasses to JSON and back, for what is stored or sent to a worker.

Knows dataclasses, enums, datetimes, tuples, mappings and unions with None; nothing else is needed. Values of
parameters and outputs are encoded by `values` before they get here. Fields at their default are left out, so
that documents stay small and old ones can still be read when a field is added.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

_AS_IT_IS = frozenset({type(None), bool, int, float, str})
_DEFAULTS: dict[type, tuple[tuple[str, Any], ...]] = {}
_READERS: dict[type, dict[str, Callable[[Any], Any]]] = {}


def dump(value: Any, *, full: bool = False) -> Any:
    """The JSON form of a dataclass (or of anything that one may hold); `full` keeps fields at their default."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind not in _DEFAULTS:  # the dataclasses that have come already: most of what comes, and quickest told so
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Mapping):
            return {key: dump(item, full=full) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [dump(item, full=full) for item in value]
    return {
        name: item if type(item) in _AS_IT_IS else dump(item, full=full)
        for name, default in _defaults(kind)
        for item in (getattr(value, name),)
        if full or (item is not default and item != default)
    }


def load(cls: type[T], data: Mapping[str, Any]) -> T:
    """The dataclass `cls` from its JSON form; unknown keys are ignored, a missing one is a TypeError."""
    readers = _readers(cls)
    return cls(**{name: readers[name](item) for name, item in data.items() if name in readers})


def _defaults(cls: type) -> tuple[tuple[str, Any], ...]:
    if cls not in _DEFAULTS:
        _DEFAULTS[cls] = _read_defaults(cls)
    return _DEFAULTS[cls]


def _readers(cls: type) -> dict[str, Callable[[Any], Any]]:
    if cls not in _READERS:
        _READERS[cls] = _make_readers(cls)
    return _READERS[cls]


def _read_defaults(cls: type) -> tuple[tuple[str, Any], ...]:
    if not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} has no JSON form")
    pairs = []
    for field in fields(cls):
        if field.default is not MISSING:
            pairs.append((field.name, field.default))
        elif field.default_factory is not MISSING:
            pairs.append((field.name, field.default_factory()))
        else:
            pairs.append((field.name, MISSING))
    return tuple(pairs)


def _make_readers(cls: type) -> dict[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(cls)
    return {field.name: _reader(hints[field.name]) for field in fields(cls)}


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [_reader(arg) for arg in typing.get_args(hint) if arg is not type(None)]
        return _same if inner[0] is _same else lambda data: None if data is None else inner[0](data)
    if origin is tuple:
        item = _reader(typing.get_args(hint)[0])
        return tuple if item is _same else lambda data: tuple(item(part) for part in data)
    if origin is not None and issubclass(origin, Mapping):
        item = _reader(typing.get_args(hint)[1])
        return dict if item is _same else lambda data: {key: item(part) for key, part in data.items()}
    if isinstance(hint, type):
        if is_dataclass(hint):
            return lambda data: load(hint, data)
        if issubclass(hint, Enum):
            return hint
        if hint is datetime:
            return datetime.fromisoformat
    return _same


def _same(data: Any) -> Any:
    """What is JSON already."""
    return data
