"""Python's literals: running the source gives the same values, and the source can do nothing else."""

from __future__ import annotations

import ast
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from nbflow.core.literals_python import WIDTH, assignments
from nbflow.core.params import is_name

zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
    st.sampled_from(["Europe/Prague", "America/New_York"]).map(ZoneInfo),
)
texts = st.text(st.characters(codec="utf-8"), max_size=30)
hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False),
    texts,
    st.dates(),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from([Decimal("-0.00"), Decimal("1E+3"), Decimal("0E-10")]),
    texts.filter(lambda text: "\0" not in text).map(PurePosixPath),
)
keys = st.one_of(hashables, st.tuples(hashables), st.frozensets(hashables, max_size=3))
exact_values = st.recursive(
    st.one_of(keys, st.sets(keys, max_size=3), st.floats(), st.decimals(allow_nan=True)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True),
    st.sampled_from(["float", "set", "frozenset", "datetime", "_datetime", "pathlib", "_pathlib", "builtins", "print"]),
).filter(lambda name: is_name(name) is None)


def run(lines: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec("\n".join(lines), found)  # noqa: S102 - what a kernel does with the cell
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(b, PurePath):
        return isinstance(a, Path) and a == b
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a, b)) and all(map(same, a.values(), b.values()))
    if isinstance(a, float):
        return math.isnan(b) if math.isnan(a) else a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, Decimal):
        return repr(a) == repr(b)
    if isinstance(a, datetime | time):
        return (a, a.tzinfo, a.fold) == (b, b.tzinfo, b.fold)
    return bool(a == b)


def check_only_constants(tree: ast.AST) -> None:
    """Assignments of constants, constructors called with them, and imports: security.md S4 and S5."""
    constructors = {"date", "datetime", "time", "timedelta", "timezone", "ZoneInfo", "Path", "Decimal"}
    constructors |= {"float", "set", "frozenset"}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(), attr=name) | ast.Name(id=name)):
                assert name in constructors
            case ast.Attribute(value=ast.Name(), attr=name):
                assert name in constructors
            case ast.Attribute(value=ast.Attribute(value=ast.Name(), attr="timezone"), attr="utc"):
                pass
            case ast.Import(names=[ast.alias(name=name)]):
                assert name in {"builtins", "datetime", "decimal", "pathlib", "zoneinfo"}
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
                pass
            case ast.Assign(targets=[ast.Name()]):
                pass
            case _:
                allowed = (ast.Module, ast.Constant, ast.Name, ast.Load, ast.Store, ast.alias, ast.keyword, ast.USub)
                assert isinstance(node, (*allowed, ast.List, ast.Tuple, ast.Set, ast.Dict)), ast.dump(node)


@given(st.dictionaries(names, exact_values, max_size=4))
@example({"x": Decimal("NaN"), "y": Decimal("-sNaN123"), "z": [Decimal("1.10"), {Decimal("1.1")}]})
@example({"float": math.inf, "set": set(), "frozenset": frozenset(), "x": [math.nan, set(), -0.0]})
@example({"_datetime": date(2026, 1, 31), "__datetime": 1, "datetime": datetime(2026, 1, 1, tzinfo=UTC)})
def test_running_the_source_gives_the_values(params: dict[str, Any]) -> None:
    lines = assignments(params)
    found = run(lines)
    for name, value in params.items():
        assert same(found[name], value)
    tree = ast.parse("\n".join(lines))
    check_only_constants(tree)
    targets = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]  # type: ignore[attr-defined]
    assert targets == list(params)


@given(st.dictionaries(names, exact_values, max_size=3))
def test_ipython_changes_nothing_in_it(params: dict[str, Any]) -> None:
    source = "\n".join(["# Parameters", *assignments(params), ""])
    assert TransformerManager().transform_cell(source) == source


EVIL = [
    "x = 1\nimport os; os.system('id') #",
    "'; import os; os.system('id') #",
    '"""\nimport os\n"""',
    "\\' + __import__('os').system('id') + '",
    "{{ env('X') }} {x.__class__} %s ${x} $(id) `id`",
    "%time\n!ls\n?x",
    "\r\nimport os",
    "\x0c\x0b\x1c\x85\u2028\u2029import os",
    "\u202eso tropmi",
    "\0",
    "#",
    "\\",
]


@pytest.mark.parametrize("text", EVIL)
def test_text_stays_text(text: str) -> None:
    params = {"x": text, "y": [text, {text: (text,)}], "z": Path(text.replace("\0", ""))}
    lines = assignments({**params, "z": PurePosixPath(text.replace("\0", ""))})
    check_only_constants(ast.parse("\n".join(lines)))
    found = run(lines)
    assert (found["x"], found["y"]) == (params["x"], params["y"])
    assert all(line.isprintable() for line in "\n".join(lines).split("\n"))


def test_the_lines() -> None:
    params = {
        "region": "it's",
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 2, tzinfo=UTC),
        "local": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1),
        "fixed": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        "alarm": time(6, 30),
        "wait": timedelta(minutes=5),
        "file": PurePosixPath("data/a.csv"),
        "price": Decimal("1.10"),
        "bad": math.nan,
        "none": None,
        "pair": (1,),
        "empty": [(), [], {}, set(), frozenset()],
        "sets": [{"b", "a"}, frozenset({2, 1})],
    }
    assert assignments(params) == [
        "import datetime as _datetime",
        "import decimal as _decimal",
        "import pathlib as _pathlib",
        "import zoneinfo as _zoneinfo",
        'region = "it\'s"',
        "day = _datetime.date(2026, 1, 31)",
        "at = _datetime.datetime(2026, 1, 31, 2, 0, tzinfo=_datetime.timezone.utc)",
        "local = _datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=_zoneinfo.ZoneInfo('Europe/Prague'))",
        "fixed = _datetime.datetime(2026, 1, 1, 0, 0, tzinfo=_datetime.timezone(_datetime.timedelta(seconds=3600)))",
        "alarm = _datetime.time(6, 30)",
        "wait = _datetime.timedelta(seconds=300)",
        "file = _pathlib.Path('data/a.csv')",
        "price = _decimal.Decimal('1.10')",
        'bad = float("nan")',
        "none = None",
        "pair = (1,)",
        "empty = [(), [], {}, set(), frozenset()]",
        "sets = [{'a', 'b'}, frozenset({1, 2})]",
    ]


def test_only_the_imports_that_are_needed() -> None:
    assert assignments({"x": 1}) == ["x = 1"]
    assert assignments({}) == []


def test_a_class_that_the_notebook_has_imported_is_not_hidden() -> None:
    cell = "from datetime import datetime\nimport pathlib\n"
    found = run([cell, *assignments({"day": date(2026, 1, 31), "file": PurePosixPath("a")})])
    assert found["datetime"] is datetime


def test_names_of_parameters_hide_nothing_that_is_needed() -> None:
    lines = assignments({"float": 1, "set": 2, "x": [math.inf, set()], "_builtins": 3})
    assert lines[0] == "import builtins as __builtins"
    assert run(lines)["x"] == [math.inf, set()]


def test_long_containers_have_an_entry_on_each_line() -> None:
    value = {"names": ["x" * 30] * 4, 5: ("y" * 50, {"z" * 50})}
    lines = "\n".join(assignments({"v": value})).split("\n")
    assert lines == [
        "v = {",
        "    'names': [",
        *[f"        '{'x' * 30}'," for _ in range(4)],
        "    ],",
        "    5: (",
        f"        '{'y' * 50}',",
        f"        {{'{'z' * 50}'}},",
        "    ),",
        "}",
    ]
    assert run(lines)["v"] == value


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40))
def test_no_line_is_too_long_where_it_can_be_broken(numbers: list[int]) -> None:
    lines = "\n".join(assignments({"x": numbers})).split("\n")
    assert all(len(line) <= WIDTH for line in lines)
    assert run(lines)["x"] == numbers


def test_the_same_values_give_the_same_bytes() -> None:
    words = [f"word{i}" for i in range(50)]
    other = set[str]()
    for word in sorted(words, reverse=True):
        other.add(word)
    assert assignments({"x": set(words)}) == assignments({"x": other})
