"""Julia's literals. There is no Julia here: its grammar of strings is read by the tests."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.literals_julia import assignments


def written(value: Any) -> str:
    *imports, line = assignments({"x": value})
    assert imports in ([], ["import Dates"])
    assert bool(imports) is ("Dates." in line)
    return line.removeprefix("x = ")


def read_text(literal: str) -> str:
    """The text that Julia reads in double quotes; a `$` that is not escaped would be code."""
    assert re.fullmatch(r'"(?:[^"\\$]|\\["\\$nrt]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"', literal)
    assert literal.isprintable()
    return re.sub(
        r"\\(?:(u[0-9a-f]{4}|U[0-9a-f]{8})|(.))",
        lambda found: (
            chr(int(found[1][1:], 16)) if found[1] else {"n": "\n", "r": "\r", "t": "\t"}.get(found[2], found[2])
        ),
        literal[1:-1],
    )


@given(st.text(st.characters(codec="utf-8")) | st.text('$(){}"\\\n\0x1'))
def test_text_round_trips(text: str) -> None:
    if "Dates." not in text:
        assert read_text(written(text)) == text


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "5"),
        (2**80, "1208925819614629174706176"),
        (0.1, "0.1"),
        (1e16, "1e+16"),
        (-0.0, "-0.0"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
        ("$(run(`id`)) $x", '"\\$(run(`id`)) \\$x"'),
        ("ě\u2028\0", '"ě\\u2028\\u0000"'),
        (PurePosixPath("a/b"), '"a/b"'),
        (date(2026, 1, 31), "Dates.Date(2026, 1, 31)"),
        (datetime(2026, 1, 31, 2, 3, 4, 5000), "Dates.DateTime(2026, 1, 31, 2, 3, 4, 5)"),  # noqa: DTZ001
        (time(2, 3, 4, 5006), "Dates.Time(2, 3, 4, 5, 6)"),
        ([1, 2], "[1, 2]"),
        (["a", "b"], '["a", "b"]'),
        ([1, 2.5], "Any[1, 2.5]"),
        ([True, 1], "Any[true, 1]"),
        ([1, 2**70], "Any[1, 1180591620717411303424]"),
        ([[1], [2.5]], "Any[[1], [2.5]]"),
        ([], "Any[]"),
        ((1, "a"), '(1, "a")'),
        ((1,), "(1,)"),
        ((), "()"),
        ({"a": 1, "b": None}, 'Dict{String, Any}("a" => 1, "b" => nothing)'),
        ({1: [], (2,): 3}, "Dict{Any, Any}(1 => Any[], (2,) => 3)"),
        ({}, "Dict{String, Any}()"),
    ],
)
def test_literals(value: object, literal: str) -> None:
    assert written(value) == literal


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, {2}], r"x\[1\]: Julia has no exact literal for it \(set\)"),
        ({"a b": Decimal(1)}, r'x\["a b"\].*Decimal'),
        (timedelta(1), "timedelta"),
        (datetime(2026, 1, 1, tzinfo=UTC), "no time zones"),
        (time(1, tzinfo=UTC), "no time zones"),
        (datetime(2026, 1, 1, 0, 0, 0, 1), "milliseconds"),  # noqa: DTZ001
    ],
)
def test_what_julia_cannot_write(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        written(value)


@pytest.mark.parametrize("name", ["end", "function", "begin", "nothing", "Dates", "Dict", "_", "__", "where", "true"])
def test_names_that_julia_does_not_allow(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: Julia does not allow this as a name"):
        assignments({name: 1})


def test_text_that_names_the_module_needs_no_import_but_does_no_harm() -> None:
    assert assignments({"x": "Dates.now()"}) == ["import Dates", 'x = "Dates.now()"']
