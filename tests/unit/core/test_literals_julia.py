"""Julia's literals. There is no Julia here: a parser of its grammar reads what was written."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
import tree_sitter_julia
from hypothesis import given
from hypothesis import strategies as st
from tree_sitter import Language, Node, Parser

from nbflow.core.literals_julia import assignments


def written(value: Any) -> str:
    *imports, line = assignments({"x": value})
    assert imports in ([], ["import Dates"])
    assert bool(imports) is ("Dates." in line)
    return line.removeprefix("x = ")


JULIA = Language(tree_sitter_julia.language())

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**130), 2**130),
    st.floats(),
    st.text(st.characters(codec="utf-8")) | st.text("$(){}\"\\\n\0'`x1"),
    st.dates(),
    st.datetimes().map(lambda value: value.replace(microsecond=value.microsecond // 1000 * 1000, fold=0)),
    st.times().map(lambda value: value.replace(fold=0)),
)
keys = st.text(st.characters(codec="utf-8")) | st.integers() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=10,
)


@given(values)
def test_a_parser_of_julia_reads_the_value(value: Any) -> None:
    source = "\n".join(assignments({"x": value}))
    tree = Parser(JULIA).parse(source.encode())
    assert not tree.root_node.has_error, source
    *imports, assigned = tree.root_node.named_children
    assert all(node.text == b"import Dates" for node in imports)
    name, _, written_value = assigned.named_children
    assert name.text == b"x"
    assert repr(read(written_value)) == repr(value)


def read(node: Node) -> Any:  # noqa: C901 - a case for each kind of literal
    """The value of a literal; anything that is none, `$` in a text for example, has no case here."""
    text = (node.text or b"").decode()
    inner = node.named_children
    match node.type:
        case "string_literal":
            return _read_text(node, text)
        case "identifier":
            return {"nothing": None, "NaN": math.nan, "Inf": math.inf}[text]
        case "boolean_literal":
            return text == "true"
        case "integer_literal":
            return int(text)
        case "float_literal":
            return float(text)
        case "unary_expression":
            assert text.startswith("-")
            return -read(inner[1])
        case "vector_expression":
            return [read(child) for child in inner]
        case "index_expression":
            assert inner[0].text == b"Any"
            return read(inner[1])
        case "tuple_expression":
            return tuple(read(child) for child in inner)
        case "call_expression":
            return _made((inner[0].text or b"").decode(), inner[1].named_children)
        case _:
            raise AssertionError(f"{node.type}: {text}")


def _read_text(node: Node, literal: str) -> str:
    """A text in double quotes; a `$` that is not escaped would be code."""
    assert {child.type for child in node.named_children} <= {"content", "escape_sequence"}, literal
    assert literal.isprintable()
    return re.sub(
        r"\\(?:(u[0-9a-f]{4}|U[0-9a-f]{8})|(.))",
        lambda found: (
            chr(int(found[1][1:], 16)) if found[1] else {"n": "\n", "r": "\r", "t": "\t"}.get(found[2], found[2])
        ),
        literal[1:-1],
    )


def _made(name: str, arguments: list[Node]) -> Any:
    if name.startswith("Dict{"):
        pairs = [pair.named_children for pair in arguments]
        return {read(pair[0]): read(pair[-1]) for pair in pairs}
    parts = [read(argument) for argument in arguments]
    match name:
        case "Dates.Date":
            return date(*parts)
        case "Dates.DateTime":
            return datetime(*parts[:6], parts[6] * 1000)  # noqa: DTZ001 - Julia has no time zones
        case "Dates.Time":
            return time(*parts[:3], parts[3] * 1000 + parts[4])
        case _:
            raise AssertionError(name)


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
        (datetime(2026, 10, 25, 2, fold=1), "no time zones"),  # noqa: DTZ001
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
