"""Facts of one thing below each other."""

from __future__ import annotations

import io
from typing import Any

import pytest

from nbflow.cli.facts import print_facts, shown_value
from nbflow.cli.output import Output
from nbflow.cli.text import Cell


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("eu", "eu"),
        ("", '""'),
        (" eu", '" eu"'),
        (None, "-"),
        ([], "-"),
        (["ě", 1], '["ě", 1]'),
        (True, "true"),
        (0, "0"),
        ({}, "{}"),
    ],
)
def test_values(value: Any, shown: str) -> None:
    assert shown_value(value) == shown


def test_facts_that_are_empty_are_left_out() -> None:
    written = io.StringIO()
    print_facts(Output(written), {"one": "1", "empty": "", "none": Cell(""), "second": Cell("2", "bold")})
    assert [line.split() for line in written.getvalue().splitlines()] == [["one", "1"], ["second", "2"]]
