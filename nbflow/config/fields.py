"""Keys whose values have a form of their own: a parameter of a pipeline, a task's copies, its resources, a secret.

Must not know what a notebook declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbflow.config import later
from nbflow.config.shape import MISSING, Anything, Choice, ListOf, Number, Reading, Schema, Size, Text
from nbflow.config.table import Key, Table
from nbflow.core.faults import KeyPath
from nbflow.core.params import infer_type
from nbflow.core.secrets import LONGEST, BadReference, Scheme, parse_reference
from nbflow.core.spec import Matrix, Param, ParamType

TYPE_ALIASES: Mapping[str, str] = {
    "string": "str",
    "text": "str",
    "integer": "int",
    "number": "float",
    "double": "float",
    "boolean": "bool",
    "timestamp": "datetime",
    "file": "path",
    "array": "list",
    "object": "dict",
    "table": "dict",
    "map": "dict",
}

PARAM = Table(
    example='{ type = "int", default = 1 }',
    keys={
        "type": Key(
            kind=Choice(options=ParamType, aliases=TYPE_ALIASES), doc="Type; without it, the type of `default`."
        ),
        "default": Key(kind=Anything(), doc="Value where a run gives none; without it, every run must give one."),
        "options": Key(kind=ListOf(item=Anything()), doc="The only values that are allowed."),
        "min": Key(kind=Number(), doc="Least value of a number."),
        "max": Key(kind=Number(), doc="Greatest value of a number."),
        "description": Key(kind=Text(), doc="What it means, for people."),
    },
)

RESOURCES = Table(
    example='{ memory = "4GB" }',
    keys={
        "cpu": Key(kind=Number(least=0.01), doc="Cores that the kernel and what it starts get at most; default all."),
        "memory": Key(
            kind=Size(least=16_000_000),
            doc='Memory that the kernel and what it starts may use, such as "4GB": beyond it the attempt fails; '
            "default no limit.",
        ),
        "gpu": Key(kind=later.NUMBER, doc="Graphics processors for an executor to find.", later=True),
    },
)


class ParamField:
    """A parameter: a plain value, whose type is inferred, or a table. Read as a Param, also where it is faulty."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        name = at[-1]
        if not isinstance(value, dict):
            return Param(name=name, type=infer_type(value), default=value)
        if not value.keys() & PARAM.keys.keys():
            hint = 'a table as a value is written { type = "dict", default = { ... } }'
            reading.fault(at, "neither `type` nor `default` is given", hint)
            return Param(name=name, type=ParamType.ANY)
        found = PARAM.read(value, at, reading)
        if "type" not in found:
            found["type"] = self._inferred(value, found, at, reading)
        return Param(name=name, required="default" not in value, **found)

    def schema(self) -> Schema:
        plain = {"type": ["string", "number", "boolean", "array"]}
        return {"anyOf": [plain, PARAM.schema()]}

    def _inferred(self, raw: Any, found: Mapping[str, Any], at: KeyPath, reading: Reading) -> ParamType:
        if "type" in raw:
            return ParamType.ANY  # it is there and wrong, which has been said
        if "default" in found:
            return infer_type(found["default"])
        if found.get("options"):
            return infer_type(found["options"][0])
        if not reading.partial:
            reading.fault(at, "a parameter needs a `type` or a `default`", PARAM.example)
        return ParamType.ANY


class MatrixField:
    """The axes of a task's copies: each key an axis with its values, besides `exclude` and `include`."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return reading.wrong(at, "a table", value, 'write { model = ["ridge", "gbm"] }')
        axes = {}
        for name, values in value.items():
            if name in {"exclude", "include"}:
                continue
            if not isinstance(values, list):
                reading.wrong((*at, name), "an array of the values of this axis", values)
            axes[name] = tuple(values) if isinstance(values, list) else (values,)
        return Matrix(
            axes=axes,
            exclude=self._tables(value.get("exclude", []), (*at, "exclude"), reading),
            include=self._tables(value.get("include", []), (*at, "include"), reading),
        )

    def schema(self) -> Schema:
        tables = {"type": "array", "items": {"type": "object", "minProperties": 1}}
        return {
            "type": "object",
            "minProperties": 1,
            "properties": {"exclude": tables, "include": tables},
            "additionalProperties": {"type": "array", "minItems": 1},
        }

    def _tables(self, value: Any, at: KeyPath, reading: Reading) -> tuple[Mapping[str, Any], ...]:
        items = ListOf(item=Anything()).read(value, at, reading)
        if items is MISSING:
            return ()
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                reading.wrong((*at, str(index)), 'a table such as { model = "gbm" }', item)
        return tuple(item for item in items if isinstance(item, dict))


class ForEachField:
    """The list of `for_each`, or the template that gives it."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, str) and value.strip():
            return value
        reading.wrong(at, "a list, or a template that gives one", value, 'such as "{{ tasks.clean.outputs.files }}"')
        return ()  # the task is meant to have copies, so that its `item` is no fault

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]}


class SecretField:
    """A reference to a secret. Whatever stands here instead may be the secret: it is not shown in any message."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, str):
            return reading.fault(at, "a reference is a text", 'such as "env:WAREHOUSE_URL"')
        try:
            parse_reference(value)
        except BadReference as error:
            return reading.fault(at, error.message, error.hint)
        return value

    def schema(self) -> Schema:
        return {
            "type": "string",
            "pattern": f"^({'|'.join(Scheme)}):.+",
            "maxLength": LONGEST,
            "description": 'Where the value is found: "env:NAME", "file:PATH", "cmd:PROGRAM ARGUMENTS" or '
            '"keyring:SERVICE/NAME".',
        }
