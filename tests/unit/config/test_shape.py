"""Kinds of values: what each reads, what it says of the wrong ones, and that its JSON Schema agrees."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from typing import Any

import jsonschema
import pytest

from nbflow.config.shape import (
    MISSING,
    Anything,
    Choice,
    Duration,
    Kind,
    ListOf,
    LocalPath,
    Name,
    Number,
    Reading,
    Size,
    TableOf,
    Text,
    Whole,
    case_twins,
    described,
)
from nbflow.core.spec import RunIf


def read(kind: Kind, value: Any) -> tuple[Any, list[str]]:
    reading = Reading()
    found = kind.read(value, ("a", "b"), reading)
    return found, [f"{'.'.join(fault.key)}: {fault.message}" for fault in reading.faults]


def accepts(kind: Kind, value: Any) -> bool:
    return jsonschema.Draft202012Validator(kind.schema()).is_valid(value)


GOOD = [
    (Text(), "x", "x"),
    (Name(what="a tag"), "a-b_1", "a-b_1"),
    (Whole(), 0, 0),
    (Whole(least=-2, most=2), -2, -2),
    (Number(), 1.5, 1.5),
    (Number(), -3, -3),
    (Number(least=0.5), 0.5, 0.5),
    (Size(least=1_000_000), "4GB", 4 * 10**9),
    (Size(least=1_000_000), "1.5MiB", 1_572_864),
    (Size(least=1_000_000), 1_000_000, 1_000_000),
    (Choice(options=RunIf), "always", RunIf.ALWAYS),
    (Duration(), "1m", 60.0),
    (Duration(zero=True), 0, 0.0),
    (LocalPath(), "out puts/{x}%é", "out puts/{x}%é"),
    (LocalPath(), "/data", "/data"),
    (ListOf(item=Whole()), [1, 2], (1, 2)),
    (ListOf(item=Whole()), [], ()),
    (TableOf(kind=Whole(), what="pool"), {"a": 1}, {"a": 1}),
    (Anything(), {"x": [1]}, {"x": [1]}),
]


@pytest.mark.parametrize(("kind", "value", "expected"), GOOD)
def test_good_values_are_read_and_pass_the_schema(kind: Kind, value: Any, expected: Any) -> None:
    assert read(kind, value) == (expected, [])
    assert accepts(kind, value)


BAD = [
    (Text(), 1, "a.b: expected a text, not the number 1"),
    (Text(), "", "a.b: expected a text, not an empty one"),
    (Text(longest=3), "abcd", "a.b: the text has 4 characters; at most 3 are allowed"),
    (Name(what="a tag"), "9", 'a.b: the text "9" is no name: a name is a letter or _ and then'),
    (Name(what="a tag"), [], "a.b: expected a tag, not an array"),
    (Whole(), "2", 'a.b: expected a whole number, not the text "2"'),
    (Whole(), True, "a.b: expected a whole number, not true"),
    (Whole(), 1.5, "a.b: expected a whole number, not the number 1.5"),
    (Whole(), -1, "a.b: expected a whole number from 0 to 1000000, not the number -1"),
    (Whole(), 10**30, "a.b: expected a whole number from 0 to 1000000, not a huge number"),
    (Number(), "1", 'a.b: expected a number, not the text "1"'),
    (Number(least=0.5), 0.25, "a.b: expected a number from 0.5 on, not the number 0.25"),
    (Size(least=1_000_000), 4, "a.b: expected a size of at least 1.0 MB, not the number 4"),
    (Size(least=1_000_000), "4 gigs", 'a.b: expected a size, not the text "4 gigs"'),
    (Choice(options=RunIf), "alway", "a.b: expected one of all_success, all_done, "),
    (Choice(options=RunIf), 1, "a.b: expected one of all_success, all_done, "),
    (Duration(), 0, "a.b: expected a duration longer than 0, not the number 0"),
    (Duration(), "soon", 'a.b: expected a duration, not the text "soon"'),
    (LocalPath(), "", 'a.b: expected a path, not the text ""'),
    (LocalPath(), 3, "a.b: expected a path, not the number 3"),
    (ListOf(item=Whole()), "x", 'a.b: expected an array, not the text "x"'),
    (ListOf(item=Whole()), [1, "x"], 'a.b.1: expected a whole number, not the text "x"'),
    (TableOf(kind=Whole(), what="pool"), [], "a.b: expected a table, each key the name of a pool, not an array"),
    (TableOf(kind=Whole(), what="pool"), {"x y": 1}, "a.b.x y: illegal name of a pool: a name is a letter"),
    (TableOf(kind=Whole(), what="pool"), {"x": None}, "a.b.x: expected a whole number, not a value of type NoneType"),
]


@pytest.mark.parametrize(("kind", "value", "message"), BAD)
def test_wrong_values_are_said_and_fail_the_schema(kind: Kind, value: Any, message: str) -> None:
    _, faults = read(kind, value)
    assert len(faults) == 1
    assert faults[0].startswith(message)
    assert not accepts(kind, value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400])
def test_numbers_that_are_not_finite_are_refused_wherever_a_number_stands(value: float) -> None:
    for kind in (Number(), Duration()):
        found, faults = read(kind, value)
        assert found is MISSING
        assert len(faults) == 1


def test_faults_of_a_list_are_all_said_and_the_good_rest_is_kept() -> None:
    assert read(ListOf(item=Whole()), [1, "a", 2, "b"]) == (
        (1, 2),
        ['a.b.1: expected a whole number, not the text "a"', 'a.b.3: expected a whole number, not the text "b"'],
    )


def test_a_text_in_place_of_a_list_hints_at_brackets() -> None:
    reading = Reading()
    ListOf(item=Text()).read("x", ("needs",), reading)
    assert reading.faults[0].hint == 'write ["x"]'


def test_a_name_keeps_standing_though_its_value_is_wrong() -> None:
    found, faults = read(TableOf(kind=Whole(), what="pool", fallback=7), {"a": "x", "b": 1})
    assert found == {"a": 7, "b": 1}
    assert len(faults) == 1


def test_reserved_names_and_twins_but_for_case_are_refused() -> None:
    table = TableOf(kind=Whole(), what="task", reserved={"index": "taken"})
    _, faults = read(table, {"Index": 1, "a": 2, "A": 3, "CON": 4})
    assert faults == [
        "a.b.Index: illegal name of a task: taken",
        'a.b.CON: illegal name of a task: "CON" names a device on Windows, where no file can have this name',
        'a.b.A: differs from the task "a" by case alone',
    ]


def test_paths_that_are_not_of_this_machine() -> None:
    assert read(LocalPath(), "s3://bucket/x")[1] == ["a.b: not supported yet: b = s3://..."]
    assert read(LocalPath(), "postgresql://u:secret@h/db")[1] == ["a.b: not supported yet: b = postgresql://..."]
    assert read(LocalPath(), "~/out")[1] == ['a.b: "~" is not expanded']
    assert read(LocalPath(), "a\0b")[1] == ["a.b: a path cannot hold a NUL character"]
    partial = Reading(partial=True)
    assert LocalPath().read("s3://bucket/x", ("a",), partial) == "s3://bucket/x"
    assert not partial.faults


def test_choices_that_other_tools_have_lead_to_ours() -> None:
    reading = Reading()
    kind = Choice(options=RunIf, aliases={"done": "all_done"})
    kind.read("done", ("a",), reading)
    kind.read("all_sucess", ("b",), reading)
    assert [fault.hint for fault in reading.faults] == ['did you mean "all_done"?', 'did you mean "all_success"?']


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true"),
        ("a\x1b[0m", "the text 'a\\x1b[0m'"),
        ("x" * 50, f'the text "{"x" * 40}..."'),
        (math.inf, "the number inf"),
        ({}, "a table"),
        ([], "an array"),
        (date(2026, 1, 31), "the date 2026-01-31"),
        (datetime(2026, 1, 31, 6, tzinfo=UTC), "the datetime 2026-01-31 06:00:00+00:00"),
        (time(6), "the time 06:00:00"),
    ],
)
def test_values_in_words(value: object, words: str) -> None:
    assert described(value) == words


def test_case_twins() -> None:
    assert case_twins(["a", "b", "A", "B", "A"]) == [("A", "a"), ("B", "b"), ("A", "a")]


def test_values_that_are_wrong_are_unclear_but_keys_are_not() -> None:
    reading = Reading()
    reading.fault(("a",), "m")
    reading.fault(("b",), "m", on_key=True)
    assert reading.unclear == {("a",)}
