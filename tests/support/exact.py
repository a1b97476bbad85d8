"""Hypothesis strategies for values of parameters and outputs, and what it means that two are the same."""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
    st.sampled_from(["Europe/Prague", "America/New_York", "UTC"]).map(ZoneInfo),
)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    texts,
    st.dates(),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    texts.filter(lambda t: "\0" not in t).map(PurePosixPath),
)
keys = st.one_of(hashables, st.tuples(hashables, hashables), st.frozensets(hashables, max_size=3))
exact_values = st.recursive(
    st.one_of(keys, st.sets(keys, max_size=4), texts.map("${}".format)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.sampled_from(["$date", "$dict", "$tuple", "a"]), inner, max_size=3),
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equality that also compares types, time zones and the order of entries."""
    if type(a) is not type(b) or a != b:
        return False
    if isinstance(a, datetime | time):
        return (a.tzinfo, a.fold) == (b.tzinfo, b.fold)
    if isinstance(a, list | tuple):
        return all(map(same, a, b))
    if isinstance(a, dict):
        return all(same(p, q) for p, q in zip(a.items(), b.items(), strict=True))
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b)
    return True
