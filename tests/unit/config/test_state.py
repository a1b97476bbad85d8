"""Where a store may be: a file here, or the URL of a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbflow.config import state as module
from nbflow.config.shape import MISSING, Reading
from nbflow.config.state import POSSIBLE, StorePlace
from support.folders import Folder, brief

PIPELINE = '[pipelines.p.tasks]\na = { notebook = "a.ipynb" }\n'


def read(value: Any) -> tuple[Any, list[str]]:
    reading = Reading()
    found = StorePlace().read(value, ("nbflow", "state"), reading)
    return found, [fault.message for fault in reading.faults]


@pytest.mark.parametrize(
    "value", ["state.db", "/x/state.db", "postgresql://me@db/nbflow", "postgres:///x?host=/run/pg", "postgresql://"]
)
def test_places(value: str) -> None:
    assert read(value) == (value, [])


@pytest.mark.parametrize("value", ["", 1, "~/state.db", "mysql://me@db/x", "postgresql://me:p/w@db/x"])
def test_faults(value: Any) -> None:
    found, faults = read(value)
    assert found is MISSING
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("mysql://me:pw@db/x", "mysql://..."),
        ("sqlite:///x.db", "sqlite://..."),
        ("POSTGRESQL://me:pw@db/x", "POSTGRESQL://..."),
        ("postgresql+psycopg://me:pw@db/x", "postgresql+psycopg://..."),
        ("postgres:/me:pw@db/x", "postgres:..."),
        ("file:x.db", "file:..."),
    ],
)
def test_other_urls_are_refused_with_what_is_possible(value: str, shown: str) -> None:
    reading = Reading()
    assert StorePlace().read(value, ("nbflow", "state"), reading) is MISSING
    (fault,) = reading.faults
    assert (fault.message, fault.hint) == (f"a store cannot be at {shown}", POSSIBLE)
    assert "SQLite" in POSSIBLE
    assert "postgresql://" in POSSIBLE


@pytest.mark.parametrize("value", ["C:/x.db", "a/postgres:x", "x:y.db", "postgres.db"])
def test_paths_that_only_look_alike(value: str) -> None:
    assert read(value) == (value, [])


def test_schema() -> None:
    assert StorePlace().schema() == {"type": "string", "minLength": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.notebook("a.ipynb")
    return made


def test_a_url_is_no_path(folder: Folder) -> None:
    checked = folder.check(f'[nbflow]\nstate = "postgresql://me@db/nbflow"\n{PIPELINE}')
    assert checked.problems == []
    assert checked.spec is not None
    assert checked.spec.state == "postgresql://me@db/nbflow"


def test_a_password_is_warned_of_and_not_shown(folder: Folder) -> None:
    checked = folder.check(f'[nbflow]\nstate = "postgresql://me:hunter2@db/nbflow"\n{PIPELINE}')
    (said,) = brief(checked.problems)
    assert said.startswith("warning 2:9 nbflow.state: the URL of the store tells its password (keep it in ~/.pgpass")
    assert "hunter2" not in "".join(map(str, checked.problems))


@pytest.mark.parametrize(
    "text",
    [
        '[nbflow]\nstate = "postgresql://me:hun/ter2@db/nbflow"\n',
        'nbflow = { state = "postgresql://me:hunter2@db/nbflow", stat = 1 }\n',
        'nbflow = { state = "postgresql://db/x?password=hunter2&port=1", stat = 1 }\n',
        '[nbflow]\nstate = "postgresql://me:hunter2@db/nbflow\n',
    ],
)
def test_no_fault_of_its_line_shows_it_either(folder: Folder, text: str) -> None:
    problems = folder.check(text + PIPELINE).problems
    assert problems
    said = "\n".join(map(str, problems))
    assert "hun" not in said
    assert "ter2" not in said
    assert "state" in said


def test_a_package_that_is_missing_is_a_warning(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    checked = folder.check(f'[nbflow]\nstate = "postgresql://me@db/nbflow"\n{PIPELINE}')
    (problem,) = checked.problems
    assert problem.warning
    assert problem.hint == "install it: pip install 'jupyter-nbflow[postgres]'"
    assert folder.check(PIPELINE).problems == []
