"""Literals and annotations: what is known of a value without running code, and nothing more."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.annotations import Hint, NotLiteralError, annotation, dotted, imported, literal, result_type
from nbflow.core.spec import ParamType

IMPORTS = """
import datetime as dt, os.path
import typing as t
from datetime import datetime, timezone as tz
from pathlib import Path as P
from upath import Path
from zoneinfo import ZoneInfo
"""
ALIASES = {key: value for item in ast.parse(IMPORTS).body for key, value in imported(item).items()}


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def test_imports() -> None:
    assert ALIASES == {
        "dt": "datetime",
        "os": "os",
        "t": "typing",
        "datetime": "datetime.datetime",
        "tz": "datetime.timezone",
        "P": "pathlib.Path",
        "Path": "upath.Path",
        "ZoneInfo": "zoneinfo.ZoneInfo",
    }
    assert imported(ast.parse("from . import x").body[0]) == {}
    assert imported(ast.parse("x = 1").body[0]) == {}


def test_dotted() -> None:
    assert dotted(expression("dt.date"), ALIASES) == "datetime.date"
    assert dotted(expression("date"), {}) == "datetime.date"
    assert dotted(expression("Path"), ALIASES) == "upath.Path"
    assert dotted(expression("f().x"), ALIASES) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("None", None),
        ("-1", -1),
        ("+1.5", 1.5),
        ("- -2", 2),
        ("'a' 'b'", "ab"),
        ("[1, (2, {3}), {'a': None}]", [1, (2, {3}), {"a": None}]),
        ("{(1, 2): 'x', 3: []}", {(1, 2): "x", 3: []}),
        ("dt.date(2026, 1, 31)", date(2026, 1, 31)),
        ("date(2026, month=1, day=31)", date(2026, 1, 31)),
        ("dt.date.fromisoformat('2026-01-31')", date(2026, 1, 31)),
        ("datetime(2026, 1, 31, tzinfo=tz.utc)", datetime(2026, 1, 31, tzinfo=UTC)),
        ("dt.datetime(2026, 1, 31, tzinfo=dt.UTC)", datetime(2026, 1, 31, tzinfo=UTC)),
        (
            "datetime(2026, 1, 31, tzinfo=tz(timedelta(hours=1)))",
            datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=1))),
        ),
        (
            "datetime(2026, 1, 31, tzinfo=ZoneInfo('Europe/Prague'))",
            datetime(2026, 1, 31, tzinfo=ZoneInfo("Europe/Prague")),
        ),
        ("dt.time(1, 2)", time(1, 2)),
        ("timedelta(days=1)", timedelta(1)),
        ("P('a')", PurePosixPath("a")),
        ("P('data') / 'raw' / 'x.csv'", PurePosixPath("data/raw/x.csv")),
        ("Decimal('1.10')", Decimal("1.10")),
        ("float('inf')", float("inf")),
        ("set()", set()),
        ("frozenset({1})", frozenset({1})),
        ("dict(a=1)", {"a": 1}),
        ("60 * 60 * 24", 86400),
        ("10**6", 1_000_000),
        ("2**-1 if False else 3", None),
        ("1 / 4", 0.25),
        ("'=' * 3", "==="),
        ("[0] * 2 + [1]", [0, 0, 1]),
    ],
)
def test_literals(text: str, value: object) -> None:
    if text.startswith("2**-1"):
        with pytest.raises(NotLiteralError):
            literal(expression(text), ALIASES)
        return
    found = literal(expression(text), ALIASES)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "f()",
        "f'{x}'",
        "[x]",
        "{'a': x}",
        "{**{'a': 1}}",
        "[*[1]]",
        "{[]}",
        "a.b",
        "date.today()",
        "date(2026, 13, 1)",
        "date('x')",
        "date(*[2026, 1, 1])",
        "date(**{'year': 1})",
        "Path('x')",
        "ZoneInfo('No/Such')",
        "Decimal('x')",
        "open('/etc/passwd')",
        "__import__('os')",
        "eval('1')",
        "().__class__",
        "'{0.__class__}'.format(1)",
        "b'x'",
        "...",
        "1j",
        "lambda: 1",
        "1 if True else 2",
        "not 1",
        "1 < 2",
        "'\\ud800'",
        "9**9**9",
        "2**1000",
        "2**-1",
        "2.0**2",
        "'a' * 10**9",
        "[0] * 999999999",
        "1 << 999999",
        "-'a'",
        "'a' + 1",
        "-" * 90 + "x",
    ],
)
def test_what_is_not_known_without_running_code(text: str) -> None:
    with pytest.raises(NotLiteralError):
        literal(expression(text), ALIASES)


@given(st.recursive(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text(), st.lists, max_leaves=5))
def test_what_repr_writes_is_read(value: object) -> None:
    text = repr(value).replace("inf", "float('inf')")
    try:
        assert literal(expression(text), {}) == value
    except NotLiteralError as error:
        assert "surrogate" in str(error)  # noqa: PT017 - the one reason that is allowed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("date.today()", ParamType.DATE),
        ("dt.datetime.now(tz.utc)", ParamType.DATETIME),
        ("P.cwd()", ParamType.PATH),
        ("dt.date(year, 1, 1)", ParamType.DATE),
        ("str(x)", ParamType.STR),
        ("f'{x}'", ParamType.STR),
        ("[x for x in y]", ParamType.LIST),
        ("{x: 1}", ParamType.DICT),
        ("f()", ParamType.ANY),
        ("Path('x')", ParamType.ANY),
        ("x + 1", ParamType.ANY),
    ],
)
def test_the_type_of_a_value_that_is_not_known(text: str, kind: ParamType) -> None:
    assert result_type(expression(text), ALIASES) is kind


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("str", Hint(type=ParamType.STR)),
        ("int", Hint(type=ParamType.INT)),
        ("float", Hint(type=ParamType.FLOAT)),
        ("bool", Hint(type=ParamType.BOOL)),
        ("list", Hint(type=ParamType.LIST)),
        ("list[str]", Hint(type=ParamType.LIST)),
        ("t.List[int]", Hint(type=ParamType.LIST)),
        ("dict[str, list[int]]", Hint(type=ParamType.DICT)),
        ("date", Hint(type=ParamType.DATE)),
        ("dt.date", Hint(type=ParamType.DATE)),
        ("datetime", Hint(type=ParamType.DATETIME)),
        ("dt.datetime", Hint(type=ParamType.DATETIME)),
        ("P", Hint(type=ParamType.PATH)),
        ("Path", Hint()),
        ("'int | None'", Hint(type=ParamType.INT, nullable=True)),
        ("int | None", Hint(type=ParamType.INT, nullable=True)),
        ("None | list[int]", Hint(type=ParamType.LIST, nullable=True)),
        ("Optional[str]", Hint(type=ParamType.STR, nullable=True)),
        ("t.Optional['date']", Hint(type=ParamType.DATE, nullable=True)),
        ("Union[int, float, None]", Hint(type=ParamType.FLOAT, nullable=True)),
        ("int | float", Hint(type=ParamType.FLOAT)),
        ("int | str", Hint()),
        ("int | str | None", Hint(nullable=True)),
        ("None", Hint(nullable=True)),
        ("Literal['full', 'delta']", Hint(type=ParamType.STR, options=("full", "delta"))),
        ("t.Literal[1, 2, None]", Hint(type=ParamType.INT, nullable=True, options=(1, 2))),
        ("Literal[1, 'a']", Hint(options=(1, "a"))),
        ("Literal[x]", Hint()),
        ("Literal['a'] | Literal['b']", Hint(type=ParamType.STR, options=("a", "b"))),
        ("Literal['a'] | str", Hint(type=ParamType.STR)),
        ("Annotated[int, Gt(0), ' How many ']", Hint(type=ParamType.INT, description="How many")),
        ("Annotated[int | None, Gt(0)]", Hint(type=ParamType.INT, nullable=True)),
        ("Final[int]", Hint(type=ParamType.INT)),
        ("Any", Hint()),
        ("tuple[int, int]", Hint()),
        ("np.ndarray", Hint()),
        ("f()", Hint()),
        ("'not a type!'", Hint()),
        ("''", Hint()),
        ("5", Hint()),
    ],
)
def test_annotations(text: str, hint: Hint) -> None:
    assert annotation(expression(text), ALIASES) == hint
