"""Durations and sizes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.quantities import MAX_SECONDS, parse_duration, parse_size


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5_400),
        ("7d", 604_800),
        ("1w2d", 777_600),
        ("1.5h", 5_400),
        ("250ms", 0.25),
        ("1m5s10ms", 65.01),
        ("0s", 0),
        (90, 90),
        (0.5, 0.5),
        ("3650d", MAX_SECONDS),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "s",
            "5",
            "5 m",
            "5min",
            "1m1h",
            "-5s",
            "1e3s",
            "1..5s",
            ".s",
            "5m5m",
            "9999999999s",
            "11y",
            "3651d",
            " 5s",
        ),
        *(-1, math.inf, -math.inf, math.nan, True, None, [], 10**400, MAX_SECONDS + 1),
    ],
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [("4GB", 4 * 10**9), ("4GiB", 4 * 2**30), ("1.5 MB", 1_500_000), ("100B", 100), ("2KiB", 2_048), (17, 17), (0, 0)],
)
def test_sizes(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["4", "4G", "GB", "4 gb", "-4GB", "1e3MB", "4PB", -1, 1.5, True, None, ""])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="sizes are written"):
        parse_size(value)


@given(st.one_of(st.text(max_size=20), st.text("0123456789.wdhms", max_size=12), st.floats(), st.integers()))
def test_a_duration_is_in_bounds_or_an_error(value: object) -> None:
    try:
        seconds = parse_duration(value)
    except ValueError:
        return
    assert 0 <= seconds <= MAX_SECONDS
