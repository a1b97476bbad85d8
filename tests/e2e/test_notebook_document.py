"""The document, case by case: kernels that are not there, overrides, what a source keeps, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.attempt import Verdict
from support.attempts import Bench, bench, code, notebook, order, text
from support.folders import Folder
from support.real import command, finished, install_kernel, notebook_of, problems, ran

TASKS = """
[pipelines.p.tasks]
a = { notebook = "conda.ipynb" }
b = { notebook = "conda.ipynb", kernel = "python3" }
c = { notebook = "conda.ipynb", kernel = "julia-1.9" }
d = { notebook = "anonymous.ipynb" }
e = { notebook = "scala.ipynb", params = { n = 1 } }
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for JUPYTER_PATH with kernels that the machine itself has not."""
    folder = install_kernel(tmp_path_factory.mktemp("jupyter"), "other")
    return install_kernel(folder, "scala", language="scala")


@pytest.fixture(scope="module")
def runs(kernels: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernels))
        with bench() as made:
            yield made


def test_a_kernel_that_is_not_installed_here(tmp_path: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by `validate`, with those that are there and the key that overrides it; "R, Julia, Bash, Scala, SQL"."""
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    folder = Folder(tmp_path)
    folder.notebook("conda.ipynb", None, kernel="conda-env-x-py")
    folder.notebook("anonymous.ipynb", None, kernel=None)
    folder.notebook("scala.ipynb", "val n = 0", kernel="scala", language="scala")
    folder.write("pipelines.toml", TASKS)
    said = {key.removeprefix("pipelines.p.tasks."): messages for key, messages in problems(tmp_path).items()}
    (conda,), (julia,) = said["a.notebook"], said["c.kernel"]
    assert 'the kernel "conda-env-x-py" is not installed; installed: ' in conda
    assert "python3" in conda
    assert 'kernel = "..."' in conda
    assert 'the kernel "julia-1.9" is not installed' in julia
    assert not [key for key in said if key.startswith("b.")]
    (anonymous,) = said["d.notebook"]
    assert "names no kernel" in anonymous
    (scala,) = said["e.params.n"]
    assert "parameters cannot be written in 'scala'; languages that can take them: python, r, julia, bash" in scala


def test_the_kernel_is_overridden(runs: Bench, tmp_path: Path) -> None:
    """The archived metadata name the kernel that was used, its version, and "another environment"."""
    document = notebook(
        "import sys, time\nprint(sys.executable, sys.version.split()[0], time.tzname[0])", kernel="gone"
    )
    document["metadata"]["language_info"] = {"name": "python", "version": "2.7.18", "file_extension": ".old"}
    outcome, found = ran(runs, order(tmp_path, document=document, kernel="other"))
    assert outcome.kernel == "other"
    metadata = found["metadata"]
    assert metadata["kernelspec"] == {"display_name": "Our other", "language": "python", "name": "other"}
    interpreter, version, _ = text(found["cells"][0]).split()
    assert (metadata["language_info"]["version"], metadata["language_info"]["file_extension"]) == (version, ".py")
    environment = metadata["nbflow"]["environment"]
    assert (environment["kernel"], environment["python"]) == ("other", version)
    assert environment["kernel_version"].startswith("ipython ")
    assert os.path.realpath(environment["interpreter"]) == os.path.realpath(interpreter)
    assert environment["locale"]
    assert environment["timezone"]
    assert environment["packages"]["ipykernel"]
    assert list(environment["packages"]) == sorted(environment["packages"])


class TestBytes:
    def test_the_same_source_values_and_outputs_give_the_same_file_but_for_the_key(
        self, runs: Bench, tmp_path: Path
    ) -> None:
        """Deterministic bytes: no random ids, sorted keys, one newline; also where the source has no ids at all."""
        found = []
        for name in ("first", "second"):
            folder = tmp_path / name
            folder.mkdir()
            source = notebook(code("n = 0", "parameters"), "print('é')\n{'b': 1, 'a': n}", "1 / 0", "print('never')")
            for cell in source["cells"]:
                del cell["id"]
            done = order(folder, document=source, params={"n": 5})
            ran(runs, done)
            data = (Path(done.outputs) / "sales/sales-1/clean.ipynb").read_bytes()
            assert data.endswith(b"}\n")
            assert "é".encode() in data
            found.append(without_key(json.loads(data)))
        assert found[0] == found[1]
        assert [cell["id"] for cell in json.loads(found[0])["cells"]]

    def test_cell_metadata_of_others_and_all_that_is_not_ours_stay(self, runs: Bench, tmp_path: Path) -> None:
        """One key, `nbflow`, in a cell that ran; nothing else is touched, and the source file least of all."""
        theirs = {"mine": {"b": 1, "a": [2]}, "tags": ["x", "hide-input"], "slideshow": {"slide_type": "slide"}}
        cells = [
            {"cell_type": "markdown", "metadata": {"mine": 1}, "source": "![x](attachment:x.png)"}
            | {"attachments": {"x.png": {"image/png": "iVBORw0KGgo="}}},
            code("print(1)", metadata=dict(theirs)),
            {"cell_type": "raw", "metadata": {"format": "text/restructuredtext"}, "source": ".. raw::"},
            code("1 / 0", metadata={"collapsed": True}),
            code("2", metadata={"editable": False}),
        ]
        source = notebook(*cells)
        source["metadata"] |= {"toc": {"base_numbering": 1}, "authors": [{"name": "É"}]}
        done = order(tmp_path, document=source)
        before = Path(done.notebook).read_bytes()
        _, found = ran(runs, done)
        assert Path(done.notebook).read_bytes() == before
        assert len(found["cells"]) == len(cells)
        for cell, old in zip(found["cells"], source["cells"], strict=True):
            facts = cell["metadata"].pop("nbflow", None)
            assert (facts is not None) is (cell["cell_type"] == "code")
            assert cell["metadata"] == old["metadata"]
            assert (cell["id"], cell.get("attachments")) == (old["id"], old.get("attachments"))
            assert "".join(cell["source"]) == old["source"]
        kept = {key: found["metadata"][key] for key in ("toc", "authors")}
        assert kept == {"toc": {"base_numbering": 1}, "authors": [{"name": "É"}]}
        assert set(found["metadata"]) == {"toc", "authors", "kernelspec", "language_info", "nbflow"}


def without_key(document: dict[str, Any]) -> str:
    """The text of a document without the key `nbflow`."""
    for part in (document, *document["cells"]):
        part["metadata"].pop("nbflow", None)
    return json.dumps(document)


def test_a_source_of_200_mb(runs: Bench, tmp_path: Path) -> None:
    """Read once, journalled by what is new, built once: old outputs are dropped, and cost no journal.

    A tenth of that size, so that the test is short; its hash is recorded.
    """
    old = {"output_type": "stream", "name": "stdout", "text": "x" * 20_000_000}
    done = order(tmp_path, code("print('new')", outputs=[old]), "1")
    outcome, found = ran(runs, done)
    assert outcome.verdict is Verdict.SUCCEEDED
    assert text(found["cells"][0]) == "new\n"
    assert Path(done.journal).stat().st_size < 100_000
    digest = hashlib.sha256(Path(done.notebook).read_bytes()).hexdigest()
    assert found["metadata"]["nbflow"]["source"] == {"path": "source.ipynb", "sha256": digest, "changed": None}


def test_the_source_is_read_once_when_the_attempt_begins(runs: Bench, tmp_path: Path) -> None:
    """What ran is what is archived, though the file changes meanwhile."""
    overwrite = "from pathlib import Path\nPath('source.ipynb').write_text('something else')\nNone"
    done = order(tmp_path, overwrite, "print('as it was')")
    _, found = ran(runs, done)
    assert Path(done.notebook).read_text() == "something else"
    assert text(found["cells"][1]) == "as it was\n"


def test_every_key_of_an_executed_notebook_is_in_the_reference(runs: Bench, tmp_path: Path) -> None:
    """All volatile facts are under the key `nbflow`, and each of them is documented."""
    page = (Path(__file__).parents[2] / "docs/reference/executed-notebooks.md").read_text("utf-8")
    documented = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|([^|]*)\|", page, re.MULTILINE))))
    _, found = ran(runs, order(tmp_path, "1"))
    facts = found["metadata"]["nbflow"]
    keys = {*facts, *facts["environment"], *found["cells"][0]["metadata"]["nbflow"]}
    assert keys <= documented, keys - documented


REPORT = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
n: int = 1  # How many
name = "x"

# %% [markdown]
# # A report

# %%
import nbflow

nbflow.output("total", n + 1)
print(name, n)
"""
CHECK = """\
# A check

```python tags=["parameters"]
total = 0
```

```python
from pathlib import Path

print("total", total)
assert Path("good").exists()
```
"""
TEXT_TASKS = """
[pipelines.p.params]
n = { type = "int", default = 2 }

[pipelines.p.tasks]
report = { notebook = "report.py", params = { name = "given" } }

[pipelines.p.tasks.check]
notebook = "check.md"
kernel = "python3"
needs = ["report"]
params = { total = "{{ tasks.report.outputs.total }}" }
"""


def test_jupytext_py_and_md(tmp_path: Path) -> None:
    """A loader by file ending; the executed form is always `.ipynb`, which runs again and is paired with nothing."""
    folder = Folder(tmp_path)
    folder.write("report.py", REPORT)
    folder.write("check.md", CHECK)
    folder.write("pipelines.toml", TEXT_TASKS)
    assert not problems(tmp_path)
    (declared, _) = json.loads(command(tmp_path, "show", "report.py", "--json"))["params"]
    assert (declared["name"], declared["type"], declared["description"]) == ("n", "int", "How many")

    failed = finished(tmp_path, command(tmp_path, "run", "p", "-p", "n=5", "--json", code=1))
    report, check = (notebook_of(tmp_path, failed, task) for task in ("report", "check"))
    facts = report["metadata"]["nbflow"]
    digest = hashlib.sha256((tmp_path / "report.py").read_bytes()).hexdigest()
    assert facts["source"] == {"path": "report.py", "sha256": digest, "changed": False}
    assert facts["environment"]["kernel"] == "python3"
    assert [cell["metadata"].get("tags") for cell in report["cells"]] == [
        ["parameters"],
        ["injected-parameters"],
        None,
        None,
    ]
    assert text(report["cells"][3]).endswith("given 5\n")
    assert facts["environment"]["kernel_start"] == "forked", facts["environment"]
    assert "jupytext" not in report["metadata"]
    assert check["metadata"]["kernelspec"]["name"] == "python3"
    assert text(check["cells"][3]) == "total 6\n"

    folder.write("good", "")
    folder.write("check.md", CHECK.replace("A check", "A better check"))
    planned = json.loads(command(tmp_path, "plan", "p", "-p", "n=5", "-s", "state:modified", "--json"))
    assert {task["task"]: task["action"] for task in planned["tasks"]} == {"report": "reuse", "check": "run"}
    said = command(tmp_path, "resume", "@last", with_errors=True)
    assert "changed since the run was planned: check.md; it runs as it is now" in said
    assert "report.py" not in said
    assert "# A better check" in (tmp_path / "outputs/p" / failed["run"] / "check.ipynb").read_text()
    assert "check" in command(tmp_path, "explain", "@last")

    folder.write("again.ipynb", json.dumps(report))
    folder.write("pipelines.toml", '[pipelines.p.tasks]\na = { notebook = "again.ipynb", params = { n = 7 } }')
    rerun = notebook_of(tmp_path, finished(tmp_path, command(tmp_path, "run", "p", "--json")), "a")
    assert text(rerun["cells"][-1]).endswith("x 7\n")
    before, after = ([cell["id"] for cell in one["cells"] if not is_injected(cell)] for one in (report, rerun))
    assert before == after


def is_injected(cell: dict[str, Any]) -> bool:
    """Whether a cell sets the parameters of an execution."""
    return "injected-parameters" in cell["metadata"].get("tags", [])
