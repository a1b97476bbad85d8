"""A list that a real notebook makes, a real kernel for each item, ordered lists downstream, a resume, a part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.folders import document
from support.real import command, finished, notebook_of

PIPELINES = """\
[pipelines.sales.params]
limit = 10
[pipelines.sales.tasks]
clean = { notebook = "clean.ipynb" }
report = { notebook = "report.ipynb", needs = ["score"], params = { sizes = "{{ tasks.score.outputs.size }}" } }
[pipelines.sales.tasks.score]
notebook = "score.ipynb"
needs = ["clean"]
for_each = "{{ tasks.clean.outputs.files }}"
params = { file = "{{ item }}", limit = "{{ params.limit }}" }
"""
CLEAN = 'import nbflow\nnbflow.output("files", ["in/b.csv", "in/a.csv", "in/Ä.csv"])'
SCORE = """\
from pathlib import Path
import nbflow
if file == "in/a.csv" and not Path("mended").exists():
    raise ValueError("bad file")
nbflow.output("size", len(file) + limit)
"""


def states(run: dict[str, Any]) -> dict[str, str]:
    return {task["task"]: task["state"] for task in run["tasks"]}


def test_a_run_its_resume_and_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "pipelines.toml").write_text(PIPELINES, "utf-8")
    for name, params, code in (
        ("clean", None, CLEAN),
        ("score", 'file = ""\nlimit = 0', SCORE),
        ("report", "sizes = []", "import nbflow\nnbflow.output('sizes', sizes)"),
    ):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(document(params, code)), "utf-8")
    copies = ["score[in/b.csv]", "score[in/a.csv]", "score[in/Ä.csv]"]

    failed = finished(tmp_path, command(tmp_path, "run", "sales", "--json", code=1))
    assert states(failed) == {
        "clean": "succeeded",
        **dict(zip(copies, ("succeeded", "failed", "succeeded"), strict=True)),
        "report": "upstream_failed",
    }
    assert list(states(failed)) == ["clean", *copies, "report"]
    assert notebook_of(tmp_path, failed, copies[2])["metadata"]["nbflow"]["parameters"]["file"] == "in/Ä.csv"

    (tmp_path / "mended").touch()
    done = finished(tmp_path, command(tmp_path, "resume", "@last", "--json"))
    attempts = {task["task"]: task["attempts"] for task in done["tasks"]}
    assert attempts == {"clean": 1, copies[0]: 1, copies[1]: 2, copies[2]: 1, "report": 1}
    assert done["tasks"][-1]["outputs"] == {"sizes": [18, 18, 18]}
    page = (tmp_path / done["tasks"][0]["notebook"]).parent / "index.html"
    assert all(name in page.read_text("utf-8") for name in copies)

    part = finished(tmp_path, command(tmp_path, "run", "sales", "--select", "report", "--json"))
    assert states(part) == {"clean": "skipped", "score": "succeeded", "report": "succeeded"}
    assert part["tasks"][-1]["outputs"] == {"sizes": [18, 18, 18]}
    tried = command(tmp_path, "test", f"sales.{copies[2]}")
    assert "size = 18" in tried
    assert copies[0] not in tried


EMPTIED = """\
[pipelines.sales.tasks]
clean = { notebook = "clean.ipynb", matrix = { day = [1, 2] } }
alarm = { notebook = "alarm.ipynb", needs = ["score"], run_if = "one_failed" }
[pipelines.sales.tasks.score]
notebook = "score.ipynb"
needs = ["clean"]
run_if = "all_done"
for_each = "{{ [] if tasks.clean.outputs.rows[1] else ['missing'] }}"
"""


def test_a_list_that_is_empty_at_the_resume(tmp_path: Path) -> None:
    """Its copy of before has failed, and what came after that; now there is nothing left to do for either."""
    (tmp_path / "pipelines.toml").write_text(EMPTIED, "utf-8")
    works = 'from pathlib import Path\nassert Path("mended").exists()'
    for name, params, code in (
        ("clean", "day = 0", f"{works} or day == 1\nimport nbflow\nnbflow.output('rows', 1)"),
        ("score", None, works),
        ("alarm", None, works),
    ):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(document(params, code)), "utf-8")
    failed = finished(tmp_path, command(tmp_path, "run", "sales", "--json", code=1))
    copies = {"clean[1]": "succeeded", "clean[2]": "failed", "score[missing]": "failed"}
    assert states(failed) == {**copies, "alarm": "failed"}

    (tmp_path / "mended").touch()
    said = command(tmp_path, "resume", "@last")
    assert "score for_each has no items: there is nothing to run" in " ".join(said.split())
    done = json.loads(command(tmp_path, "show", "@last", "--json"))
    assert states(done) == {**dict.fromkeys(copies, "succeeded"), "score[missing]": "skipped", "alarm": "skipped"}
    assert done["tasks"][-1]["reason"] == "score succeeded (one_failed)"
    assert [task["attempts"] for task in done["tasks"]] == [1, 2, 1, 1]
    assert "'score' has no copies any more" in command(tmp_path, "logs", "@last/score", code=3, with_errors=True)
