"""The injected cell for a language."""

from __future__ import annotations

import uuid
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.literals import LiteralError, injected_source, unsupported


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("python", "# Parameters\nregion = 'eu'\nlimit = 5"),
        ("Python", "# Parameters\nregion = 'eu'\nlimit = 5"),
        ("R", '# Parameters\nregion = "eu"\nlimit = 5L'),
        ("julia", '# Parameters\nregion = "eu"\nlimit = 5'),
        ("bash", "# Parameters\ndeclare +i region\nregion='eu'\nlimit='5'"),
    ],
)
def test_source(language: str, source: str) -> None:
    assert injected_source({"region": "eu", "limit": 5}, language) == source


def test_no_parameters() -> None:
    assert injected_source({}, "python") == "# Parameters"


def test_values_are_those_that_parameters_have() -> None:
    source = injected_source({"n": np.int64(5), "file": Path("a") / "b"}, "python")
    assert source == "# Parameters\nimport pathlib as _pathlib\nn = 5\nfile = _pathlib.Path('a/b')"


@pytest.mark.parametrize("language", ["scala", "sql", "c#", "powershell", ""])
def test_other_languages_take_no_parameters(language: str) -> None:
    with pytest.raises(LiteralError, match="languages that can take them: python, r, julia, bash"):
        injected_source({"x": 1}, language)


@pytest.mark.parametrize("language", ["python", "r", "julia", "bash"])
@pytest.mark.parametrize(
    "name",
    ["x = 1\nimport os; os.system('id') #", "x; y", "", "for", "a b", "ě", "x" * 65, "__builtins__", "a$(id)", "x\n"],
)
def test_names_are_checked_again(name: str, language: str) -> None:
    with pytest.raises(LiteralError, match="is no name of a parameter"):
        injected_source({name: 1}, language)


@pytest.mark.parametrize("language", ["python", "r", "julia", "bash"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("\ud800", "p: text with a lone surrogate"),
        (b"x", "p: a value of type bytes"),
        ([1, {"a b": uuid.UUID(int=1)}], r'p\[1\]\["a b"\]: a value of type uuid.UUID'),
        ([lambda: 1], r"p\[0\]: a value of type function"),
    ],
)
def test_there_is_no_fall_back_to_text(value: object, message: str, language: str) -> None:
    with pytest.raises(LiteralError, match=message):
        injected_source({"p": value}, language)


def test_unsupported_says_why() -> None:
    assert unsupported(date(2026, 1, 31), "python") is None
    assert unsupported([1, 2**60], "r", name="limits") == "limits[1]: R has no exact number of 61 bits"
    kinds = "text, numbers, dates and times, and lists of them"
    assert unsupported({"a": 1}, "bash", name="x") == f"x: Bash has {kinds}, no dict"
    assert unsupported(1, "r", name="function") == "function: R does not allow this as a name"
    assert "scala" in str(unsupported(1, "scala"))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(anything, st.sampled_from(["python", "r", "julia", "bash"]), st.text(max_size=5) | st.just("x"))
def test_any_value_is_written_or_refused(value: Any, language: str, name: str) -> None:
    why = unsupported(value, language, name=name)
    if why is None:
        first, *rest = injected_source({name: value}, language).split("\n")
        assert first == "# Parameters"
        assert all(line.isprintable() for line in rest) or language == "bash"
