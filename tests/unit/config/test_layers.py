"""A profile merged over a file: values, and where each of them stands."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.layers import Document, merge, value_at
from nbflow.config.source import Source, parse_source
from nbflow.core.faults import Fault, KeyPath

TEXT = """\
[pipelines.a]
timeout = 1
tags = ["x", "y"]
[pipelines.a.params]
limit = { type = "int", default = 1, min = 0 }
[profiles.prod.pipelines.a]
tags = ["z"]
params.limit = 5
params.new = 6
"""


def document() -> Document:
    source = parse_source(TEXT.encode(), "pipelines.toml")
    assert isinstance(source, Source)
    return Document(source, source.data["profiles"]["prod"], source, ("profiles", "prod"))


def test_tables_are_merged_and_everything_else_is_replaced() -> None:
    assert merge({"a": {"x": 1, "y": [1]}, "b": 1}, {"a": {"y": [2], "z": 3}, "b": {"c": 1}}) == {
        "a": {"x": 1, "y": [2], "z": 3},
        "b": {"c": 1},
    }


def test_a_plain_value_over_the_table_of_a_parameter_is_its_default() -> None:
    assert document().data["pipelines"]["a"]["params"] == {"limit": {"type": "int", "default": 5, "min": 0}, "new": 6}
    # and nowhere else
    assert merge({"pools": {"a": {"x": 1}}}, {"pools": {"a": 2}}) == {"pools": {"a": 2}}


def test_each_value_is_found_where_it_was_written() -> None:
    def place(*at: str) -> tuple[KeyPath, bool]:
        spot = document().spot(at)
        return spot.at, spot.is_profile

    base: KeyPath = ("pipelines", "a")
    over: KeyPath = ("profiles", "prod", "pipelines", "a")
    assert place(*base) == (base, False)
    assert place(*base, "timeout") == ((*base, "timeout"), False)
    assert place(*base, "tags", "0") == ((*over, "tags", "0"), True)
    assert place(*base, "params", "new") == ((*over, "params", "new"), True)
    assert place(*base, "params", "limit", "default") == ((*over, "params", "limit"), True)
    assert place(*base, "params", "limit", "min") == ((*base, "params", "limit", "min"), False)
    assert place(*base, "nowhere", "at", "all") == (base, False)
    assert place("other") == ((), False)


def test_a_fault_in_a_profile_has_its_place_there_and_its_key_in_the_merged_file() -> None:
    problem = document().problem(Fault(key=("pipelines", "a", "params", "limit", "default"), message="too large"))
    assert str(problem) == (
        "pipelines.toml:8:16: pipelines.a.params.limit.default: too large\n  params.limit = 5\n                 ^"
    )


def test_values_at_paths() -> None:
    data = {"a": [{"b": 1}]}
    assert value_at(data, ("a", "0", "b")) == 1
    assert [value_at(data, at) for at in (("a", "1"), ("a", "x"), ("a", "0", "b", "c"), ("z",))] == [None] * 4


tables = st.recursive(
    st.integers(), lambda child: st.dictionaries(st.sampled_from("abc"), child, max_size=3), max_leaves=8
).filter(lambda value: isinstance(value, dict))


@given(tables, tables)
def test_merging_changes_neither_side_and_the_overlay_wins(base: dict[str, Any], overlay: dict[str, Any]) -> None:
    before = repr(base), repr(overlay)
    merged = merge(base, overlay)
    assert (repr(base), repr(overlay)) == before
    assert set(merged) == set(base) | set(overlay)
    assert merge(merged, overlay) == merged
    assert merge({}, overlay) == overlay
    assert merge(base, {}) == base
