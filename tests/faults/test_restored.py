"""The store is restored from a backup that was made while a run went on: what the archive holds of its end is kept.

The backup is made by the first cell of the first task, so that it knows of one attempt that has begun.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.projects import Project, project

TOML = """
[pipelines.p.tasks]
a = { notebook = "a.ipynb", retries = 1, retry_delay = "0s" }
b = { notebook = "b.ipynb", needs = ["a"], params = { day = "{{ tasks.a.outputs.day }}" } }
"""
BACKUP = """
import nbflow, os, sqlite3
open('ledger', 'a').write(f'a{nbflow.run.attempt}\\n')
if not os.path.exists('backup.db'):
    sqlite3.connect('outputs/.nbflow/state.db').execute("VACUUM INTO 'backup.db'")
    FIRST
print('the text of a')
"""
GIVES = "from datetime import date\nnbflow.output('day', date(2026, 1, 31))"
USES = "print(repr(day))\nopen('ledger', 'a').write('b\\n')"
FAILS = "raise ValueError('at first')"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as made:
        made.notebook("b", USES, params="import datetime\nday: datetime.date = None")
        yield made


def begin(made: Project, first: str) -> tuple[str, Path]:
    """A run that ends well, and the backup in the place of its store; its id and its folder."""
    made.notebook("a", BACKUP.replace("FIRST", first), GIVES)
    said = made.call("run", "p", "--json")
    assert said.code == 0, said.out + said.err
    ((run, state),) = made.check().items()
    assert state.status == "succeeded"
    store = made.root / "outputs/.nbflow/state.db"
    for place in store.parent.glob("state.db*"):
        place.unlink()
    shutil.copy(made.root / "backup.db", store)
    store.chmod(0o600)
    return run, made.root / "outputs/p" / run


def notebooks(folder: Path) -> dict[str, bytes]:
    """The notebooks of a run and their pages."""
    names = [path for path in folder.rglob("*") if path.suffix in {".ipynb", ".html"} and path.name != "index.html"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def tasks(made: Project, run: str) -> dict[str, dict[str, Any]]:
    return {task["task"]: task for task in made.call("show", run, "--json").json["tasks"]}


def ledger(made: Project) -> list[str]:
    return (made.root / "ledger").read_text("utf-8").split()


def check_without(made: Project, kept: Path) -> None:
    """All invariants, but for a notebook that the store does not know."""
    kept.rename(made.root / "kept.ipynb")
    made.check()


def test_what_had_ended_is_adopted_and_nothing_is_lost(made: Project) -> None:
    run, folder = begin(made, "pass")
    before = notebooks(folder)
    assert {"a.ipynb", "a.html", "b.ipynb", "b.html"} == before.keys()
    assert made.call("doctor").code == 0
    assert [one["state"] for one in made.runs()] == ["interrupted"]
    assert notebooks(folder) == before
    found = tasks(made, run)
    assert [(name, task["state"]) for name, task in found.items()] == [("a", "succeeded"), ("b", "cancelled")]
    assert found["a"]["outputs"] == {"day": "2026-01-31"}
    assert json.loads((folder / "run.json").read_bytes())["state"] == "interrupted"
    assert "the text of a" in made.call("logs", f"{run}/a").out
    assert made.call("open", "--print", f"{run}/a").out.strip().endswith("a.html")

    said = made.call("resume", run)
    assert said.code == 0, said.out + said.err
    assert ledger(made) == ["a1", "b", "b"]
    after = notebooks(folder)
    (kept,) = (folder / "attempts").glob("b.1-*.ipynb")
    assert kept.read_bytes() == before["b.ipynb"]
    assert [after[name] for name in ("a.ipynb", "a.html")] == [before[name] for name in ("a.ipynb", "a.html")]
    (warning,) = json.loads(after["b.ipynb"])["metadata"]["nbflow"]["warnings"]
    assert f"attempts/{kept.name}" in warning
    assert "datetime.date(2026, 1, 31)" in after["b.ipynb"].decode(), "the type of what is handed on is kept"
    check_without(made, kept)
    assert made.call("prune", run, "--yes").code == 0
    assert not folder.exists()


@pytest.mark.slow
def test_an_attempt_that_had_made_way_is_adopted(made: Project) -> None:
    """It had failed, and a second one, which the backup does not know, had succeeded."""
    run, folder = begin(made, FAILS)
    before = notebooks(folder)
    assert {"a.ipynb", "attempts/a.1.ipynb", "b.ipynb"} < before.keys()
    assert [one["state"] for one in made.runs()] == ["interrupted"]
    assert notebooks(folder) == before
    found = tasks(made, run)["a"]
    assert (found["state"], found["error"]["message"]) == ("failed", "ValueError: at first")
    assert found["notebook"].endswith("attempts/a.1.ipynb")
    assert made.call("logs", f"{run}/a").code == 0

    said = made.call("resume", run)
    assert said.code == 0, said.out + said.err
    assert ledger(made) == ["a1", "a2", "b", "a2", "b"]
    after = notebooks(folder)
    assert after["attempts/a.1.ipynb"] == before["attempts/a.1.ipynb"]
    (kept,) = (folder / "attempts").glob("a.2-*.ipynb")
    assert kept.read_bytes() == before["a.ipynb"]
    (other,) = (folder / "attempts").glob("b.1-*.ipynb")
    assert other.read_bytes() == before["b.ipynb"]
    other.unlink()
    check_without(made, kept)
