"""Values that a notebook hands on: taken as they are, or refused with the reason."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.values import decode, encode
from nbflow.worker import outputs
from nbflow.worker.outputs import OutputError


@pytest.mark.parametrize("value", [1, None, "é", date(2026, 1, 31), (1, {2: {3}}), {"$date": "no tag"}])
def test_values_keep_their_type(value: object) -> None:
    name, encoded = outputs.read_output({"name": "rows", "value": encode(value)})
    assert (name, decode(encoded)) == ("rows", value)


def test_what_is_written_otherwise_becomes_canonical() -> None:
    assert outputs.read_output({"name": "d", "value": {"$float": "Infinity"}})[1] == {"$float": "inf"}


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (None, "expected"),
        ([], "expected"),
        ({"name": "a"}, "expected"),
        ({"name": 1, "value": 1}, "expected"),
        ({"name": "../a", "value": 1}, "is not a name"),
        ({"name": "a\n", "value": 1}, "is not a name"),
        ({"name": "x" * 65, "value": 1}, "is not a name"),
        ({"name": "a", "value": {"$unknown": 1}}, "unknown kind of value"),
        ({"name": "a", "value": {"$date": 1}}, "damaged value"),
        ({"name": "a", "value": {"$set": [[]]}}, "damaged value"),
        ({"name": "a", "value": "x" * 1_100_000}, "above the limit"),
        ({"name": "a", "value": "\ud800"}, "surrogate"),
    ],
)
def test_anything_else_is_refused(payload: object, said: str) -> None:
    with pytest.raises(OutputError, match=said):
        outputs.read_output(payload)


def test_depth_is_bounded() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(OutputError, match="nested"):
        outputs.read_output({"name": "a", "value": deep})


def test_room_for_names_not_for_values() -> None:
    full = dict.fromkeys(map(str, range(outputs.MOST)))
    outputs.check_room(full, "0")
    with pytest.raises(OutputError, match="at most"):
        outputs.check_room(full, "new")


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["$date", "$set", "$dict", "name", "value"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_whatever_comes_it_is_read_or_refused(payload: object) -> None:
    for one in (payload, {"name": "a", "value": payload}):
        try:
            name, value = outputs.read_output(one)
        except OutputError:
            continue
        assert encode(decode(value), name=name) == value or value != value
