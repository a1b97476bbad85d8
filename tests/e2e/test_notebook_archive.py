"""The archive, case by case: what failed is kept and shown, nothing is added or guessed, and it can be run by hand."""

from __future__ import annotations

import json
from pathlib import Path

import papermill

from nbflow.core.attempt import Verdict
from support.attempts import bench, code, order, text
from support.folders import Folder
from support.real import command, finished, notebook_of, ran, valid

TASKS = """
[pipelines.p.params]
n = 1
[pipelines.p.tasks]
first = { notebook = "first.ipynb" }
second = { notebook = "second.ipynb", needs = ["first"], retries = 1, retry_delay = 0 }
third = { notebook = "first.ipynb", needs = ["second"] }
"""

FAILING = "from pathlib import Path\nprint('at', n)\nif not Path('ready').exists():\n    raise ValueError('not ready')"


def test_from_a_failure_to_a_notebook_that_runs_by_hand(tmp_path: Path) -> None:
    """A notebook that failed; a shell of a file from a crash; error banners as cells; part of a run again."""
    folder = Folder(tmp_path)
    folder.notebook("first.ipynb", None, "print('first')")
    source = folder.notebook("second.ipynb", "n = 0", FAILING, "print('after')")
    folder.write("pipelines.toml", TASKS)
    failed = finished(tmp_path, command(tmp_path, "run", "p", "--json", "-p", "n=5", code=1))
    place = tmp_path / "outputs/p" / failed["run"]

    # every attempt leaves a notebook with a page, and no cell is added but the injected one
    for name in ("second", "attempts/second.1"):
        found = valid(json.loads((place / f"{name}.ipynb").read_text("utf-8")))
        tags = [cell["metadata"].get("tags") for cell in found["cells"]]
        assert tags == [["parameters"], ["injected-parameters"], None, None]
        assert found["metadata"]["nbflow"]["error"]["cell"] == 2
        page = (place / f"{name}.html").read_text("utf-8")
        assert 'id="failed"' in page
        assert 'href="#failed"' in page
    assert "second.html#failed" in (place / "index.html").read_text("utf-8")

    # a file is no proof of a success, and a shell of one is no hindrance
    (place / "second.ipynb").write_bytes(b"")
    (place / "third.ipynb").write_bytes(b'{"cells": [')
    (tmp_path / "ready").touch()
    source.write_text(source.read_text("utf-8").replace("'after'", "'changed'"), "utf-8")

    # the plan is frozen; what has changed since is said
    plan = json.loads((place / "run.json").read_text("utf-8"))
    assert plan["params"] == {"n": 5}
    folder.write("pipelines.toml", TASKS.replace("n = 1", "n = 7"))
    said = command(tmp_path, "resume", "@last", with_errors=True)
    assert "changed since the run was planned: second.ipynb; it runs as it is now" in said
    done = json.loads(command(tmp_path, "show", "@last", "--json"))
    states = {task["task"]: (task["state"], task["attempts"]) for task in done["tasks"]}
    assert states == {"first": ("succeeded", 1), "second": ("succeeded", 3), "third": ("succeeded", 1)}
    second = notebook_of(tmp_path, done, "second")
    assert (text(second["cells"][2]), text(second["cells"][3])) == ("at 5\n", "changed\n")
    assert second["metadata"]["nbflow"]["source"]["changed"] is True
    assert text(notebook_of(tmp_path, done, "third")["cells"][0]) == "first\n"
    assert not list(place.rglob("*.tmp"))

    # archived notebooks can be opened and run by hand
    by_hand = str(tmp_path / "by hand.ipynb")
    papermill.execute_notebook(
        str(place / "second.ipynb"), by_hand, parameters={"n": 9}, cwd=tmp_path, progress_bar=False
    )
    again = json.loads(Path(by_hand).read_text("utf-8"))
    assert "at 9\n" in [text(cell) for cell in again["cells"]]


def test_an_archived_notebook_is_a_source_like_any_other(tmp_path: Path) -> None:
    """Archived notebooks can be opened and re-run by hand, by nbflow too: nothing of the first execution stays."""
    with bench(grace=10) as runs:
        done = order(tmp_path, code("n = 0", "parameters"), "print(n)", "1 / 0", params={"n": 1})
        _, first = ran(runs, done)
        (tmp_path / "again").mkdir()
        outcome, second = ran(runs, order(tmp_path / "again", document=first, params={"n": 2}))
    assert outcome.verdict is Verdict.FAILED
    assert len(second["cells"]) == len(first["cells"])
    assert [text(cell) for cell in second["cells"][:3]] == ["", "", "2\n"]
    facts = second["metadata"]["nbflow"]
    assert (facts["parameters"], facts["state"]) == ({"n": 2}, "failed")
