"""The JSON Schema against files that are right and wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nbflow.config.load import load
from nbflow.config.schema import json_schema

COMPLETE = (Path(__file__).parent / "complete.toml").read_text("utf-8")
TASKS = '[pipelines.p.tasks]\nx = { notebook = "x.ipynb" }\n'


def as_editors_see(text: str) -> Any:
    """Editors give dates to JSON Schema as text."""
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.json_path for error in validator.iter_errors(as_editors_see(text))]


def test_it_is_a_json_schema_that_can_be_written() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_the_complete_example_passes() -> None:
    assert errors(COMPLETE) == []


def test_every_key_has_a_description() -> None:
    def walk(schema: Any, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        missing = [f"{path}.{key}" for key, value in schema.get("properties", {}).items() if "description" not in value]
        own = [
            *schema.get("properties", {}).items(),
            ("*", schema.get("additionalProperties")),
            *enumerate(schema.get("anyOf", [])),
        ]
        return missing + [one for key, value in own for one in walk(value, f"{path}.{key}")]

    later = ("kernels", "executors", "alerts", "assets", "reports", "schedule", "exclude", "include")
    assert [one for one in walk(json_schema(), "") if not any(f".{key}" in one for key in later)] == []


WRONG = [
    ("nbflow.timezon = 'UTC'\n", "$.nbflow"),
    ("defaults.retries = -1\n", "$.defaults.retries"),
    ("defaults.retry_delay = '5 min'\n", "$.defaults.retry_delay"),
    ("pools.w = 0\n", "$.pools.w"),
    ("pools.'a b' = 1\n", "$.pools"),
    ("[pipelines.q]\ndescription = 'no tasks'\n", "$.pipelines.q"),
    ("[pipelines.q.tasks]\nx = 'x.ipynb'\n", "$.pipelines.q.tasks.x"),
    ("[pipelines.q.tasks]\nx = { needs = [] }\n", "$.pipelines.q.tasks.x"),
    ("[pipelines.q.tasks]\nx = { notebook = 'x', depends_on = [] }\n", "$.pipelines.q.tasks.x"),
    ("[pipelines.q.tasks]\nx = { notebook = 'x', run_if = 'maybe' }\n", "$.pipelines.q.tasks.x.run_if"),
    ("[pipelines.q.tasks]\nx = { notebook = 'x', timeout = 0 }\n", "$.pipelines.q.tasks.x.timeout"),
    ("[pipelines.q.tasks]\nx = { notebook = 'x', matrix = { a = 1 } }\n", "$.pipelines.q.tasks.x.matrix.a"),
    ("[pipelines.q]\nparams.x = { tipe = 'int' }\ntasks = {}\n", "$.pipelines.q.params.x"),
    ("profiles.prod.defaults.retrie = 1\n", "$.profiles.prod.defaults"),
    ("dags = 1\n", "$"),
]


@pytest.mark.parametrize(("text", "path"), WRONG)
def test_what_is_wrong_is_wrong_for_the_schema_and_for_loading(text: str, path: str, tmp_path: Path) -> None:
    assert errors(text + TASKS) == [path]
    file = tmp_path / "pipelines.toml"
    file.write_text(text + TASKS)
    assert load(file).spec is None


def test_a_profile_may_hold_parts(tmp_path: Path) -> None:
    text = TASKS + "[profiles.prod.pipelines.p]\ntasks.x.retries = 1\nparams.n = 2\n"
    assert errors(text) == []
