"""A first file from a folder of notebooks: it always loads and validates."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nbflow.config.check import check
from nbflow.config.initial import initial_file
from nbflow.config.starter import starter_notebooks
from nbflow.core.spec import Param, ParamType
from support.folders import KERNELS, Folder, brief, document


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    root = tmp_path / "Sales 2026"
    root.mkdir()
    return Folder(root)


def initial(folder: Folder) -> dict[str, Any]:
    """What the text says, once it was checked that the project has no problem."""
    text = initial_file(folder.root, kernels=lambda: KERNELS)
    folder.write("pipelines.toml", text)
    checked = check(folder.file, kernels=lambda: KERNELS)
    assert checked.spec is not None, brief(checked.problems)
    (pipeline,) = checked.spec.pipelines.values()
    return {
        "text": text,
        "name": pipeline.name,
        "needs": {name: list(task.needs) for name, task in pipeline.tasks.items()},
        "paths": [task.notebook for task in pipeline.tasks.values()],
        "params": dict(pipeline.params),
        "pipeline": pipeline,
    }


def test_numbers_give_the_order_and_equal_ones_run_side_by_side(folder: Folder) -> None:
    for name in ("10_report", "2_clean", "02 - check", "1-extract"):
        folder.notebook(f"{name}.ipynb")
    found = initial(folder)
    assert found["name"] == "Sales_2026"
    assert found["needs"] == {
        "extract": [],
        "check": ["extract"],
        "clean": ["extract"],
        "report": ["check", "clean"],
    }
    assert "alphabet" not in found["text"]


def test_names_without_numbers_run_in_alphabetical_order_and_the_file_says_so(folder: Folder) -> None:
    for name in ("c", "a10", "a9"):
        folder.notebook(f"{name}.ipynb")
    found = initial(folder)
    assert found["needs"] == {"a9": [], "a10": ["a9"], "c": ["a10"]}
    assert "# File names say no order" in found["text"]


def test_odd_names_become_legal_and_unique(folder: Folder) -> None:
    names = [
        "-a b",
        "a{b}",
        "é",
        "日本",
        "con",
        "index",
        "A b",
        "1",
        "x" * 100,
        'q"uote',
        "new\nline",
        "99 %",
        "_",
        "a.b",
    ]
    for name in names:
        folder.notebook(f"{name}.ipynb")
    found = initial(folder)
    assert sorted(found["paths"]) == sorted(f"{name}.ipynb" for name in names)
    assert len({name.lower() for name in found["needs"]}) == len(names)
    assert not {"con", "index"} & set(found["needs"])


@pytest.mark.parametrize(
    ("name", "legal"), [("reports", "reports_2"), ("2026", "main_2026"), ("日本", "main"), ("aux", "aux_2")]
)
def test_the_pipeline_is_named_after_the_folder(tmp_path: Path, name: str, legal: str) -> None:
    (tmp_path / name).mkdir()
    folder = Folder(tmp_path / name)
    folder.notebook("a.ipynb")
    assert initial(folder)["name"] == legal


def test_parameters_that_mean_the_same_everywhere_become_those_of_the_run(folder: Folder) -> None:
    folder.notebook(
        "1_a.ipynb", "from pathlib import Path\nregion = 'eu'\nout = Path('x')\nlimit: float = 1\nonly = [1, 'x']"
    )
    folder.notebook("2_b.ipynb", "region = 'eu'  # the region\nrate = 1\nconf = {'a': 1}\nneeded: int\nnothing = None")
    folder.notebook(
        "3_c.ipynb", "rate = 2\nnow = compute()\nname = '{{ x }}'\nlong = 'x' * 3\nbig = '" + "x" * 300 + "'"
    )
    found = initial(folder)
    assert found["params"]["region"] == Param(name="region", type=ParamType.STR, default="eu")
    assert found["params"]["out"] == Param(name="out", type=ParamType.PATH, default="x")
    assert found["params"]["limit"].type is ParamType.FLOAT
    assert found["params"]["only"].default == [1, "x"]
    assert found["params"]["conf"] == Param(name="conf", type=ParamType.DICT, default={"a": 1})
    assert found["params"]["needed"] == Param(name="needed", type=ParamType.INT, required=True)
    assert not {"rate", "now", "name", "nothing", "big"} & set(found["params"])
    assert "# rate is not the same in 2_b.ipynb, 3_c.ipynb" in found["text"]
    assert "# now (3_c.ipynb) keeps its default: it is computed by code" in found["text"]
    assert "# name (3_c.ipynb) keeps its default: it would be read as a template" in found["text"]
    assert "# nothing (2_b.ipynb) keeps its default: it is None, which TOML has not" in found["text"]


def test_notebooks_that_cannot_run_are_left_out_and_named(folder: Folder, tmp_path: Path) -> None:
    folder.notebook("good.ipynb")
    folder.write("empty.ipynb", "")
    folder.write("evil\n[x].ipynb", "{")
    outside = Folder(tmp_path).notebook("outside.ipynb")
    (folder.root / "link.ipynb").symlink_to(outside)
    (folder.root / "loop.ipynb").symlink_to("loop.ipynb")
    found = initial(folder)
    assert found["paths"] == ["good.ipynb"]
    assert "# empty.ipynb is left out: the notebook is empty (no bytes in it)\n" in found["text"]
    assert "# evil\\n[x].ipynb is left out: not a notebook" in found["text"]
    assert "# link.ipynb is left out: it is a link that leaves the folder\n" in found["text"]


def test_a_notebook_that_names_no_kernel_gets_one(folder: Folder) -> None:
    folder.notebook("a.ipynb", kernel=None)
    folder.notebook("b.ipynb", kernel="ir", language="R")
    tasks = initial(folder)["pipeline"].tasks
    assert (tasks["a"].kernel, tasks["b"].kernel) == ("python3", None)


def test_a_kernel_that_is_not_installed_is_replaced_for_python_and_else_leaves_the_notebook_out(folder: Folder) -> None:
    folder.notebook("a.ipynb", kernel="my-env")
    folder.notebook("b.ipynb", kernel="julia-1.9", language="julia")
    folder.notebook("c.ipynb", kernel=None, language="R")
    folder.notebook("d.ipynb", kernel="IR", language="R")
    (folder.root / "c.ipynb").write_text(
        json.dumps(document() | {"metadata": {"language_info": {"name": "R"}}}), "utf-8"
    )
    found = initial(folder)
    assert {name: task.kernel for name, task in found["pipeline"].tasks.items()} == {"a": "python3", "d": None}
    assert 'kernel = "python3" }  # its kernel "my-env" is not installed\n' in found["text"]
    assert '# b.ipynb is left out: its kernel "julia-1.9" is not installed\n' in found["text"]
    assert "# c.ipynb is left out: it names no kernel\n" in found["text"]
    text = initial_file(folder.root, kernels=lambda: {"ir": "R"})
    assert '# a.ipynb is left out: its kernel "my-env" is not installed\n' in text


def test_notebooks_of_the_notebooks_folder_are_found(folder: Folder) -> None:
    folder.notebook("notebooks/a.ipynb")
    assert initial(folder)["paths"] == ["notebooks/a.ipynb"]
    folder.notebook("notebooks/deep/b c.ipynb")
    assert initial(folder)["paths"] == ["notebooks/a.ipynb", "notebooks/deep/b c.ipynb"]
    folder.notebook("b.ipynb")
    found = initial(folder)
    assert found["needs"] == {"b": [], "a": ["b"], "b_c": ["a"]}
    assert found["paths"] == ["b.ipynb", "notebooks/a.ipynb", "notebooks/deep/b c.ipynb"]


def test_notebooks_in_other_folders_are_found(folder: Folder) -> None:
    folder.notebook("analysis/2 fit.ipynb")
    folder.notebook("analysis/1 load.ipynb")
    folder.notebook("report/1 load.ipynb")
    folder.notebook("report/1 plot.ipynb")
    folder.write("report/odd [x]/bad.ipynb", "{")
    found = initial(folder)
    assert found["needs"] == {
        "analysis_load": [],
        "fit": ["analysis_load"],
        "report_load": ["fit"],
        "plot": ["fit"],
    }
    assert found["paths"][0] == "analysis/1 load.ipynb"
    assert "# Folders come one after another" in found["text"]
    assert "# report/odd [x]/bad.ipynb is left out: not a notebook" in found["text"]


def test_an_empty_folder_gets_a_start_that_works(folder: Folder) -> None:
    text = initial_file(folder.root)
    for path, notebook in starter_notebooks().items():
        folder.write(path, json.dumps(notebook))
    checked = folder.check(text)
    assert checked.spec is not None
    assert not brief(checked.problems)
    assert list(checked.spec.pipelines["Sales_2026"].tasks) == ["extract", "report"]


def test_a_folder_of_nothing_but_broken_notebooks_gets_the_start_too(folder: Folder) -> None:
    folder.write("x.ipynb", "{")
    text = initial_file(folder.root)
    assert text.startswith("# x.ipynb is left out")
    assert "extract" in tomllib.loads(text)["pipelines"]["Sales_2026"]["tasks"]
