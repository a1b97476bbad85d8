"""Tables with known keys: unknown, misplaced, later and missing ones."""

from __future__ import annotations

from typing import Any

import jsonschema

from nbflow.config.shape import MISSING, Anything, Reading, Whole
from nbflow.config.table import ALIASES, Key, Table

TASK = Table(
    example='{ notebook = "..." }',
    elsewhere=lambda name: "a pipeline" if name == "schedule" else None,
    keys={
        "notebook": Key(kind=Anything(), doc="The notebook.", required=True),
        "needs": Key(kind=Anything(), doc="Upstreams."),
        "retries": Key(kind=Whole(), doc="Retries."),
        "params": Key(kind=Anything(), doc="Values."),
        "cache": Key(kind=Anything(shape={"type": "boolean"}), doc="Cache.", later=True),
    },
)


def read(value: Any, *, partial: bool = False) -> tuple[Any, list[str], Reading]:
    reading = Reading(partial=partial)
    found = TASK.read(value, ("t",), reading)
    said = [f"{'.'.join(f.key)}: {f.message}" + (f" ({f.hint})" if f.hint else "") for f in reading.faults]
    return found, said, reading


def test_known_keys_are_read() -> None:
    assert read({"notebook": "a", "retries": 2})[:2] == ({"notebook": "a", "retries": 2}, [])


def test_all_faults_at_once_and_the_good_keys_are_kept() -> None:
    found, said, _ = read({"depends_on": [], "retries": -1, "cache": True, "schedule": "x", "zzz": 1, "needs": []})
    assert found == {"needs": []}
    assert said == [
        't.depends_on: unknown key (did you mean "needs"?)',
        "t.retries: expected a whole number from 0 to 1000000, not the number -1",
        "t.cache: not supported yet: cache",
        "t.schedule: does not belong here (`schedule` belongs in a pipeline)",
        "t.zzz: unknown key (known keys: cache, needs, notebook, params, retries)",
        't.notebook: `notebook` is missing ({ notebook = "..." })',
    ]


def test_a_key_that_was_meant_is_not_missing_too() -> None:
    assert read({"file": "a.ipynb"})[1] == ['t.file: unknown key (did you mean "notebook"?)']
    assert read({"notebok": "a.ipynb"})[1] == ['t.notebok: unknown key (did you mean "notebook"?)']
    assert read({"Notebook": "a.ipynb"})[1] == ['t.Notebook: unknown key (did you mean "notebook"?)']


def test_something_that_is_no_table_is_told_what_to_write() -> None:
    found, said, _ = read("a.ipynb")
    assert found is MISSING
    assert said == ['t: expected a table, not the text "a.ipynb" (write { notebook = "a.ipynb" })']


def test_nothing_is_required_or_later_in_a_profile() -> None:
    assert read({"cache": True}, partial=True)[1] == []
    assert read({"cach": True}, partial=True)[1] == ['t.cach: unknown key (did you mean "cache"?)']


def test_a_later_key_is_unclear() -> None:
    assert read({"notebook": "a", "cache": True})[2].unclear == {("t", "cache")}


def test_the_schema_knows_what_reading_knows() -> None:
    schema = TASK.schema()
    check = jsonschema.Draft202012Validator(schema).is_valid
    assert check({"notebook": "a", "cache": True})
    assert not check({"notebook": "a", "cache": 3})
    assert not check({"needs": []})
    assert not check({"notebook": "a", "depends_on": []})
    assert schema["properties"]["cache"]["description"] == "Cache. (Not supported yet.)"


def test_words_of_other_tools_stand_for_one_key_each() -> None:
    assert ALIASES["depends_on"] == ALIASES["dependencies"] == ALIASES["upstream"] == ALIASES["after"] == "needs"
    assert ALIASES["cron"] == "schedule"
    assert not set(ALIASES) & set(ALIASES.values())
