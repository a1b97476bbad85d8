"""R's literals, read by a real R; and its grammar of constants (?NumericConstants, ?Quotes), read by the tests."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbflow.core.literals_r import assignments
from support.languages import R_SHOW, need, shown_by_r

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(),
    texts,
    st.dates(),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda value: value.replace(microsecond=0)
    ),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts.filter(lambda text: text != ""), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=8, deadline=None)
@given(params=st.lists(values, max_size=40))
@example(params=[float("nan"), float("-inf"), -0.0, 5e-324, 2.2250738585072011e-308, 1.7976931348623157e308, 0.1, 1e22])
@example(params=["ě'" * 9_000, "x" * 1_000_000, {"😀" * 4_001: "a" * 3_999 + "ě", "a" * 20_000: None}])
@example(params=[None, [None, 1, None], {"a": None, "b": [None]}, {}, [], {"NULL": {"NA": "NA"}}])
def test_a_real_r_has_the_values(params: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    need("R", "r-base-core")
    lines = assignments({f"p{i}": value for i, value in enumerate(params)})
    show = [f"writeLines(.show(p{i}), useBytes = TRUE)" for i in range(len(params))]
    folder = tmp_path_factory.getbasetemp()
    (folder / "cell").write_text("\n".join([R_SHOW, *lines, *show, ""]), "utf-8")
    # As its kernel does. From a file of its own, Rscript reads lines in pieces, and breaks escapes between them.
    (folder / "run.R").write_text('eval(parse(text = readChar("cell", file.size("cell"))))\n')
    done = subprocess.run(["Rscript", "--vanilla", "run.R"], cwd=folder, capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    shown = done.stdout.decode().splitlines()
    assert [(params[i], line) for i, line in enumerate(shown) if line != shown_by_r(params[i])] == []
    assert len(shown) == len(params)


def written(value: Any) -> str:
    [line] = assignments({"x": value})
    return line.removeprefix("x = ")


def read_text(literal: str) -> str:
    """The text that R reads in double quotes: only these escapes, and nothing that ends it early."""
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\nrt]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"', literal)
    assert literal.isascii()
    assert literal.isprintable()
    return re.sub(
        r"\\(?:(u[0-9a-f]{4}|U[0-9a-f]{8})|(.))",
        lambda found: (
            chr(int(found[1][1:], 16)) if found[1] else {"n": "\n", "r": "\r", "t": "\t"}.get(found[2], found[2])
        ),
        literal[1:-1],
    )


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_text_round_trips(text: str) -> None:
    assert read_text(written(text)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_need_no_rounding(value: float) -> None:
    """A decimal is written only where it is the double itself; else the hexadecimal digits of the double."""
    number = written(value).partition("  #")[0]
    if number.lstrip("-").startswith("0x"):
        assert float.fromhex(number) == value
    else:
        assert float(number) == value
        assert "." in number or "e" in number


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "NULL"),
        (True, "TRUE"),
        (False, "FALSE"),
        (5, "5L"),
        (-5, "-5L"),
        (2**31 - 1, "2147483647L"),
        (2**31, "2147483648"),
        (-(2**31), "-2147483648"),
        (2**53, "9007199254740992"),
        (0.5, "0.5"),
        (0.1, "0x1.999999999999ap-4  # 0.1"),
        (float("nan"), "NaN"),
        (float("inf"), "Inf"),
        (float("-inf"), "-Inf"),
        ("it's $x `id` {y}", '"it\'s $x `id` {y}"'),
        ('a"b\\c\n', '"a\\"b\\\\c\\n"'),
        ("ě😀", '"\\u011b\\U0001f600"'),
        ("ě" + "a" * 4_000, f'paste0("\\u011b{"a" * 3_999}", "a")'),
        (PurePosixPath("a/b"), '"a/b"'),
        (date(2026, 1, 31), 'as.Date("2026-01-31")'),
        (datetime(2026, 1, 31, tzinfo=UTC), 'as.POSIXct(1769817600, origin = "1970-01-01", tz = "UTC")'),
        (
            datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1),
            'as.POSIXct(1792891800, origin = "1970-01-01", tz = "Europe/Prague")',
        ),
        ([1, "a", [True]], 'list(1L, "a", list(TRUE))'),
        ([], "list()"),
        ({"a b": 1, "c": {"d": 2.5}}, 'list("a b" = 1L, "c" = list("d" = 2.5))'),
        ({}, "structure(list(), names = character(0))"),
        ([1, None], "list(1L, NULL)"),
        ({"a": None}, 'list("a" = NULL)'),
    ],
)
def test_literals(value: object, literal: str) -> None:
    assert written(value) == literal


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [timedelta(1)]}, r"x\.a\[0\]: R has no exact literal for it \(timedelta\)"),
        ("a\0b", "NUL"),
        (2**53 + 1, "no exact number"),
        (10**300, "no exact number"),
        (10**400, "no exact number"),
        ((1,), r"tuple"),
        ({1}, "set"),
        ({1: "a"}, "names in a list of R are text"),
        ({"": 1}, "not empty"),
        (datetime(2026, 1, 1), "UTC or a named zone"),  # noqa: DTZ001
        (datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "whole seconds"),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), "named zone"),
        (timedelta(1), "timedelta"),
    ],
)
def test_what_r_cannot_write(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        written(value)


@pytest.mark.parametrize("name", ["_x", "function", "TRUE", "NULL", "NA", "NA_integer_", "repeat", "Inf"])
def test_names_that_r_does_not_allow(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: R does not allow this as a name"):
        assignments({name: 1})


def test_each_parameter_is_one_line() -> None:
    assert assignments({"a": "x\ny", "NAME": ["\r"]}) == ['a = "x\\ny"', 'NAME = list("\\r")']
