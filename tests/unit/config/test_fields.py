"""Parameters and matrices as a file writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import jsonschema
import pytest

from nbflow.config.fields import ForEachField, MatrixField, ParamField, SecretField
from nbflow.config.shape import MISSING, Reading
from nbflow.core.spec import Matrix, Param, ParamType


def param(value: Any) -> tuple[Param, list[str]]:
    reading = Reading()
    found = ParamField().read(value, ("p", "x"), reading)
    return found, [f"{'.'.join(fault.key)}: {fault.message}" for fault in reading.faults]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("eu", ParamType.STR),
        ("from {{ run.date }}", ParamType.STR),
        ("{{ run.date }}", ParamType.ANY),
        (1, ParamType.INT),
        (1.5, ParamType.FLOAT),
        (True, ParamType.BOOL),
        (date(2026, 1, 31), ParamType.DATE),
        (datetime(2026, 1, 31, tzinfo=UTC), ParamType.DATETIME),
        ([1], ParamType.LIST),
    ],
)
def test_the_type_of_a_plain_value_is_inferred(value: Any, kind: ParamType) -> None:
    found = Param(name="x", type=kind, default=value)
    assert param(value) == (found, [])
    assert param({"default": value}) == (found, [])


def test_a_table_gives_everything() -> None:
    table = {"type": "int", "default": 2, "options": [1, 2], "min": 1, "max": 2.5, "description": "how many"}
    assert param(table) == (
        Param(name="x", type=ParamType.INT, default=2, options=(1, 2), min=1, max=2.5, description="how many"),
        [],
    )


def test_without_default_a_value_is_required() -> None:
    assert param({"type": "date"}) == (Param(name="x", type=ParamType.DATE, required=True), [])
    assert param({"options": ["a"]})[0] == Param(name="x", type=ParamType.STR, required=True, options=("a",))
    assert not param({"type": "dict", "default": {}})[0].required


def test_a_table_as_a_value_needs_its_type() -> None:
    assert param({"a": 1}) == (Param(name="x", type=ParamType.ANY), ["p.x: neither `type` nor `default` is given"])
    assert param({}) == (Param(name="x", type=ParamType.ANY), ["p.x: neither `type` nor `default` is given"])
    assert param({"type": "dict", "default": {"type": 1}})[0].default == {"type": 1}


def test_faults_leave_a_parameter_so_that_its_readers_are_not_blamed() -> None:
    found, said = param({"type": "integer", "default": 1, "mn": 2, "description": 3})
    assert (found.name, found.type) == ("x", ParamType.ANY)
    assert [one.split(":")[0] for one in said] == ["p.x.type", "p.x.mn", "p.x.description"]
    assert param({"description": "d"})[1] == ["p.x: a parameter needs a `type` or a `default`"]


@pytest.mark.parametrize(
    ("alias", "kind"), [("string", "str"), ("Integer", "int"), ("boolean", "bool"), ("dat", "date")]
)
def test_types_of_other_languages_lead_to_ours(alias: str, kind: str) -> None:
    reading = Reading()
    ParamField().read({"type": alias}, ("x",), reading)
    assert reading.faults[0].hint == f'did you mean "{kind}"?'


def test_the_schema_of_parameters() -> None:
    check = jsonschema.Draft202012Validator(ParamField().schema()).is_valid
    assert all(check(value) for value in ("x", 1, 1.5, True, [], {"type": "int"}, {"default": {"a": 1}}))
    assert not any(check(value) for value in ({"a": 1}, {"type": "integer"}, {"type": "int", "min": "1"}))


def matrix(value: Any) -> tuple[Any, list[str]]:
    reading = Reading()
    found = MatrixField().read(value, ("m",), reading)
    return found, [f"{'.'.join(fault.key)}: {fault.message}" for fault in reading.faults]


def test_axes_keep_their_order() -> None:
    value = {"b": [1, 2], "exclude": [{"b": 1}], "a": ["x"], "include": [{"a": "y", "b": 3}]}
    found, said = matrix(value)
    assert found == Matrix(axes={"b": (1, 2), "a": ("x",)}, exclude=({"b": 1},), include=({"a": "y", "b": 3},))
    assert list(found.axes) == ["b", "a"]
    assert not said


def test_faults_of_a_matrix() -> None:
    assert matrix(["a"]) == (MISSING, ["m: expected a table, not an array"])
    found, said = matrix({"a": "x", "exclude": {"a": 1}, "include": ["y", {"a": "z"}]})
    assert found == Matrix(axes={"a": ("x",)}, include=({"a": "z"},))
    assert said == [
        'm.a: expected an array of the values of this axis, not the text "x"',
        "m.exclude: expected an array, not a table",
        'm.include.0: expected a table such as { model = "gbm" }, not the text "y"',
    ]


def test_the_schema_of_matrices() -> None:
    check = jsonschema.Draft202012Validator(MatrixField().schema()).is_valid
    assert check({"a": [1], "exclude": [{"a": 1}]})
    assert not any(check(value) for value in ({}, {"a": []}, {"a": "x"}, {"a": [1], "exclude": {"a": 1}}))


def test_a_secret_is_a_reference() -> None:
    field, reading = SecretField(), Reading()
    assert field.read("env:X", ("A",), reading) == "env:X"
    assert field.read("hunter2", ("B",), reading) is MISSING
    assert field.read(5, ("C",), reading) is MISSING
    assert [fault.key for fault in reading.faults] == [("B",), ("C",)]
    check = jsonschema.Draft202012Validator(field.schema()).is_valid
    assert check("env:X")
    assert check("cmd:a b")
    assert not check("plain")
    assert not check(5)


@pytest.mark.parametrize(
    ("value", "found", "fault"),
    [
        (["a", {"b": 1}], ("a", {"b": 1}), None),
        ([], (), None),
        ("{{ tasks.a.outputs.x }}", "{{ tasks.a.outputs.x }}", None),
        ("  ", (), "expected a list, or a template that gives one, not the text"),
        (3, (), "expected a list, or a template that gives one, not the number 3"),
        ({"in": [1]}, (), "expected a list, or a template that gives one, not a table"),
    ],
)
def test_a_list_of_items(value: Any, found: Any, fault: str | None) -> None:
    reading = Reading()
    assert ForEachField().read(value, ("t", "for_each"), reading) == found
    assert [one.message.startswith(fault or "?") for one in reading.faults] == ([True] if fault else [])
    assert reading.unclear == ({("t", "for_each")} if fault else set())
