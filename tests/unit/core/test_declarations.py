"""Statements of a parameters cell, one by one."""

from __future__ import annotations

from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest

from nbflow.core.cells import parse
from nbflow.core.declarations import Declarations, Declared
from nbflow.core.spec import ParamType


def read(*sources: str, above: str = "") -> Declarations:
    declarations = Declarations()
    first = parse(above)
    assert first is not None
    declarations.learn(first.tree)
    for index, source in enumerate(sources):
        python = parse(source)
        assert python is not None
        declarations.read(python, index)
    return declarations


def one(source: str, name: str = "x", above: str = "") -> Declared:
    return read(source, above=above).declared[name]


@pytest.mark.parametrize(
    ("source", "kind", "default"),
    [
        ('x = "#fff"', ParamType.STR, "#fff"),
        ('x = "a=b"', ParamType.STR, "a=b"),
        ("x = 'it''s'", ParamType.STR, "its"),
        ("x = -1", ParamType.INT, -1),
        ("x = 1_000", ParamType.INT, 1000),
        ("x = 60 * 60", ParamType.INT, 3600),
        ("x = True", ParamType.BOOL, True),
        ("x = 1e5", ParamType.FLOAT, 100000.0),
        ("x = date(2026, 1, 31)", ParamType.DATE, date(2026, 1, 31)),
        ("x = Path('a') / 'b'", ParamType.PATH, PurePosixPath("a/b")),
        ("x = [\n  1,  # one\n  2,\n]", ParamType.LIST, [1, 2]),
        ("x = {'a': {'b': 1}}", ParamType.DICT, {"a": {"b": 1}}),
        ("x = (1, 2)", ParamType.ANY, (1, 2)),
        ("x: float = 1", ParamType.FLOAT, 1),
        ("x: tuple[int, int] = (1, 2)", ParamType.ANY, (1, 2)),
        ("x = y = 3", ParamType.INT, 3),
        ("x, y = 'a', 2", ParamType.STR, "a"),
        ("y, (z, x) = 1, (2, 3)", ParamType.INT, 3),
        ("x = 1; y = 2", ParamType.INT, 1),
        ("x = 1\nx = 'a'", ParamType.STR, "a"),
        ("x = 5  # type: float", ParamType.FLOAT, 5),
    ],
)
def test_defaults_and_types(source: str, kind: ParamType, default: Any) -> None:
    found = one(source)
    assert (found.type, found.default, found.has_default) == (kind, default, True)
    assert type(found.default) is type(default)
    assert not found.required


def test_none_is_a_default_that_says_nothing_of_the_type() -> None:
    found = one("x = None")
    assert (found.type, found.default, found.has_default, found.nullable) == (ParamType.ANY, None, True, True)
    assert one("x: int = None").nullable
    assert one("x: int | None = 5").nullable
    assert not one("x: int = 5").nullable


def test_an_annotation_without_a_value_is_required() -> None:
    found = one("x: 'Annotated[int, \"How many\"]'")
    assert (found.type, found.has_default, found.required) == (ParamType.INT, False, True)
    assert found.description == "How many"
    later = one("x: int\nx = 5")
    assert (later.type, later.default, later.required) == (ParamType.INT, 5, False)


def test_options_by_literal() -> None:
    found = one("x: Literal['full', 'delta'] = 'delta'")
    assert (found.type, found.options, found.default) == (ParamType.STR, ("full", "delta"), "delta")


def test_place_and_description() -> None:
    found = read("a = 1", "\n# Rows that\n# are read\nx = 1").declared["x"]
    assert (found.cell, found.line, found.description) == (1, 4, "Rows that are read")
    assert one("x = 1  # Rows").description == "Rows"
    assert one("# above\nx: Annotated[int, 'noted'] = 1  # beside").description == "noted"
    assert one("x = 1  # first\nx = 2").description == "first"


def test_names_of_imports_come_from_the_cells_above_too() -> None:
    assert one("x = dt.date(2026, 1, 31)", above="import datetime as dt").default == date(2026, 1, 31)
    assert one("from pathlib import Path as P\nx = P('a')").default == PurePosixPath("a")
    assert not one("x = Path('a')", above="from upath import Path").has_default
    assert one("x: D = None", above="from datetime import date as D").type is ParamType.DATE


@pytest.mark.parametrize(
    ("source", "kind", "warnings"),
    [
        ("x = f()", ParamType.ANY, 0),
        ("x = date.today()", ParamType.DATE, 0),
        ("x: int = f()", ParamType.INT, 0),
        ("a = 1\nx = a * 2", ParamType.ANY, 1),
        ("a = 1\nx = f'{a}'", ParamType.STR, 1),
        ("a = b = 1\nx: str = str(a) + str(b)", ParamType.STR, 1),
        ("a = 1\nx, y = a, 2", ParamType.ANY, 1),
        ("x, y = f()", ParamType.ANY, 0),
        ("x, *y = 1, 2, 3", ParamType.ANY, 0),
        ("x = 1\nx += 1", ParamType.INT, 0),
        ("a = 1\nx = 'a'\nx += str(a)", ParamType.STR, 1),
        ("a = 1\nif a:\n    x = 5\nelse:\n    x = 6", ParamType.ANY, 1),
        ("x = None\nif x is None:\n    x = 'eu'", ParamType.ANY, 0),
        ("x = 'eu'\nif debug:\n    x = 'us'", ParamType.STR, 0),
        ("try:\n    x = 1\nexcept E:\n    pass", ParamType.ANY, 0),
        ("with open('f') as x: pass", ParamType.ANY, 0),
        ("for x in []: pass", ParamType.ANY, 0),
        ("print(x := 5)", ParamType.ANY, 0),
    ],
)
def test_values_that_depend_on_code(source: str, kind: ParamType, warnings: int) -> None:
    found = read(source)
    x = found.declared["x"]
    assert (x.type, x.has_default, x.default, x.required) == (kind, False, None, False)
    assert len(found.warnings) == warnings


def test_the_warning_names_both() -> None:
    assert read("a = 1\nb = a * 2").warnings == [
        "b is derived from a in the parameters cell: it stays at its default; derive it below"
    ]
    assert read("a = 1\nc = 2\nb = [c, a, len]").warnings == [
        "b is derived from c and a in the parameters cell: it stays at its default; derive it below"
    ]


def test_what_a_block_may_change_is_no_longer_known() -> None:
    found = one("x = 'eu'  # Region\nif debug:\n    x = 'us'")
    assert (found.type, found.has_default, found.description) == (ParamType.STR, False, "Region")


@pytest.mark.parametrize(
    "source",
    [
        "import pandas as x",
        "def x(): pass",
        "class x: pass",
        "try:\n    import x\nexcept ImportError:\n    pass",
        "x.y = 1",
        "x[0] = 1",
        "del x",
        "print(x)",
        "'x = 1'",
        "# x = 1",
        "def f():\n    x = 1",
        "[x for x in []]",
    ],
)
def test_what_declares_no_parameter(source: str) -> None:
    assert "x" not in read(source).declared
