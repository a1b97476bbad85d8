"""Notebooks as text: read by their ending, the same each time; what cannot be read is refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import nbformat
import pytest

from nbflow import sources
from nbflow.config.notebooks import read_notebook
from nbflow.core.contract import read_contract
from nbflow.sources import MAX_TEXT, SourceFault, parse_source
from nbflow.worker import snapshot

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   made: 2026-01-31
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

"""
PERCENT = HEADER + '# %% tags=["parameters"]\nn: int = 1  # How many\n\n# %% [markdown]\n# # Title\n\n# %%\nprint(n)\n'
MYST = """\
---
kernelspec:
  name: ir
  display_name: R
---

# Title

```{code-cell} r
:tags: [parameters]
n <- 1L
```
"""


def refused(text: str | bytes, path: str = "x.py") -> SourceFault:
    with pytest.raises(SourceFault) as caught:
        parse_source(text.encode() if isinstance(text, str) else text, path)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_text_is_the_notebook_that_it_stands_for() -> None:
    """Without random ids, dates as text, and nothing that pairs it with its text file."""
    found = parse_source(PERCENT.encode(), "a/report.PY")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert found["metadata"] == {"kernelspec": kernel, "made": "2026-01-31"}
    assert [(cell["cell_type"], cell["source"], cell["metadata"]) for cell in found["cells"]] == [
        ("code", "n: int = 1  # How many", {"tags": ["parameters"]}),
        ("markdown", "# Title", {}),
        ("code", "print(n)", {}),
    ]
    assert parse_source(PERCENT.encode(), "report.py") == found
    nbformat.validate(snapshot.prepare(found, "n = 5"))


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_marks_of_windows_change_nothing(change: object) -> None:
    assert callable(change)
    assert parse_source(change(PERCENT).encode(), "x.py") == parse_source(PERCENT.encode(), "x.py")


def test_the_checker_and_the_worker_see_the_same(tmp_path: Path) -> None:
    path = tmp_path / "report.py"
    path.write_text(PERCENT)
    checked, source = read_notebook(path), snapshot.read_source(str(path))
    assert not checked.problems
    assert (checked.document, checked.sha256) == (source.document, source.sha256)
    assert checked.sha256 == sha256(path.read_bytes()).hexdigest()
    assert checked.kernel == "python3"
    assert read_contract(source.document).declared["n"].description == "How many"
    first, second = (snapshot.dumps(snapshot.prepare(source.document, "n = 2")) for _ in range(2))
    assert first == second
    assert all(cell["id"] for cell in json.loads(first)["cells"])


@pytest.mark.parametrize(
    ("text", "path", "sources"),
    [
        ("# +\nx = 1\n\ny = 2\n# -\nprint(x)\n", "x.py", ["x = 1\n\ny = 2", "print(x)"]),
        ("x = 1\ny = 2\n", "x.py", ["x = 1\ny = 2"]),
        ("#%%\n# %matplotlib inline\nx = 1\n", "x.py", ["%matplotlib inline\nx = 1"]),
        ("# {{{ one\nx = 1\n\ny = 2\n# }}}\n", "x.py", ["x = 1\n\ny = 2"]),
        ("only prose\n", "x.md", []),
        ("```python\nx = 1\n```\n\ntext\n", "x.md", ["x = 1"]),
        (MYST, "x.md", ["n <- 1L"]),
    ],
)
def test_formats_are_told_by_jupytext_itself(text: str, path: str, sources: list[str]) -> None:
    found = parse_source(text.encode(), path)
    assert [cell["source"] for cell in found["cells"] if cell["cell_type"] == "code"] == sources


def test_the_language_of_the_text_is_that_of_its_notebook() -> None:
    assert read_contract(parse_source(MYST.encode(), "x.md")).language == "r"
    assert read_contract(parse_source(MYST.replace("code-cell} r", "code-cell}").encode(), "x.md")).language == "python"
    assert read_contract(parse_source(b"x = 1\n", "x.py")).language == "python"
    cells = b'```R tags=["parameters"]\nn <- 1\n```\n\n```R\nn\n```\n'
    assert read_contract(parse_source(cells, "x.md")).language == "r"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (
            "#!/bin/python\n# ---\n# jupyter:\n#   kernelspec: [1\n# ---\n",
            "x.py",
            "its header is not valid YAML at line 4:",
        ),
        ("---\ntitle: a\njupyter:\n  a: 1\n   b: 2\n---\n", "x.md", "its header is not valid YAML at line 5: "),
        (MYST.replace("name: ir", "name: [ir"), "x.md", "its header is not valid YAML at line 4: "),
        (
            MYST.replace("[parameters]", "[parameters"),
            "x.md",
            "jupytext cannot read it: Code cell 1 at line 9 could not",
        ),
        (
            HEADER.replace("#     display_name: Python 3\n", ""),
            "x.py",
            "jupytext cannot read it: metadata.kernelspec: 'dis",
        ),
        (HEADER.replace("ipynb,py:percent", "py:none"), "x.py", "jupytext cannot read it: none is not a valid format"),
        ("# ---\n# jupyter:\n#   kernelspec: 3\n# ---\n", "x.py", "jupytext cannot read it: 'int' object has no"),
        ("# ---\n# jupyter:\n#   mine: &a\n#     a: *a\n# ---\n", "x.py", "jupytext cannot read it: "),
        ("x = 1\n# %% tags=parameters\nn = 1\n", "x.py", "the tags of code cell 2 cannot be read: tags=parameters"),
        ('```python tags=["a"\n1\n```\n', "x.md", "the tags of code cell 1 cannot be read: "),
        ("::: {.note}\ntext\n:::\n", "x.md", "the format pandoc is not one that jupytext reads by itself"),
        ("import marimo\napp = marimo.App()\n", "x.py", "the format marimo is not one that jupytext reads by itself"),
        ("#" * (MAX_TEXT + 1), "x.py", "the notebook has more than 500 kB of text"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_read_is_refused_with_a_reason(text: str, path: str, message: str) -> None:
    assert refused(text, path).message.startswith(message)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_bytes(b"# %%\nx = '\xff'\n")
    assert read_notebook(path).problems[0].message == "the notebook is not UTF-8 (line 2)"
    with pytest.raises(snapshot.SourceError, match=r"x\.py is not a notebook: 'utf-8' codec"):
        snapshot.read_source(str(path))
    path.write_bytes(b"")
    assert read_notebook(path).problems[0].message == "the notebook is empty (no bytes in it)"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where jupytext is not installed."""
    monkeypatch.setitem(sys.modules, "jupytext", None)
    sources._reader.cache_clear()
    yield
    sources._reader.cache_clear()


def test_without_jupytext_it_is_said_what_to_install(missing: None, tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(PERCENT)
    (problem,) = read_notebook(path).problems
    assert problem.message.startswith(".py notebooks are read by jupytext, which cannot be loaded: ")
    assert problem.hint == 'install it: pip install "jupyter-nbflow[text]"'
    with pytest.raises(snapshot.SourceError, match=r"x\.py: \.py notebooks are read by .*\(install it: pip install"):
        snapshot.read_source(str(path))
    assert parse_source(b"{}", "x.ipynb") == {}


def test_jupytext_is_loaded_for_text_only_and_without_what_is_slow() -> None:
    code = """
import sys
from nbflow.sources import parse_source
parse_source(b"{}", "x.ipynb")
print("jupytext" in sys.modules)
parse_source(b"x = 1", "x.py")
print("jupytext" in sys.modules, {"rfc3987_syntax", "isoduration", "pyarrow"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["False", "True set()"]
