"""Durations, instants and counts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.archive import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "0s"),
        (0.04, "40ms"),
        (0.0949, "95ms"),
        (0.1, "0.1s"),
        (1, "1s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (61, "1m 01s"),
        (3599.6, "1h"),
        (3900, "1h 05m"),
        (86400, "1d"),
        (100_000, "1d 3h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@given(st.floats(0, 1e9))
def test_durations_never_read_sixty_or_more_of_a_unit(seconds: float) -> None:
    text = words.duration(seconds)
    assert "60s" not in text
    assert "60m" not in text
    assert "24h" not in text
    assert len(text) <= 12


def test_a_clock_that_went_back_gives_no_negative_duration() -> None:
    assert words.duration(-5) == "0s"


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-01-31T05:00:00", 17, "2026-13-01T00:00:00Z"])
def test_what_is_no_instant_is_none(text: object) -> None:
    assert words.moment(text) is None


def test_instants_keep_their_offset() -> None:
    assert words.moment("2026-01-31T05:00:00.123Z") == datetime(2026, 1, 31, 5, 0, 0, 123000, tzinfo=UTC)
    assert words.moment("2026-01-31T06:00:00+01:00") == datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=1)))


def test_instants_are_shown_in_their_zone() -> None:
    at = datetime(2026, 1, 31, 5, 0, 4, tzinfo=UTC)
    assert words.clock(at, ZoneInfo("Europe/Prague")) == "Sat 31 Jan 2026, 06:00:04 CET"
    assert words.day(at, ZoneInfo("Europe/Prague")) == "Sat 31 Jan 2026, 06:00"
    assert words.day(datetime(2026, 1, 30, 23, tzinfo=UTC), ZoneInfo("Europe/Prague")) == "Sat 31 Jan 2026"


def test_what_a_kernel_used_as_far_as_it_is_known() -> None:
    assert words.usage(1.25, 340_000_000) == "CPU 1.2s, peak 340 MB"
    assert (words.usage(0.02, None), words.usage(None, 5_000), words.usage(None, None)) == (
        "CPU 20ms",
        "peak 5.0 KB",
        "",
    )


def test_counts() -> None:
    assert [words.count(number, "task") for number in (0, 1, 1000)] == ["0 tasks", "1 task", "1,000 tasks"]
