"""Hypothesis strategies for every frozen dataclass that is stored: made from the types of its fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(codec="utf-8", exclude_characters="$"), max_size=8)
"""Without `$`, so that what is made up here means the same as JSON and as encoded values."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of a dataclass; a field that has a default is sometimes left at it."""
    hints = typing.get_type_hints(cls)
    needed = {field.name: _values(hints[field.name]) for field in fields(cls) if _is_needed(field)}
    others = {field.name: _values(hints[field.name]) for field in fields(cls) if field.name not in needed}
    return st.fixed_dictionaries(needed, optional=others).map(lambda values: cls(**values))


def _is_needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(_values, args))
    if origin is tuple:
        return st.lists(_values(args[0]), max_size=2).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(texts, _values(args[1]), max_size=2)
    return _plain(hint)


def _plain(hint: Any) -> st.SearchStrategy[Any]:
    if hint is Any:
        return json_values
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    known: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        str: texts,
        bool: st.booleans(),
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False, allow_infinity=False),
        datetime: instants,
    }
    return known[hint] if hint in known else instances(hint)
