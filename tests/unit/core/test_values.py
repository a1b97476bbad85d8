"""Values: the exact form is exact, the readable form is readable, and what cannot be exact is refused by name."""

from __future__ import annotations

import enum
import json
import math
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import values
from support.exact import exact_values, same


@given(exact_values)
def test_exact_form_round_trips_through_json_text(value: Any) -> None:
    data = json.loads(json.dumps(values.encode(value), allow_nan=False))
    assert same(values.decode(data), value)


@given(exact_values)
def test_every_value_has_a_readable_and_a_canonical_form(value: Any) -> None:
    json.dumps(values.plain(value), allow_nan=False)
    assert values.canonical(value) == values.canonical(values.decode(values.encode(value)))


def test_readable_json_types_are_stored_as_they_are() -> None:
    value = {"region": "eu", "limit": 10, "ratio": 0.5, "on": True, "none": None, "list": [1, [2]]}
    assert values.encode(value) == value


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (date(2026, 1, 31), {"$date": "2026-01-31"}),
        (datetime(2026, 1, 31, 2, 0, 1), {"$datetime": "2026-01-31T02:00:01"}),  # noqa: DTZ001
        (datetime(2026, 1, 31, 2, tzinfo=UTC), {"$datetime": "2026-01-31T02:00:00", "offset": [0, 0, 0]}),
        (
            datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1),
            {"$datetime": "2026-10-25T02:30:00", "zone": "Europe/Prague", "fold": 1},
        ),
        (Path("data") / "a.csv", {"$path": "data/a.csv"}),
        (math.inf, {"$float": "inf"}),
        ((1, 2), {"$tuple": [1, 2]}),
        ({3, 1, 2}, {"$set": [1, 2, 3]}),
        ({1: "a"}, {"$dict": [[1, "a"]]}),
        ({"$date": "mine"}, {"$dict": [["$date", "mine"]]}),
    ],
)
def test_tags(value: object, data: object) -> None:
    assert values.encode(value) == data
    assert values.decode(data) == value


def test_nan_round_trips() -> None:
    assert math.isnan(values.decode(values.encode(math.nan)))


def test_a_path_of_this_machine_comes_back_as_a_pure_path() -> None:
    assert type(values.decode(values.encode(Path("a/b")))) is PurePosixPath


class Colour(enum.StrEnum):
    RED = "red"


class Money(Decimal):
    pass


class OddZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=1)


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        ({"limits": [1, 2, 3, {"max": 1j}]}, "p.limits[3].max", "complex"),
        ({"odd key": b"x"}, 'p["odd key"]', "bytes"),
        ({3: b"x"}, "p[3]", "bytes"),
        ({(1, 2): b"x"}, "p[...]", "bytes"),
        ({b"x": 1}, "key of p", "bytes"),
        ((1, bytearray()), "p[1]", "bytearray"),
        ({uuid.UUID(int=1)}, "p{...}", "uuid.UUID"),
        (Colour.RED, "p", f"{__name__}.Colour"),
        (Money("1"), "p", f"{__name__}.Money"),
        (OrderedDict(a=1), "p", "collections.OrderedDict"),
        (PureWindowsPath("a"), "p", "pathlib.PureWindowsPath"),
        (datetime(2026, 1, 1, tzinfo=OddZone()), "p", "datetime.datetime"),
        ("\ud800", "p", "str"),
        ({"a\ud800": 1}, "key of p", "str"),
        (Path("\udcff"), "p", "str"),
        pytest.param(1 << 20_000, "p", "int", id="20000 bits"),
        (object, "p", "type"),
        (len, "p", "builtin_function_or_method"),
        (np.array([1, 2]), "p", "numpy.ndarray"),
        (np.array(1), "p", "numpy.ndarray"),
        (np.datetime64("2026-01-31T00:00:00", "ns"), "p", "numpy.datetime64"),
        (np.timedelta64(5, "ns"), "p", "numpy.timedelta64"),
        (np.longdouble(1), "p", "numpy.longdouble"),
        (np.complex128(1), "p", "numpy.complex128"),
        (np.bytes_(b"x"), "p", "numpy.bytes_"),
    ],
)
def test_what_has_no_exact_form_is_refused_by_place_and_type(value: object, path: str, type_name: str) -> None:
    for form in (values.encode, values.plain):
        with pytest.raises(values.InexactValueError) as caught:
            form(value, name="p")
        assert (caught.value.path, caught.value.type_name) == (path, type_name)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(5), 5),
        (np.uint8(255), 255),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.datetime64("2026-01-31"), date(2026, 1, 31)),
        (np.datetime64("2026-01-31T02:00:00", "us"), datetime(2026, 1, 31, 2)),  # noqa: DTZ001
        (np.timedelta64(5, "s"), timedelta(seconds=5)),
    ],
)
def test_numpy_scalars_become_their_python_value(value: object, expected: object) -> None:
    assert same(values.decode(values.encode([value])), [expected])


def test_a_cycle_is_refused_and_does_not_recurse() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(values.InexactValueError, match=r"^x(\[0\]){19}\[0\.\.\.: nested more than 100 levels deep$"):
        values.encode(loop, name="x")


@pytest.mark.parametrize(
    "data",
    [
        {"$nope": 1},
        {"$date": "yesterday"},
        {"$date": 5},
        {"$date": "2026-01-31", "other": 1},
        {"$date": "2026-01-31", "zone": "UTC"},
        {"$date": "2026-01-31", "$float": "nan"},
        {"$datetime": "2026-01-31T00:00:00", "zone": "No/Such"},
        {"$datetime": "2026-01-31T00:00:00", "zone": "Europe"},
        {"$datetime": "2026-01-31T00:00:00", "zone": "../../etc/passwd"},
        {"$datetime": "2026-01-31T00:00:00", "fold": "x"},
        {"$timedelta": [10**12, 0, 0]},
        {"$decimal": "x"},
        {"$set": [[1]]},
        {"$dict": [[1]]},
        {"$dict": [[[1], 2]]},
        {"$tuple": 5},
        {"$float": "x"},
        (1, 2),
    ],
)
def test_damaged_data_is_a_value_error(data: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        values.decode(data)


tags = st.sampled_from(["$float", "$date", "$datetime", "$time", "$timedelta", "$decimal", "$path", "$set", "$dict"])
json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | tags, inner, max_size=2)
        | st.tuples(tags, inner | st.sampled_from(["2026-01-31", "nan", "1", [[1, 2]], [1, 2, 3]])).map(
            lambda pair: dict([pair])
        )
    ),
    max_leaves=6,
)


@given(json_data)
def test_data_from_outside_has_a_value_or_is_refused(data: Any) -> None:
    """An output comes from executed code: whatever it is, what is let in can be stored again."""
    try:
        value = values.decode(data)
    except ValueError:
        return
    assert values.canonical(value) == values.canonical(values.decode(values.encode(value)))


def test_data_nested_without_end_is_a_value_error() -> None:
    data: object = 1
    for _ in range(5_000):
        data = [data]
    with pytest.raises(ValueError, match="too deep"):
        values.decode(data)


def test_plain_is_readable() -> None:
    value = {
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 2, tzinfo=UTC),
        "file": Path("a/b"),
        "price": Decimal("1.10"),
        "sizes": (1, 2),
        "names": {"b", "a"},
        "numbers": {10, 9, 2.5},
        "bad": [math.nan, math.inf, -math.inf],
        1: "one",
    }
    assert values.plain(value) == {
        "day": "2026-01-31",
        "at": "2026-01-31T02:00:00+00:00",
        "file": "a/b",
        "price": "1.10",
        "sizes": [1, 2],
        "names": ["a", "b"],
        "numbers": [2.5, 9, 10],
        "bad": ["nan", "inf", "-inf"],
        "1": "one",
    }


def test_plain_loses_no_entry_where_keys_have_one_text() -> None:
    assert values.plain({1: "a", "1": "b", date(2026, 1, 1): "c"}) == {"1": "a", "1'": "b", "2026-01-01": "c"}


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({1: "a", "x": "b"}, {"x": "b", 1: "a"}, True),
        ({1: {2, 3}}, {1: {3, 2}}, True),
        (1, True, False),
        (1, 1.0, False),
        ((1,), [1], False),
        ("2026-01-31", date(2026, 1, 31), False),
        ({"$set": [1]}, {1}, False),
    ],
)
def test_canonical_tells_types_apart_and_forgets_order(left: object, right: object, equal: bool) -> None:
    assert (values.canonical(left) == values.canonical(right)) is equal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a b", "a b"),
        (None, "None"),
        (True, "True"),
        (0.1, "0.1"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 2, tzinfo=UTC), "2026-01-31T02:00:00+00:00"),
        (Path("a/b"), "a/b"),
        (Decimal("1.10"), "1.10"),
        ([1, date(2026, 1, 31)], '[1, "2026-01-31"]'),
        ({"á": (1,)}, '{"á": [1]}'),
    ],
)
def test_text_inside_other_text(value: object, expected: str) -> None:
    assert values.text(value) == expected


def test_size_counts_bytes_not_characters() -> None:
    assert values.check_size("ěš") == 6
    with pytest.raises(ValueError, match=r"p: 1\.2 MB is above the limit of 1\.0 MB; write a file and pass its path"):
        values.check_size("x" * 1_200_000, name="p")
    with pytest.raises(ValueError, match="above the limit"):
        values.check_size("ěěě", limit=6)
