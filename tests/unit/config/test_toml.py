"""Values written as TOML are read back the same."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.toml import toml_text, toml_value

texts = st.text(st.characters(exclude_categories=["Cs"]))
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.one_of(st.times(), st.datetimes(), st.datetimes(timezones=offsets)).map(lambda time: time.replace(fold=0))
scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), texts, st.dates(), times)
values = st.recursive(scalars, lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(texts, v, max_size=3)))


@given(values)
def test_round_trip(value: Any) -> None:
    text = toml_value(value)
    assert "\n" not in text
    read = tomllib.loads(f"x = {text}")["x"]
    assert read == value
    assert type(read) is type(value)


def test_nan() -> None:
    assert math.isnan(tomllib.loads(f"x = {toml_value(math.nan)}")["x"])


@pytest.mark.parametrize(
    "value",
    [
        *(None, (1,), {1}, b"x", Decimal(1), timedelta(1), PurePosixPath("x"), {1: 2}, [None], "\ud800"),
        datetime(2026, 1, 31, tzinfo=ZoneInfo("Europe/Prague")),
        datetime(2026, 1, 31, tzinfo=timezone(timedelta(seconds=1))),
        datetime(2026, 1, 31, fold=1),  # noqa: DTZ001
        time(6, tzinfo=UTC),
    ],
)
def test_what_toml_has_no_form_for_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="TOML has no form"):
        toml_value(value)


def test_text_cannot_leave_its_line() -> None:
    assert toml_text('a"\n\x1b\u2028\U000e0001') == '"a\\"\\n\\u001b\\u2028\\U000e0001"'


def test_a_date_stays_a_date() -> None:
    assert toml_value([date(2026, 1, 31), True, 1, 1.0]) == "[2026-01-31, true, 1, 1.0]"
