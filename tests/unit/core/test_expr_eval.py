"""Evaluation: Python's own results where Python has them, and refusals in place of what could grow without end."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.expr_eval import MAX_SIZE, calculate, evaluate
from nbflow.core.expr_syntax import ExprError, parse

SCOPE: dict[str, Any] = {
    "params": {"limit": 5, "mode": "full", "start": date(2026, 1, 1), "none": None, "ratio": 0.5, "class": "x"},
    "run": {
        "id": "r1",
        "date": date(2026, 1, 31),
        "logical_date": datetime(2026, 1, 31, 6, 30, tzinfo=UTC),
        "partition": None,
    },
    "tasks": {
        "clean": {"outputs": {"rows": 3, "files": ["a", "b"], "info": {"max": {"x": [1, 2]}, "days": 9}}},
        "clean-up": {"outputs": {"max-rows": 7}},
    },
    "matrix": {"model": "ridge"},
    "item": {"path": "a.csv"},
    "env": {"REGION": "eu"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tasks.clean.outputs.rows > 0 and params.mode == 'full'", True),
        ("tasks['clean-up'].outputs['max-rows']", 7),
        ("tasks.clean.outputs.info.max.x[-1]", 2),
        ("tasks.clean.outputs.info.days", 9),
        ("tasks.clean.outputs.info['max']['x']", [1, 2]),
        ("tasks.clean.outputs.files[params.limit - 5]", "a"),
        ("'a' in tasks.clean.outputs.files", True),
        ("'max' in tasks.clean.outputs.info", True),
        ("'ul' in params.mode", True),
        ("3 not in [1, 2]", True),
        ("params['class']", "x"),
        ("matrix.model", "ridge"),
        ("item.path", "a.csv"),
        ("env('REGION') == 'eu'", True),
        ("run.id + '-x'", "r1-x"),
        ("run.partition is None", True),
        ("run.partition is not None", False),
        ("params.none or 'default'", "default"),
        ("params.limit and 0", 0),
        ("0 < params.limit <= 5 < 6", True),
        ("0 < params.limit < 5 < 1 / params.limit", False),
        ("'big' if params.limit > 3 else 'small'", "big"),
        ("not params.none", True),
        ("-params.limit // 2 % 4", 1),
        ("+params.ratio * 3", 1.5),
        ("2 / 4", 0.5),
        ("[1, 'a'] + [2]", [1, "a", 2]),
        ("(1, 2) * 2", (1, 2, 1, 2)),
        ("3 * 'ab'", "ababab"),
        ("'' * -5", ""),
        ("run.date - params.start", timedelta(days=30)),
        ("(run.date - params.start).days > 7", True),
        ("run.date > params.start", True),
        ("run.date.month", 1),
        ("run.logical_date.hour", 6),
        ("run.logical_date - run.logical_date", timedelta(0)),
        ("days_ago(0)", date(2026, 1, 31)),
        ("days_ago(params.limit)", date(2026, 1, 26)),
        ("days_ago(-1)", date(2026, 2, 1)),
        ("days_ago(1) + (run.date - params.start)", date(2026, 3, 1)),
        ("True + 1", 2),
        ("1 == 1.0", True),
        ("'a' < 'b'", True),
        ("1e999", math.inf),
        ("'{0.__class__}'", "{0.__class__}"),
    ],
)
def test_values(text: str, value: object) -> None:
    found = evaluate(parse(text), SCOPE)
    assert found == value
    assert type(found) is type(value)


def test_what_does_not_decide_is_not_evaluated() -> None:
    assert evaluate(parse("params.none and 1 / 0"), SCOPE) is None
    assert evaluate(parse("params.limit or tasks.x.outputs.y"), SCOPE) == 5
    assert evaluate(parse("1 if params.limit else tasks.x.outputs.y"), SCOPE) == 1
    assert evaluate(parse("params.limit < 3 < tasks.x.outputs.y"), SCOPE) is False


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("tasks.clean.outputs.row", "task 'clean' gave no output 'row'", "rows"),
        ("tasks.load.outputs.rows", "task 'load' is not known here", None),
        ("params.limt", "no parameter 'limt'", "limit"),
        ("matrix.region", "matrix.region", None),
        ("env('HOME')", "HOME is not set", None),
        ("tasks.clean.outputs.info.mx", "no key 'mx'", "max"),
        ("tasks.clean.outputs.files[2]", "out of range: there are 2 items", None),
        ("tasks.clean.outputs.files['a']", "list has no item str", None),
        ("tasks.clean.outputs.info[[1]]", "dict has no item list", None),
        ("params.limit[0]", "int has no items", None),
        ("params.limit.real", "int has no field 'real'", None),
        ("params.mode.upper", "str has no field 'upper'", None),
        ("run.date.yaer", "date has no field 'yaer'", "year"),
        ("run.date.replace", "date has no field 'replace'", None),
        ("run.date + 1", "`+` does not take date and int", "days_ago(n)"),
        ("params.mode + 1", "`+` does not take str and int", "{{ }}"),
        ("'%999999999d' % 5", "`%` does not take str and int", None),
        ("[1] + (2,)", "list and tuple", None),
        ("params.none + 1", "None and int", None),
        ("params.mode < 1", "does not compare str and int", None),
        ("run.date < run.logical_date", "does not compare", None),
        ("1 in params.mode", "does not compare int and str", None),
        ("1 in 5", "does not compare int and int", None),
        ("-params.mode", "needs a number, not str", None),
        ("-params.start", "needs a number, not date", None),
        ("1 / 0", "division by zero", None),
        ("1.0 % 0", "division by zero", None),
        ("days_ago(params.mode)", "takes a whole number, not str", None),
        ("days_ago(0.5)", "takes a whole number, not float", None),
        ("days_ago(True)", "takes a whole number, not bool", None),
        ("days_ago(10000000)", "leaves the calendar", None),
        ("days_ago(99999999999999999999)", "leaves the calendar", None),
        ("run.date + (days_ago(-2000000) - run.date) * 1", "`*` does not take timedelta and int", None),
    ],
)
def test_no_value(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ExprError) as caught:
        evaluate(parse(text), SCOPE)
    assert message in str(caught.value)
    assert hint is None or hint in (caught.value.hint or "")


def test_missing_parts_of_the_scope() -> None:
    for text in ("item", "matrix.x", "env('X')", "days_ago(1)", "run.id", "params.x", "tasks.a.outputs.b"):
        with pytest.raises(ExprError):
            evaluate(parse(text), {})
    with pytest.raises(ExprError, match="for_each"):
        evaluate(parse("item"), {})


def test_errors_point_at_the_part() -> None:
    with pytest.raises(ExprError) as caught:
        evaluate(parse("params.limit > 0 and params.mode < 1"), SCOPE)
    assert caught.value.offset == 21


BIG = "9" * 70
"""Near the limit of 256 bits."""


@pytest.mark.parametrize(
    "text",
    [
        "'a' * 1000000000",
        "1000000000 * 'a'",
        "[0] * 1000000000",
        "(0,) * 1000000000",
        "[[[0] * 1000] * 1000] * 1000",
        "([[0] * 400] * 400) * 400",
        "[[['a' * 1000] * 1000] * 1000] * 1000",
        "('a' * 190000) + ('a' * 190000)",
        "[('a' * 190000), ('a' * 190000)]",
        f"{BIG} * {BIG}",
        f"{BIG} * {BIG} * {BIG} * {BIG}",
        " * ".join(["99999999999999999999"] * 20),
        f"{BIG} * 10 * 10 * 10 * 10 * 10 * 10 * 10 * 10 * 10",
        "'a' * 1000000 * 1000000",
        "params.mode * 9999999999999999999999999",
    ],
)
def test_what_would_be_large_is_refused_before_it_is_made(text: str) -> None:
    with pytest.raises(ExprError, match="would have more than"):
        evaluate(parse(text), SCOPE)


def test_sums_that_grow_slowly_are_refused_too() -> None:
    biggest = 2**256 - 1
    assert calculate("-", biggest, 1) == biggest - 1
    with pytest.raises(ExprError, match="bits"):
        calculate("+", biggest, 1)


def test_large_values_of_others_can_be_read() -> None:
    files = [str(i) for i in range(200_000)]
    scope = {"tasks": {"a": {"outputs": {"files": files, "text": "x" * 5_000_000}}}}
    assert evaluate(parse("tasks.a.outputs.files[199999]"), scope) == "199999"
    assert evaluate(parse("tasks.a.outputs.files"), scope) is files
    with pytest.raises(ExprError, match="more than"):
        evaluate(parse("tasks.a.outputs.text + 'x'"), scope)


def test_a_shared_structure_is_not_counted_without_end() -> None:
    value: Any = ["x"]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(ExprError, match=f"{MAX_SIZE:,}"):
        calculate("+", value, [1])


@pytest.mark.parametrize(
    ("symbol", "left", "right"),
    [
        ("+", Decimal("1e999999999"), 1.5),
        ("*", Decimal("9e999999"), Decimal("9e999999")),
        ("//", Decimal("1e999999"), 3),
        ("%", Decimal("sNaN"), 3),
        ("/", 10**400, 3),
        ("*", 10**400, 0.5),
        ("+", date.max, timedelta(1)),
        ("-", date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
        ("-", timedelta(1), date(2026, 1, 1)),
    ],
)
def test_arithmetic_without_a_result_is_one_error(symbol: str, left: Any, right: Any) -> None:
    with pytest.raises(ExprError):
        calculate(symbol, left, right)


numbers = st.integers(-9, 9).map(str) | st.sampled_from(["0.5", "1e3", "True", "params.limit", "params.ratio"])
others = st.sampled_from(["'a'", "''", "params.mode", "None", "[1, 2]", "[]", "(1,)", "run.date", "params.start"])
expressions = st.recursive(
    numbers | others,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join),
        st.tuples(inner, st.sampled_from(["==", "!=", "<", ">=", "in", "not in", "and", "or"]), inner).map(" ".join),
        st.tuples(st.sampled_from(["-", "not ", "+"]), inner).map("".join),
        st.tuples(inner, inner, inner).map("({0[0]} if {0[1]} else {0[2]})".format),
        st.tuples(inner, inner).map("[{0[0]}, {0[1]}]".format),
        inner.map("({})".format),
    ),
    max_leaves=10,
)


class Names:
    """Attribute access for the oracle: Python itself."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


@given(expressions)
def test_results_are_those_of_python(text: str) -> None:
    """Where we give a value it is Python's; where Python has none, neither have we."""
    try:
        ours = evaluate(parse(text), SCOPE)
    except ExprError:
        return
    names = {"params": Names(SCOPE["params"]), "run": Names(SCOPE["run"])}
    theirs = eval(text, {"__builtins__": {}}, names)  # noqa: S307 - made by this test alone
    assert type(ours) is type(theirs)
    assert repr(ours) == repr(theirs)


@given(st.integers(-(10**6), 10**6), st.sampled_from(["+", "-", "*", "//", "%", "/"]), st.integers(-9, 9))
def test_ordinary_numbers_are_never_refused(left: int, symbol: str, right: int) -> None:
    if right == 0 and symbol in "//%":
        with pytest.raises(ExprError, match="division by zero"):
            calculate(symbol, left, right)
    else:
        assert calculate(symbol, left, right) == eval(f"{left} {symbol} ({right})")  # noqa: S307
