"""Parameters: names, types, what a text means, and the effective values of a run and of a task."""

from __future__ import annotations

import ast
import keyword
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbflow.core.expr import ExprError
from nbflow.core.params import check_value, infer_type, is_name, parse_text, resolve, task_params
from nbflow.core.spec import Param, ParamType
from nbflow.errors import UsageError

DAY = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - a local time is a value too


@pytest.mark.parametrize("name", ["region", "_x", "x1", "X", "match", "type", "_", "__x", "x" * 64])
def test_names(name: str) -> None:
    assert is_name(name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "letter"),
        ("1x", "letter"),
        ("a-b", "letter"),
        ("a b", "letter"),
        ("a.b", "letter"),
        ("a\n", "letter"),
        ("ěx", "ASCII"),
        ("\uff58", "ASCII"),
        ("x\u0301", "ASCII"),
        ("for", "keyword"),
        ("None", "keyword"),
        ("x" * 65, "64"),
        ("__debug__", "Python itself"),
        ("__builtins__", "Python itself"),
        ("x = 1\nimport os; os.system('id') #", "letter"),
        ("x; y", "letter"),
        ("x\0", "letter"),
    ],
)
def test_names_that_are_refused(name: str, message: str) -> None:
    problem = is_name(name)
    assert problem is not None
    assert message in problem


@given(st.text(max_size=8) | st.text("abc_1 .=;#\n", max_size=8))
@example("__debug__")
def test_a_name_that_is_allowed_can_only_be_assigned_to(name: str) -> None:
    if is_name(name) is None:
        [statement] = ast.parse(f"{name} = 1").body
        compile(f"{name} = 1", "", "exec")
        assert isinstance(statement, ast.Assign)
        assert name.isascii()
        assert not keyword.iskeyword(name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("eu", ParamType.STR),
        (1, ParamType.INT),
        (np.int64(1), ParamType.INT),
        (1.0, ParamType.FLOAT),
        (True, ParamType.BOOL),
        (DAY, ParamType.DATE),
        (NOON, ParamType.DATETIME),
        (Path("a"), ParamType.PATH),
        ([1], ParamType.LIST),
        ({"a": 1}, ParamType.DICT),
        (None, ParamType.ANY),
        ((1,), ParamType.ANY),
        (time(1), ParamType.ANY),
        (object(), ParamType.ANY),
        ("{{ run.date }}", ParamType.ANY),
        ("on {{ run.date }}", ParamType.STR),
        ("{{ broken", ParamType.ANY),
        ("{x}", ParamType.STR),
    ],
)
def test_infer_type(value: object, expected: ParamType) -> None:
    assert infer_type(value) is expected


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("01234", ParamType.STR, "01234"),
        ("1_000", ParamType.ANY, "1_000"),
        ("", ParamType.STR, ""),
        ("1000", ParamType.INT, 1000),
        ("-5", ParamType.INT, -5),
        ("+5", ParamType.INT, 5),
        ("0", ParamType.INT, 0),
        ("-0", ParamType.INT, 0),
        ("5", ParamType.FLOAT, 5.0),
        ("1e5", ParamType.FLOAT, 100000.0),
        ("-.5", ParamType.FLOAT, -0.5),
        ("5.", ParamType.FLOAT, 5.0),
        ("-inf", ParamType.FLOAT, -math.inf),
        ("true", ParamType.BOOL, True),
        ("False", ParamType.BOOL, False),
        ("1", ParamType.BOOL, True),
        ("0", ParamType.BOOL, False),
        ("2026-01-31", ParamType.DATE, DAY),
        ("2026-01-31T12:00", ParamType.DATETIME, NOON),
        ("2026-01-31 12:00:00", ParamType.DATETIME, NOON),
        ("2026-01-31T12:00:00.5Z", ParamType.DATETIME, datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC)),
        ("2026-01-31T13:00+01:00", ParamType.DATETIME, datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("data/a b.csv", ParamType.PATH, PurePosixPath("data/a b.csv")),
        ("[1, 2.0, null, true]", ParamType.LIST, [1, 2.0, None, True]),
        ('{"a": {"b": []}}', ParamType.DICT, {"a": {"b": []}}),
        ("[2026-01-31, 'x']", ParamType.LIST, [DAY, "x"]),
        ("{a = 1, b.c = [true]}", ParamType.DICT, {"a": 1, "b": {"c": [True]}}),
    ],
)
def test_parse_text(text: str, kind: ParamType, value: object) -> None:
    found = parse_text(text, kind)
    assert found == value
    assert type(found) is type(value)
    assert check_value(found, kind) == value


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("01234", ParamType.INT, "'01234' is no int; write digits only"),
        ("1_000", ParamType.INT, "is no int"),
        ("1e5", ParamType.INT, "is no int"),
        ("5.0", ParamType.INT, "is no int"),
        ("0x10", ParamType.INT, "is no int"),
        ("\u0661\u0662", ParamType.INT, "is no int"),
        (" 5", ParamType.INT, "is no int"),
        ("5\n", ParamType.INT, "is no int"),
        ("", ParamType.INT, "is no int"),
        ("9" * 5000, ParamType.INT, r"is no int"),
        ("1_0.5", ParamType.FLOAT, "is no float"),
        ("01.5", ParamType.FLOAT, "is no float"),
        (".", ParamType.FLOAT, "is no float"),
        ("infinity", ParamType.FLOAT, "is no float"),
        ("yes", ParamType.BOOL, "'yes' is no bool; write true or false"),
        ("", ParamType.BOOL, "is no bool"),
        ("20260131", ParamType.DATE, "is no date; write it as in 2026-01-31"),
        ("2026-W05-6", ParamType.DATE, "is no date"),
        ("2026-02-30", ParamType.DATE, "is no date"),
        ("2026-01-31T00:00", ParamType.DATE, "is no date"),
        ("2026-01-31", ParamType.DATETIME, "is no datetime; write it as in 2026-01-31T06:00"),
        ("2026-01-31T25:00", ParamType.DATETIME, "is no datetime"),
        ("2026-01-31T12:00+99:00", ParamType.DATETIME, "is no datetime"),
        ("", ParamType.PATH, "at least one character"),
        ("a\0b", ParamType.PATH, "NUL"),
        ("\udcff", ParamType.PATH, "surrogate"),
        ("\udcff", ParamType.STR, "surrogate"),
        ("a,b", ParamType.LIST, "is no list; write it as JSON"),
        ('{"a": 1}', ParamType.LIST, "is no list"),
        ("[1]", ParamType.DICT, "is no dict"),
        ("1\nother = 2", ParamType.LIST, "is no list"),
        ('{"a": 1, "a": 2}', ParamType.DICT, "is no dict"),
        ("[" * 100_000, ParamType.LIST, "is no list"),
        ("[" + "9" * 5000 + "]", ParamType.LIST, "is no list"),
        ("x" * 2_000_000, ParamType.STR, "above the limit"),
    ],
)
def test_parse_text_guesses_nothing(text: str, kind: ParamType, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_text(text, kind)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=30) | st.text("0123456789-+.eTZ:[]{}\"'=,_ ", max_size=30), st.sampled_from(ParamType))
def test_what_is_read_is_of_the_type(text: str, kind: ParamType) -> None:
    try:
        found = parse_text(text, kind)
    except ValueError:
        return
    check_value(found, kind)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (5, ParamType.FLOAT, 5.0),
        ("a/b", ParamType.PATH, PurePosixPath("a/b")),
        (Path("a"), ParamType.PATH, PurePosixPath("a")),
        (np.float64(0.5), ParamType.FLOAT, 0.5),
        (np.bool_(True), ParamType.BOOL, True),
        ([np.int64(1), Path("a")], ParamType.LIST, [1, PurePosixPath("a")]),
        ({"a": (1, 2)}, ParamType.DICT, {"a": (1, 2)}),
        (None, ParamType.ANY, None),
        (Decimal("1.1"), ParamType.ANY, Decimal("1.1")),
    ],
)
def test_a_fitting_value_comes_back_as_the_type_has_it(value: object, kind: ParamType, expected: object) -> None:
    found = check_value(value, kind)
    assert found == expected
    assert type(found) is type(expected)


def test_the_value_is_a_copy() -> None:
    given = [[1]]
    found = check_value(given, ParamType.LIST)
    given[0].append(2)
    assert found == [[1]]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, ParamType.INT, "True, of type bool, is no int"),
        (True, ParamType.FLOAT, "is no float"),
        (1, ParamType.BOOL, "is no bool"),
        (1.0, ParamType.INT, "is no int"),
        ("10", ParamType.INT, "'10', of type str, is no int"),
        (10, ParamType.STR, "is no str"),
        (NOON, ParamType.DATE, "is no date"),
        (DAY, ParamType.DATETIME, "is no datetime"),
        ("2026-01-31", ParamType.DATE, "is no date"),
        ((1,), ParamType.LIST, "of type tuple, is no list"),
        ("[1]", ParamType.LIST, "is no list"),
        (None, ParamType.STR, "None is no str"),
        ("", ParamType.PATH, "at least one character"),
        (5, ParamType.PATH, "is no path"),
        (2**53 + 1, ParamType.FLOAT, "no exact float"),
        (10**400, ParamType.FLOAT, "no exact float"),
        ([1, {"a": b"x"}], ParamType.LIST, r"value\[1\]\.a: a value of type bytes"),
        (object(), ParamType.ANY, "object"),
        ("x" * 1_100_000, ParamType.STR, "write a file and pass its path"),
    ],
)
def test_a_wrong_type_is_refused(value: object, kind: ParamType, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check_value(value, kind)
    assert len(str(caught.value)) < 200


def test_json_has_dates_as_text() -> None:
    assert check_value("2026-01-31", ParamType.DATE, from_json=True) == DAY
    assert check_value("2026-01-31T12:00", ParamType.DATETIME, from_json=True) == NOON
    assert check_value("2026-01-31", ParamType.STR, from_json=True) == "2026-01-31"
    with pytest.raises(ValueError, match="is no date"):
        check_value("31.1.2026", ParamType.DATE, from_json=True)
    with pytest.raises(ValueError, match="is no int"):
        check_value("5", ParamType.INT, from_json=True)


def test_null_where_it_is_allowed() -> None:
    assert check_value(None, ParamType.INT, nullable=True, min=5, options=(7,)) is None


def test_options_know_types() -> None:
    assert check_value(5, ParamType.FLOAT, options=(5, 6)) == 5.0
    assert check_value("2026-01-31", ParamType.DATE, options=("2026-01-31",), from_json=True) == DAY
    with pytest.raises(ValueError, match="'x' is none of the options: 'full', 'delta'"):
        check_value("x", ParamType.STR, options=("full", "delta"))
    with pytest.raises(ValueError, match="none of the options"):
        check_value(True, ParamType.ANY, options=(1, 2))


@pytest.mark.parametrize(
    ("value", "message"),
    [(0, "0 is below the minimum of 1"), (11, "11 is above the maximum of 10.5"), (math.nan, "below the minimum")],
)
def test_bounds(value: float, message: str) -> None:
    assert check_value(1, ParamType.INT, min=1, max=10.5) == 1
    with pytest.raises(ValueError, match=message):
        check_value(value, ParamType.ANY, min=1, max=10.5)


def declare(*params: Param) -> dict[str, Param]:
    return {param.name: param for param in params}


DECLARED = declare(
    Param(name="label", type=ParamType.STR, default="{{ params.region }}-{{ params.day }}"),
    Param(name="day", type=ParamType.DATE, default="{{ run.date }}"),
    Param(name="region", type=ParamType.STR, default="eu", options=("eu", "us")),
    Param(name="limit", type=ParamType.INT, default=10, min=1),
    Param(name="source", type=ParamType.PATH, required=True),
)
SCOPE = {"run": {"date": DAY}, "env": {"HOME": "/home/x"}}


def test_defaults_are_rendered_over_the_run_and_each_other() -> None:
    found = resolve(DECLARED, {"source": "a.csv"}, SCOPE)
    assert found == {
        "label": "eu-2026-01-31",
        "day": DAY,
        "region": "eu",
        "limit": 10,
        "source": PurePosixPath("a.csv"),
    }
    assert list(found) == list(DECLARED)
    other = resolve(DECLARED, {"source": "a", "region": "us", "day": date(2025, 1, 1)}, SCOPE)
    assert other["label"] == "us-2025-01-01"


def test_what_is_given_is_never_a_template() -> None:
    declared = declare(Param(name="x", type=ParamType.STR, default="{{ env('HOME') }}"))
    assert resolve(declared, {}, SCOPE) == {"x": "/home/x"}
    assert resolve(declared, {"x": "{{ env('HOME') }}"}, SCOPE) == {"x": "{{ env('HOME') }}"}


def test_what_is_given_is_not_rendered_inside_a_default_either() -> None:
    declared = declare(
        Param(name="a", type=ParamType.STR, default=""), Param(name="b", type=ParamType.STR, default="<{{ params.a }}>")
    )
    assert resolve(declared, {"a": "{{ env('HOME') }}"}, SCOPE)["b"] == "<{{ env('HOME') }}>"


def test_all_faults_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(DECLARED, {"limt": 5, "limit": 0, "region": "cz", "day": "2026-01-31"}, SCOPE)
    assert caught.value.exit_code == 2
    assert caught.value.message.splitlines() == [
        "there is no parameter 'limt'; did you mean \"limit\"?",
        "parameter 'day': '2026-01-31', of type str, is no date",
        "parameter 'region': 'cz' is none of the options: 'eu', 'us'",
        "parameter 'limit': 0 is below the minimum of 1",
        "parameter 'source': a value is needed; give it with -p source=...",
    ]


def test_many_faults_are_no_flood() -> None:
    with pytest.raises(UsageError) as caught:
        resolve({}, {f"p{i}": 1 for i in range(50)}, {})
    assert caught.value.message.splitlines()[-1] == "and 46 more"
    assert len(caught.value.message.splitlines()) == 5


def test_a_fault_is_said_once_where_others_depend_on_it() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(DECLARED, {"source": "a", "day": 5}, SCOPE)
    assert caught.value.message == "parameter 'day': 5, of type int, is no date"


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ("{{ params.nope }}", "there is no parameter 'nope'"),
        ("{{ env('NOPE') }}", "NOPE is not set"),
        ("{{ 1 +", "`{{` without `}}`"),
        ("{{ run.date }}", "2026-01-31, of type date, is no int"),
    ],
)
def test_defaults_without_a_fitting_value(default: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(declare(Param(name="x", type=ParamType.INT, default=default)), {}, SCOPE)
    assert message in caught.value.message


def test_defaults_that_read_each_other() -> None:
    declared = declare(
        Param(name="a", type=ParamType.STR, default="{{ params.b }}"),
        Param(name="b", type=ParamType.STR, default="{{ params.a }}"),
    )
    with pytest.raises(UsageError, match=r"read each other: (a -> b -> a|b -> a -> b)"):
        resolve(declared, {}, {})
    assert resolve(declared, {"b": "x"}, {}) == {"a": "x", "b": "x"}


def test_json_values_for_a_run() -> None:
    found = resolve(DECLARED, {"source": "a", "day": "2025-12-31"}, SCOPE, from_json=True)
    assert found["day"] == date(2025, 12, 31)


def test_none_as_a_default_is_a_value() -> None:
    assert resolve(declare(Param(name="x", type=ParamType.INT)), {}, {}) == {"x": None}


def test_a_task_gets_what_its_notebook_declares_and_its_own() -> None:
    scope: dict[str, Any] = {"params": {"limit": 10}, "item": "a.csv"}
    found = task_params(
        ["region", "limit", "max_rows"],
        {"region": "eu", "limit": 10, "other": 1},
        {"max_rows": "{{ params.limit * 2 }}", "file": "{{ item }}", "limit": 1},
        scope,
    )
    assert found == {"region": "eu", "limit": 1, "max_rows": 20, "file": "a.csv"}


def test_a_run_parameter_is_not_rendered_for_a_task() -> None:
    evil = "{{ env('HOME') }}"
    assert task_params(["x"], {"x": evil}, {"y": "{{ params.x }}"}, {"params": {"x": evil}, **SCOPE}) == {
        "x": evil,
        "y": evil,
    }


def test_a_template_of_a_task_without_a_value_names_the_parameter() -> None:
    with pytest.raises(ExprError, match=r"params\.rows: task 'clean' gave no output 'rows'"):
        task_params([], {}, {"rows": "{{ tasks.clean.outputs.rows }}"}, {"tasks": {"clean": {"outputs": {}}}})
