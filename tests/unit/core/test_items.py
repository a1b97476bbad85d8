"""Names and file names of the copies that `for_each` makes."""

from __future__ import annotations

import re
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.items import name_items
from nbflow.core.values import decode

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(allow_nan=False),
    st.text(max_size=6),
    st.text(min_size=38, max_size=60),
    st.sampled_from(["a", "A", "a#2", "1", "data/a.csv", "other/a.csv", "a/b", "a_b", "x" * 300, "None", "0"]),
)
ITEMS = st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.text(max_size=3), SCALARS)))


def names(*items: Any) -> list[str]:
    return [copy.name.removeprefix("score") for copy in name_items("score", items)]


def slugs(*items: Any) -> list[str]:
    return [copy.slug for copy in name_items("score", items)]


def test_short_plain_items_are_their_own_names() -> None:
    assert names("a.csv", 3, 2.5, True, None, date(2026, 1, 31), PurePosixPath("in/x")) == [
        *("[a.csv]", "[3]", "[2.5]", "[true]", "[None]", "[2026-01-31]", "[in/x]")
    ]


def test_what_has_no_short_text_is_told_by_its_place() -> None:
    assert names({"a": 1}, [1, 2], "", "x") == ["[0]", "[1]", "[2]", "[x]"]


def test_an_item_that_comes_again_is_counted() -> None:
    assert names("a", "b", "a", "a") == ["[a]", "[b]", "[a#2]", "[a#3]"]


def test_items_of_one_text_are_told_apart() -> None:
    one, other = names(1, "1")
    assert (one, re.fullmatch(r"\[1~[0-9a-f]{10}\]", other) is not None) == ("[1]", True)
    assert names({"a": 1}, 0)[1].startswith("[0~")


def test_a_long_path_is_told_by_its_end_and_other_text_by_its_beginning() -> None:
    path, text = names("data/incoming/2026/01/31/region=eu/part-0001.parquet", "word " * 30)
    assert re.fullmatch(r"\[2026/01/31/region=eu/part-0001.parquet~\w{10}\]", path)
    assert re.fullmatch(r"\[word (word )+word~\w{10}\]", text)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\u202eevil", "tab\there"])
def test_a_name_is_one_printable_line(text: str) -> None:
    (name,) = names(text)
    assert name.isprintable()
    assert "~" in name


def test_file_names() -> None:
    assert slugs("a.csv", "b-1", 3) == ["score.a.csv", "score.b-1", "score.3"]
    assert re.fullmatch(r"score\.data_a_csv-\w{10}", slugs("data/a.csv")[0])
    assert re.fullmatch(r"score\._-\w{10}", slugs("…")[0])
    first, second = slugs("readme", "README")
    assert (first, second.startswith("score.README-")) == ("score.readme", True)


@given(ITEMS)
def test_names_and_files_are_unique_legal_short_and_in_order(items: list[Any]) -> None:
    copies = name_items("score", items)
    assert [decode(copy.values["item"]) for copy in copies] == items
    assert len({copy.name for copy in copies}) == len(items)
    assert len({copy.slug.casefold() for copy in copies}) == len(items)
    for copy in copies:
        assert re.fullmatch(r"score\[.{1,70}\]", copy.name)
        assert copy.name.isprintable()
        assert re.fullmatch(r"score\.[A-Za-z0-9_-][A-Za-z0-9._-]{0,100}", copy.slug)
        assert ".." not in copy.slug


@given(ITEMS)
def test_the_same_list_has_the_same_copies(items: list[Any]) -> None:
    assert name_items("score", items) == name_items("score", list(items))


@given(ITEMS, ITEMS)
def test_items_of_a_list_before_keep_their_copies_and_no_other_gets_them(before: list[Any], after: list[Any]) -> None:
    known = name_items("score", before)
    copies = name_items("score", after, known)
    both = {copy.name: copy for copy in (*known, *copies)}
    assert [decode(copy.values["item"]) for copy in copies] == after
    assert all(both[copy.name] == copy for copy in (*known, *copies))
    assert len({copy.slug.casefold() for copy in both.values()}) == len(both)
    assert len({copy.name for copy in copies}) == len(copies)
    again = name_items("score", [*after, *before], known)
    assert {copy.name for copy in known} <= {copy.name for copy in again}
