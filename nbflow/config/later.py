"""Shapes of the keys that are known and not supported yet, for editors only (`schema.py`)."""

from __future__ import annotations

from nbflow.config.quantities import DURATION_PATTERN
from nbflow.config.shape import Anything, Schema
from nbflow.core.spec import NAME_PATTERN

_TEXT: Schema = {"type": "string", "minLength": 1}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_DURATION: Schema = {
    "anyOf": [{"type": "string", "pattern": f"^{DURATION_PATTERN}$"}, {"type": "number", "minimum": 0}]
}


def _table(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


def _named(kind: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": f"^{NAME_PATTERN}$"}, "additionalProperties": kind}


TEXT = Anything(shape=_TEXT)
TEXTS = Anything(shape=_TEXTS)
FLAG = Anything(shape={"type": "boolean"})
OVERLAP = Anything(shape={"enum": ["skip", "queue", "cancel", "allow"]})
NUMBER = Anything(shape={"type": "number", "minimum": 0})
SCHEDULE = Anything(
    shape={"anyOf": [_TEXT, _table(["cron"], cron=_TEXT, timezone=_TEXT, catchup={"enum": ["latest", "all", "none"]})]}
)
EXECUTORS = Anything(shape=_named({"type": "object", "properties": {"type": _TEXT}, "required": ["type"]}))
ALERTS = Anything(shape=_named({"type": "object", "minProperties": 1}))
REPORTS = Anything(
    shape=_named(
        _table(
            ["task"],
            task=_TEXT,
            formats={"type": "array", "items": {"enum": ["html", "pdf"]}},
            hide_code={"type": "boolean"},
            send_to=_TEXTS,
            keep=_DURATION,
            description=_TEXT,
        )
    )
)
_CHECK: Schema = {"type": "object", "properties": {"name": _TEXT, "type": _TEXT}, "required": ["name", "type"]}
ASSETS = Anything(
    shape=_named(
        {
            "type": "object",
            "properties": {
                "notebook": _TEXT,
                "path": _TEXT,
                "deps": _TEXTS,
                "description": _TEXT,
                "partitions": {"type": "object", "properties": {"type": _TEXT}, "required": ["type"]},
                "freshness": _table([], warn_after=_DURATION, error_after=_DURATION),
                "automation": {"enum": ["eager", "on_cron", "on_missing", "manual"]},
                "checks": {"type": "array", "items": _CHECK},
            },
        }
    )
)
