"""Ids of runs and attempts: their form, their order, and what tells two of them apart."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.ids import attempt_id, run_id

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_local_time_stands_in_the_id() -> None:
    at = datetime(2026, 1, 31, 5, 0, 7, tzinfo=UTC)
    assert run_id("sales", at, "Europe/Prague", "x").startswith("sales-20260131T060007-")


@given(instants, st.text(max_size=5))
def test_form(at: datetime, entropy: str) -> None:
    found = run_id("sales", at, "UTC", entropy)
    assert re.fullmatch(r"sales-\d{8}T\d{6}-[abcdefghjkmnpqrstvwxyz23456789]{4}", found)
    assert found == run_id("sales", at, "UTC", entropy)


@given(instants, st.timedeltas(timedelta(seconds=1), timedelta(days=9)))
def test_ids_of_one_pipeline_sort_by_time(at: datetime, later: timedelta) -> None:
    assert run_id("sales", at, "UTC", "z") < run_id("sales", at + later, "UTC", "a")


def test_chance_pipeline_and_microseconds_tell_runs_apart() -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    letters = {run_id("sales", at, "UTC", str(number))[-4:] for number in range(100)}
    assert len(letters) > 95
    assert run_id("a", at, "UTC", "x")[-4:] != run_id("b", at, "UTC", "x")[-4:]
    assert run_id("a", at, "UTC", "x")[-4:] != run_id("a", at + timedelta(microseconds=1), "UTC", "x")[-4:]


def test_attempts() -> None:
    assert attempt_id("run", "train[ridge,eu]", 2) == "run/train[ridge,eu]/2"
