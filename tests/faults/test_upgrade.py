"""nbflow was upgraded, or downgraded, between a crash and `resume`: the run goes on, or it is said why it does not.

`earlier` holds what the nbflow of each earlier schema had left in a project when all its processes were killed in the
second task: the store as SQL, the journals, and the notebook of the first task. `@ROOT@` stands for the project.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.store.migrate import migrations
from support.projects import Project, project

EARLIER = Path(__file__).parent / "earlier"
RUN = "small-20261122T210000-k3fa"
STATE = Path("outputs/.nbflow")
JOURNALS = STATE / "journals" / RUN


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", (EARLIER / "project/pipelines.toml").read_text("utf-8")) as made:
        for notebook in (EARLIER / "project").glob("*.ipynb"):
            shutil.copy(notebook, made.root)
        yield made


def leave(made: Project, version: int) -> None:
    """Put what an earlier nbflow has left into the project."""
    source, folder = EARLIER / f"schema-{version}", made.root / "outputs/small" / RUN

    def text(name: str) -> str:
        return (source / name).read_text("utf-8").replace("@ROOT@", str(made.root))

    folder.mkdir(parents=True)
    (made.root / JOURNALS).mkdir(parents=True, mode=0o700)
    for name in ("first.ipynb", "first.html"):
        shutil.copy(source / name, folder)
    for name in ("first.1.jsonl", "second.1.jsonl"):
        (made.root / JOURNALS / name).write_text(text(name), "utf-8")
    with closing(sqlite3.connect(made.root / STATE / "state.db")) as store:
        store.executescript(text("store.sql"))
    (made.root / STATE / "state.db").chmod(0o600)


def test_each_earlier_schema_is_there() -> None:
    assert (
        sorted(one.name for one in EARLIER.glob("schema-*")) == [f"schema-{step.number}" for step in migrations()][:-1]
    )


@pytest.mark.parametrize("version", [step.number for step in migrations()][:-1])
def test_a_run_that_an_earlier_nbflow_left_goes_on(made: Project, version: int) -> None:
    leave(made, version)
    said = made.call("resume", RUN, "--json")
    assert said.code == 0, said.out + said.err
    assert "was interrupted" not in said.err, "it goes on"
    state = made.check()[RUN]
    assert [(name, task.attempt) for name, task in state.tasks.items()] == [
        ("first", 1),
        ("second", 2),
        ("third[a]", 1),
        ("third[b]", 1),
    ]
    lost = json.loads((made.root / "outputs/small" / RUN / "attempts/second.1.ipynb").read_text("utf-8"))
    cells = [cell for cell in lost["cells"] if cell["cell_type"] == "code"]
    assert [cell["metadata"]["nbflow"]["state"] for cell in cells] == ["ok", "ok", "ok", "killed"]
    assert "n is 7" in "".join(cells[2]["outputs"][0]["text"])


def change(made: Project, sql: str) -> None:
    with closing(sqlite3.connect(made.root / STATE / "state.db", isolation_level=None)) as store:
        store.execute(sql)


TELEPORTED = "UPDATE events SET type = 'task_teleported' WHERE type = 'attempt_started'"
TRANSCENDED = "UPDATE events SET body = replace(body, '\"succeeded\"', '\"transcended\"') WHERE type = 'attempt_ended'"


def test_what_a_later_nbflow_has_recorded_is_refused_by_name(made: Project) -> None:
    """A word or an event that is not known; the schema is ours. What can be listed is, and nothing is changed."""
    leave(made, migrations()[-2].number)
    assert [run["state"] for run in made.runs()] == ["interrupted"]
    for sql, *commands in ((TRANSCENDED, "show"), (TELEPORTED, "resume", "logs")):
        change(made, sql)
        for command in commands:
            said = made.call(command, RUN)
            assert said.code == 6, said.out + said.err
            assert "the store holds something that this nbflow cannot read" in said.err
            assert "hint: upgrade nbflow" in said.err
            assert len(said.err.splitlines()) <= 5
    assert [run["state"] for run in made.runs()] == ["interrupted"]


def test_a_dead_run_that_a_later_nbflow_has_recorded_is_in_nobodys_way(made: Project) -> None:
    leave(made, migrations()[-2].number)
    change(made, TELEPORTED)
    before = [file.read_bytes() for file in sorted((made.root / JOURNALS).iterdir())]
    said = made.call("run", "small")
    assert said.code == 0, said.out + said.err
    states = {run["run"]: run["state"] for run in made.runs()}
    assert states.pop(RUN) == "interrupted"
    assert list(states.values()) == ["succeeded"]
    assert [file.read_bytes() for file in sorted((made.root / JOURNALS).iterdir())] == before


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"type": "attempt", "version": 99}, "its journal is of version 99, and this nbflow reads version 1"),
        ({"type": "attempt", "version": 1}, "its journal holds what this nbflow cannot read: KeyError('document')"),
    ],
)
def test_a_journal_of_a_later_nbflow_is_named_and_kept(made: Project, record: dict[str, object], said: str) -> None:
    """The attempt is lost as any other; its notebook can be made of the journal by whoever can read that."""
    leave(made, migrations()[-2].number)
    journal = made.root / JOURNALS / "second.1.jsonl"
    lines = journal.read_text("utf-8").splitlines(keepends=True)
    journal.write_text("".join([json.dumps(record) + "\n", *lines[1:]]), "utf-8")
    assert [run["state"] for run in made.runs()] == ["interrupted"]
    second = made.call("show", RUN, "--json").json["tasks"][1]
    assert second["error"]["kind"] == "lost"
    assert said in second["error"]["message"]
    resumed = made.call("resume", RUN)
    assert resumed.code == 0, resumed.out + resumed.err
    made.check()
    assert journal.exists()
