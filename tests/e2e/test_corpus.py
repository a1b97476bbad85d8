"""Notebooks that others test their tools with: nbflow and papermill must come to the same.

Except where papermill is wrong, and the tests of `worker` say what is right.

The notebooks are in the source distributions of nbclient, papermill and nbmake, fetched by pip into a temporary
folder: `pytest -m slow tests/e2e/test_corpus.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PACKAGES = ("nbclient==0.11.0", "papermill==2.7.0", "nbmake==1.5.5")
CELL_SECONDS = 20
"""Limit of a cell: some notebooks never end."""

CLOCKS = {"Sleep1s"}
"""Notebooks that print the time of day: only their verdicts are compared."""

BETTER = {
    "sysexit0": "sys.exit(0) is an early end: papermill calls the cell an exception and goes on to call it a success",
    "sysexit": "the same for sys.exit()",
    "systemexit": "the same for raise SystemExit",
    "Skip_Exceptions_with_Cell_Tags": "raises-exception allows to raise: papermill runs on, then fails the notebook",
    "raises_tag": "the same",
}
"""Notebooks with which papermill is wrong, by task; what is right is tested in test_attempt.py."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one independent task for each notebook that can be read."""
    root = tmp_path_factory.mktemp("corpus")
    lines = ["[nbflow]", 'notebooks = "."', "", "[defaults]", 'kernel = "python3"', f"cell_timeout = {CELL_SECONDS}"]
    lines += ["", "[pipelines.corpus.tasks]"]
    for package in PACKAGES:
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(root)]
        subprocess.run([*fetch, package], check=True, capture_output=True)
    for archive in sorted(root.glob("*.tar.gz")):
        with tarfile.open(archive) as opened:
            opened.extractall(root, filter="data")
    for notebook in sorted(root.rglob("*.ipynb")):
        if is_current(notebook):
            name = re.sub(r"[^A-Za-z0-9_]", "_", notebook.stem)
            lines.append(f"{name} = {{ notebook = {json.dumps(str(notebook.relative_to(root)))} }}")
    (root / "pipelines.toml").write_text("\n".join(lines) + "\n")
    return root


def is_current(notebook: Path) -> bool:
    """Whether both tools can read it at all: nbformat 4."""
    try:
        return json.loads(notebook.read_text("utf-8"))["nbformat"] == 4
    except (ValueError, KeyError):
        return False


def test_same_verdicts_and_texts(corpus: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", "run", "corpus", "--json", "-j", "2"],
        cwd=corpus,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout.splitlines()[-1])
    assert len(run["tasks"]) > 40
    different = []
    for task in run["tasks"]:
        if task["task"] not in BETTER:
            expected, found = by_papermill(corpus, task["task"]), by_nbflow(corpus, task)
            if found[0] != expected[0] or (found[1] != expected[1] and task["task"] not in CLOCKS):
                different.append(f"{task['task']}: nbflow {found}\n    papermill {expected}")
    assert not different, "\n".join(different)


def by_nbflow(root: Path, task: Mapping[str, Any]) -> tuple[bool, list[str]]:
    assert task["notebook"], f"{task['task']} left no notebook: {task['error']}"
    return task["state"] == "succeeded", list(texts(root / task["notebook"]))


def by_papermill(root: Path, name: str) -> tuple[bool, list[str]]:
    source = next(path for path in root.rglob("*.ipynb") if re.sub(r"[^A-Za-z0-9_]", "_", path.stem) == name)
    output = root / "papermill" / f"{name}.ipynb"
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-k", "python3"]
    command += ["--execution-timeout", str(CELL_SECONDS), str(source), str(output)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.returncode == 0, list(texts(output))


def texts(notebook: Path) -> Iterator[str]:
    """The text of the outputs of each code cell, without what differs between any two runs."""
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code" or "injected-parameters" in cell["metadata"].get("tags", ()):
            continue
        parts = []
        for output in cell["outputs"]:
            data = output.get("text", output.get("data", {}).get("text/plain", ""))
            parts.append(
                "".join(data) if output["output_type"] != "error" else f"{output['ename']}: {output['evalue']}"
            )
        yield re.sub(r"0x[0-9a-f]+|ipykernel_\d+|/tmp/\S+|\d+\.\d+ ?[mµn]?s", "~", "".join(parts))
