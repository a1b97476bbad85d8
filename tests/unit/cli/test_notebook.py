"""show NOTEBOOK: what a notebook declares, whoever wrote it in whatever language."""

from __future__ import annotations

import json
from pathlib import Path

from support.commands import Shell

ALL = """\
from datetime import timedelta
limit: int | None = 10  # How many
wait = timedelta(hours=1)
rows = open("rows").read()
"""


def test_the_parameters_of_a_notebook(shell: Shell) -> None:
    shell.folder.notebook(
        "notebooks/a {b} 100%.ipynb", "from typing import Literal\nmode: Literal['full', 'delta'] = 'delta'\nday: str\n"
    )
    path = "notebooks/a {b} 100%.ipynb"
    document = shell("show", path, "--json").json
    assert document["notebook"] == path
    assert document["kernel"] == "python3"
    assert document["complete"]
    assert document["imports"] == ["typing"]
    assert document["tasks"] == []
    params = {one["name"]: one for one in document["params"]}
    assert params["mode"]["options"] == ["full", "delta"]
    assert params["day"]["required"]
    text = shell("show", path).out
    assert "delta" in text
    assert "required" in text


def test_a_notebook_needs_no_project_and_may_be_no_notebook(shell: Shell) -> None:
    shell.folder.file.unlink()
    shell.folder.notebook("a.ipynb")
    assert "no parameters: no cell is tagged `parameters`" in shell("show", "a.ipynb").out
    shell.folder.write("b.ipynb", json.dumps([]))
    said = shell("show", "b.ipynb")
    assert said.code == 2
    assert said.err.startswith("error: b.ipynb: ")


def test_all_that_is_known_of_a_parameter(shell: Shell) -> None:
    shell.folder.notebook("a.ipynb", ALL)
    document = shell("show", "a.ipynb", "--json").json
    known = {"required": False, "computed": False, "nullable": False, "options": [], "description": None}
    assert document["params"] == [
        {**known, "name": "limit", "type": "int", "default": 10, "nullable": True, "description": "How many"},
        {**known, "name": "wait", "type": "any", "default": "1:00:00"},
        {**known, "name": "rows", "type": "any", "default": None, "computed": True},
    ]
    text = shell("show", "a.ipynb").out
    assert "limit      int or none  10" in text
    assert "rows       any          computed" in text
    assert "datetime" in text


def test_a_notebook_of_the_project_by_the_end_of_its_path(shell: Shell) -> None:
    shell.folder.notebook("notebooks/deep/load.ipynb", "x = 1")
    shell.folder.write("pipelines.toml", '[pipelines.p.tasks]\na = { notebook = "deep/load.ipynb" }\n')
    for name in ("load.ipynb", "deep/load.ipynb", "notebooks/deep/load.ipynb"):
        document = shell("show", name, "--json").json
        assert Path(document["notebook"]).samefile("notebooks/deep/load.ipynb")
        assert document["tasks"] == ["p.a"]
    assert "p.a" in shell("show", "load.ipynb").out
    assert shell("show", "ad.ipynb").code == 3
    shell.folder.notebook("notebooks/other/load.ipynb", "x = 1")
    both = 'a = { notebook = "deep/load.ipynb" }\nb = { notebook = "other/load.ipynb" }\n'
    shell.folder.write("pipelines.toml", f"[pipelines.p.tasks]\n{both}")
    assert shell("show", "load.ipynb").code == 3


def test_a_file_with_mistakes_keeps_nobody_from_looking(shell: Shell) -> None:
    shell.folder.notebook("a.ipynb", "x = 1")
    shell.folder.write("pipelines.toml", "[pipelines.p.tasks]\na = 5\n")
    said = shell("show", "a.ipynb", "--json")
    assert (said.code, said.json["tasks"]) == (0, [])


def test_other_languages(shell: Shell) -> None:
    shell.folder.notebook("r.ipynb", "limit <- 5L  # How many", kernel="ir", language="R")
    document = shell("show", "r.ipynb", "--json").json
    assert (document["language"], document["complete"], document["params"][0]["default"]) == ("r", True, 5)
    shell.folder.notebook("part.ipynb", "limit <- 5L\ndays <- f()", kernel="ir", language="R")
    text = shell("show", "part.ipynb").out
    assert "limit" in text
    assert "there may be more: not all of the parameters cell could be read (r)" in text
