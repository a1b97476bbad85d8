"""Copies of a task: which there are, what they are called, and that no value can make a file name unsafe."""

from __future__ import annotations

import re
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbflow.core.matrix import MAX_COPIES, Copy, expand_matrix, name_copies
from nbflow.core.spec import Matrix

SAFE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def names(matrix: Matrix) -> list[str]:
    return [copy.name for copy in expand_matrix("train", matrix)]


def slugs(*values: Any) -> list[str]:
    return [copy.slug for copy in name_copies("t", [{"x": value} for value in values])]


def test_without_a_matrix_the_task_is_its_only_copy() -> None:
    assert expand_matrix("clean-up", None) == (Copy(name="clean-up", slug="clean-up", values={}),)


def test_product_in_the_order_of_the_axes() -> None:
    matrix = Matrix(axes={"model": ("ridge", "gbm"), "region": ("eu", "us")})
    found = expand_matrix("train", matrix)
    assert [copy.name for copy in found] == ["train[ridge,eu]", "train[ridge,us]", "train[gbm,eu]", "train[gbm,us]"]
    assert [copy.slug for copy in found] == ["train.ridge-eu", "train.ridge-us", "train.gbm-eu", "train.gbm-us"]
    assert found[1].values == {"model": "ridge", "region": "us"}


def test_exclude_matches_some_axes_and_include_comes_last() -> None:
    matrix = Matrix(
        axes={"model": ("ridge", "gbm"), "n": (1, 2)},
        exclude=({"model": "gbm", "n": 2}, {"n": 1, "model": "ridge"}),
        include=({"n": 9, "model": "lasso"},),
    )
    assert names(matrix) == ["train[ridge,2]", "train[gbm,1]", "train[lasso,9]"]
    assert names(Matrix(axes={"a": (1, 2), "b": (1, 2)}, exclude=({"a": 1},))) == ["train[2,1]", "train[2,2]"]


def test_exclude_tells_true_from_one() -> None:
    assert names(Matrix(axes={"x": (1, True, 2)}, exclude=({"x": True},))) == ["train[1]", "train[2]"]


def test_a_bool_is_written_as_in_the_file() -> None:
    assert names(Matrix(axes={"x": (True, False)})) == ["train[true]", "train[false]"]


def test_include_alone_is_a_matrix() -> None:
    matrix = Matrix(axes={}, include=({"a": 1, "b": 2}, {"b": 4, "a": 3}))
    assert names(matrix) == ["train[1,2]", "train[3,4]"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (Matrix(axes={}), "no axes"),
        (Matrix(axes={"a": (1,), "b": ()}), "axis 'b' of the matrix has no values"),
        (Matrix(axes={"a": (1,)}, exclude=({"a": 1},)), "no copy"),
        (Matrix(axes={"model": (1,)}, exclude=({"modle": 1},)), "'modle', which is no axis.*did you mean \"model\""),
        (Matrix(axes={"a": (1,), "b": (1,)}, include=({"a": 2},)), "include lacks 'b'"),
        (Matrix(axes={"a": (1,)}, include=({"a": 2, "c": 1},)), "include adds 'c'"),
        (Matrix(axes={}, include=({"a": 2}, {"b": 1})), "include"),
        (Matrix(axes={"a": (1, "1")}), r"name t\[1\]"),
        (Matrix(axes={"a": ("x", "x")}), r"name t\[x\]"),
        (Matrix(axes={"a": (1,)}, include=({"a": 1},)), r"name t\[1\]"),
        (Matrix(axes={"a": (b"x",)}), "bytes"),
        (Matrix(axes={"a": tuple(range(1001))}), "more than 1,000"),
        (Matrix(axes={name: tuple(range(100)) for name in "abcdef"}), "1,000,000,000,000 copies"),
        (Matrix(axes={"a": tuple(range(1000))}, include=({"a": -1},)), "more than 1,000"),
    ],
)
def test_refused(matrix: Matrix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand_matrix("t", matrix)


def test_exclude_may_bring_the_number_below_the_limit() -> None:
    axes = {"a": tuple(range(100)), "b": tuple(range(100))}
    found = expand_matrix("t", Matrix(axes=axes, exclude=tuple({"a": a} for a in range(90))))
    assert len(found) == MAX_COPIES
    assert len({copy.slug for copy in found}) == MAX_COPIES


@pytest.mark.parametrize(
    ("value", "slug"),
    [
        ("ridge", "t.ridge"),
        ("max-rows_2", "t.max-rows_2"),
        ("v1.2", "t.v1.2"),
        (5, "t.5"),
        (-1, "t.-1"),
        (0.1, "t.0.1"),
        (True, "t.true"),
        (None, "t.None"),
        (date(2026, 1, 31), "t.2026-01-31"),
    ],
)
def test_a_value_that_is_a_safe_name_is_the_slug(value: object, slug: str) -> None:
    assert slugs(value) == [slug]


@pytest.mark.parametrize(
    ("value", "stem"),
    [
        ("../../x", "t.x"),
        ("..\\..\\x", "t.x"),
        ("/etc/shadow", "t.etc_shadow"),
        ("%2e%2e%2f", "t.2e_2e_2f"),
        ("a\0b", "t.a_b"),
        ("a\nb", "t.a_b"),
        ("", "t._"),
        (".", "t._"),
        ("..", "t._"),
        ("a..b", "t.a_b"),
        (".hidden", "t.hidden"),
        ("end.", "t.end"),
        ("a b", "t.a_b"),
        ("ěš", "t._"),
        ("$(id)", "t.id"),
        ("x" * 300, "t." + "x" * 40),
        (PurePosixPath("data/a.csv"), "t.data_a_csv"),
        ({"a": [1, 2]}, "t.a_1_2"),
    ],
)
def test_any_other_value_is_cleaned_and_told_apart_by_a_hash(value: object, stem: str) -> None:
    [slug] = slugs(value)
    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{10}", slug)


def test_slugs_that_could_be_taken_for_another_get_a_hash() -> None:
    both = [copy.slug for copy in name_copies("t", [{"x": "a-b", "y": "c"}, {"x": "a", "y": "b-c"}])]
    assert len(set(both)) == 2
    assert all(re.fullmatch(r"t\.a-b-c-[0-9a-f]{10}", slug) for slug in both)


def test_case_alone_is_no_difference_between_files() -> None:
    for slug in slugs("EU", "eu"):
        assert re.fullmatch(r"t\.(EU|eu)-[0-9a-f]{10}", slug)


def test_a_value_that_imitates_the_hash_of_another_gets_its_own() -> None:
    [imitated] = slugs("a/b")
    both = slugs("a/b", imitated.removeprefix("t."))
    assert len(set(both)) == 2


def test_names_of_windows_devices_are_never_a_whole_name() -> None:
    for slug in slugs("CON", "nul", "com1", "aux.txt"):
        assert slug.split(".")[0] == "t"


def test_a_slug_does_not_depend_on_the_copies_that_do_not_collide() -> None:
    assert slugs("a/b", "c")[0] == slugs("a/b", "d", "e")[0]


def test_many_long_values_fit_in_a_file_name() -> None:
    rows = [{f"axis{i}": f"{'v' * 39}{n}" for i in range(9)} for n in range(2)]
    found = name_copies("t" * 64, rows)
    assert len({copy.slug for copy in found}) == 2
    assert all(len(copy.slug) < 200 for copy in found)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("data/a.csv", r"t\[data/a\.csv\]"),
        ("a\nb", r"t\[a b~[0-9a-f]{10}\]"),
        ("\x1b]0;x\x07", r"t\[\]0;x~[0-9a-f]{10}\]"),
        ("x" * 300, r"t\[x{40}~[0-9a-f]{10}\]"),
        (" ", r"t\[~[0-9a-f]{10}\]"),
    ],
)
def test_a_name_is_one_short_line(value: str, name: str) -> None:
    [copy] = name_copies("t", [{"x": value}])
    assert re.fullmatch(name, copy.name)


def test_long_values_with_one_beginning_have_two_names() -> None:
    first, second = name_copies("t", [{"x": "a" * 50 + "1"}, {"x": "a" * 50 + "2"}])
    assert first.name != second.name


any_value = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text("./\\-_ aAcCoOnN1%", max_size=8),
    st.integers(),
    st.floats(),
    st.lists(st.integers(), max_size=3),
)


@given(st.lists(st.tuples(any_value, any_value), min_size=1, max_size=12))
def test_slugs_are_safe_and_all_different(rows: list[tuple[Any, Any]]) -> None:
    try:
        copies = name_copies("t", [{"x": x, "y": y} for x, y in rows])
    except ValueError as error:
        assume("have the name" not in str(error))
        raise
    assert len({copy.slug.casefold() for copy in copies}) == len(copies)
    for copy in copies:
        assert SAFE.fullmatch(copy.slug)
        assert copy.slug.startswith("t.")
        assert len(copy.slug.encode()) < 200
        assert copy.name.isprintable()
