"""Frozen dataclasses to JSON and back: nothing is lost, defaults are left out, old documents can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import codec
from nbflow.core.attempt import CellCounts, ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Cancel
from nbflow.core.spec import EMPTY
from support.strategies import instances


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    words: tuple[str, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=lambda: EMPTY)
    anything: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    at: datetime | None = None


@given(st.sampled_from([Outer, Outcome, WorkOrder, Cancel]).flatmap(instances))
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    for full in (False, True):
        text = json.dumps(codec.dump(value, full=full))
        assert codec.load(type(value), json.loads(text)) == value


def test_a_document_holds_what_differs_from_the_defaults() -> None:
    assert codec.dump(Outer(name="a", many=(Inner(), Inner(number=2)))) == {"name": "a", "many": [{}, {"number": 2}]}
    assert codec.dump(Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message="gone"))) == {
        "verdict": "failed",
        "error": {"kind": "lost", "message": "gone"},
    }


def test_a_full_document_holds_everything() -> None:
    assert codec.dump(Outcome(verdict=Verdict.SUCCEEDED), full=True) == {
        "verdict": "succeeded",
        "error": None,
        "cells": {"total": 0, "ok": 0, "failed": 0, "skipped": 0, "not_run": 0},
        "outputs": {},
        "files": [],
        "duration": 0.0,
        "stopped_at": None,
        "kernel": None,
        "cpu_seconds": None,
        "peak_memory": None,
        "left_behind": [],
    }


def test_a_required_field_is_kept_whatever_its_value() -> None:
    assert codec.dump(Inner(number=1)) == {}
    assert codec.dump(TaskError(kind=ErrorKind.EXITED, message="")) == {"kind": "exited", "message": ""}


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert codec.load(CellCounts, {"total": 3, "from_the_future": {}}) == CellCounts(total=3)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(TypeError, match="kind"):
        codec.load(TaskError, {"message": "x"})


def test_a_value_that_the_enum_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="purple"):
        codec.load(Outer, {"name": "a", "colour": "purple"})


def test_instants_keep_their_offset() -> None:
    at = datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=1)))
    loaded = codec.load(Outer, codec.dump(Outer(name="a", at=at)))
    assert loaded.at is not None
    assert (loaded.at, loaded.at.utcoffset()) == (at, timedelta(hours=1))
    assert codec.dump(Outer(name="a", at=at.astimezone(UTC)))["at"] == "2026-01-31T05:00:00+00:00"


def test_what_has_no_json_form_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        codec.dump({"a": {1}})
