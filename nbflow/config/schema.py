"""The JSON Schema of `pipelines.toml`, for editors: made from the same table of keys that files are read by."""

from __future__ import annotations

from typing import Any

from nbflow.config.keys import FILE, PROFILE
from nbflow.config.shape import Schema
from nbflow.core.spec import NAME_PATTERN

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """A JSON Schema (draft 2020-12) that accepts what `validate` finds no fault of shape in.

    Keys that are known and not supported yet are described too, so that an editor can say so.
    """
    schema = FILE.schema()
    schema["properties"]["profiles"] = {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": _without_required(PROFILE.schema()),
        "description": schema["properties"]["profiles"]["description"],
    }
    return {"$schema": DIALECT, "title": "nbflow pipelines.toml", **schema}


def _without_required(schema: Any) -> Any:
    """A profile holds parts of tables: nothing in it is required."""
    if isinstance(schema, dict):
        return {key: _without_required(value) for key, value in schema.items() if key != "required"}
    return [_without_required(item) for item in schema] if isinstance(schema, list) else schema
