"""Notebook files that are none: each is named, none raises."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.notebooks import MAX_BYTES, NotebookFile, read_notebook
from support.folders import document


def read(tmp_path: Path, data: bytes | str | dict[str, Any]) -> NotebookFile:
    path = tmp_path / "x.ipynb"
    text = json.dumps(data) if isinstance(data, dict) else data
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_notebook(path)


def refused(tmp_path: Path, data: bytes | str | dict[str, Any]) -> str:
    found = read(tmp_path, data)
    assert found.document is None
    assert not any(problem.warning for problem in found.problems)
    return "; ".join(problem.message + (f" ({problem.hint})" if problem.hint else "") for problem in found.problems)


def test_a_notebook_is_read_once_with_its_hash(tmp_path: Path) -> None:
    found = read(tmp_path, document("x = 1", kernel="ir"))
    data = (tmp_path / "x.ipynb").read_bytes()
    assert (found.sha256, found.size, found.kernel) == (sha256(data).hexdigest(), len(data), "ir")
    assert found.document == document("x = 1", kernel="ir")
    assert not found.problems


def test_a_merge_that_was_not_finished_inside_a_cell_names_the_code_cell(tmp_path: Path) -> None:
    merged = "<<<<<<< local\nx = 1\n=======\nx = 2\n>>>>>>> remote\n"
    found = document(None, "y = 1", merged, "print('=======')\n# <<<<<<< no\n=======\n")
    found["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": merged})
    assert refused(tmp_path, found) == (
        "code cell 2 holds merge conflict markers (finish the merge (nbdime can: nbdime mergetool))"
    )
    found["cells"][2]["source"] = merged.splitlines(keepends=True)
    assert refused(tmp_path, found).startswith("code cell 2 holds merge conflict markers")


def test_what_people_and_tools_leave_out_is_no_fault(tmp_path: Path) -> None:
    bare = {"nbformat": 4, "cells": [{"cell_type": "code", "source": ["a\n", "b"]}, {"cell_type": "raw", "source": ""}]}
    assert read(tmp_path, bare).document == bare
    assert read(tmp_path, bare).kernel is None
    assert read(tmp_path, b"\xef\xbb\xbf" + json.dumps(bare).encode()).document == bare
    assert read(tmp_path, {**bare, "metadata": {"kernelspec": "x"}}).kernel is None
    assert read(tmp_path, {**bare, "metadata": {"kernelspec": {"name": 3}}}).kernel is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the notebook is empty"),
        (b" \n", "the notebook is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "this is a Git LFS pointer"),
        (b'{"cells": [\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> x\n]}', "the notebook holds merge conflict markers"),
        (b'{"cells": [], "nbformat": 4', "not a notebook: not valid JSON at line 1, column 28"),
        (b'{"cells": []}\n\n{', "not a notebook: not valid JSON at line 3, column 1"),
        (b"\x89PNG\r\n", "the notebook is not UTF-8 (line 1)"),
        (b'{"a":\n"\xff"}', "the notebook is not UTF-8 (line 2)"),
        (b"# %%\nprint(1)\n", "not a notebook: not valid JSON at line 1, column 1"),
        (b"[1]", "not a notebook: a JSON file without cells"),
        (b'{"a": 1}', "not a notebook: a JSON file without cells"),
        (b"[" * 100_000 + b"]" * 100_000, "not a notebook: its JSON is nested too deep"),
        (b'{"cells": ' + b"1" * 5_000 + b"}", "not a notebook: not valid JSON: Exceeds the limit"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bytes_that_are_no_notebook(tmp_path: Path, data: bytes, message: str) -> None:
    assert refused(tmp_path, data).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nbformat": 3}, "the notebook has the old format 3; format 4 is needed (open and save it in JupyterLab, or:"),
        ({"nbformat": 5}, "the notebook has format 5, which is not known"),
        ({"nbformat": 99}, "the notebook has format 99, which is not known"),
        ({"nbformat": None}, "not a notebook: `nbformat` is missing or no number"),
        ({"nbformat": True}, "not a notebook: `nbformat` is missing or no number"),
        ({"metadata": []}, "not a notebook: `metadata` is no object"),
        ({"cells": {}}, "not a notebook: `cells` is missing or no list"),
        ({"cells": ["x"]}, "not a notebook: cells[0]: it is no object"),
        ({"cells": [{"source": ""}]}, "not a notebook: cells[0]: `cell_type` is none of code, markdown, raw"),
        ({"cells": [{"cell_type": ["code"], "source": ""}]}, "not a notebook: cells[0]: `cell_type` is none of"),
        ({"cells": [{"cell_type": "code"}]}, "not a notebook: cells[0]: `source` is missing or no text"),
        ({"cells": [{"cell_type": "code", "source": [1]}]}, "not a notebook: cells[0]: `source` is missing or no text"),
        ({"cells": [{"cell_type": "code", "source": "", "metadata": 1}]}, "not a notebook: cells[0]: `metadata` is no"),
        (
            {"cells": [{"cell_type": "code", "source": "", "metadata": {"tags": "parameters"}}]},
            "not a notebook: cells[0]: `metadata.tags` is no list of texts",
        ),
        ({"cells": [{"cell_type": "code", "source": "", "id": 1}]}, "not a notebook: cells[0]: `id` is no text"),
        ({"cells": [{"cell_type": "code", "source": "", "outputs": [1]}]}, "not a notebook: cells[0]: `outputs` is no"),
    ],
)
def test_documents_of_another_shape(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert refused(tmp_path, {**document(), **change}).startswith(message)


def test_an_nbformat_3_notebook_with_worksheets_is_named_as_old(tmp_path: Path) -> None:
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": []}]}
    assert refused(tmp_path, old).startswith("the notebook has the old format 3")


def test_the_first_faults_of_many_cells_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, {**document(), "cells": [{}] * 50})
    assert len(found.problems) == 3


def test_double_ids_are_a_warning(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": "", "id": name} for name in ("a", "b", "a\x1b", "a", "a\x1b")]
    found = read(tmp_path, {**document(), "cells": cells})
    assert found.document is not None
    assert [(problem.message, problem.warning) for problem in found.problems] == [
        ("cells share an id: a, a\\x1b", True)
    ]


def test_what_is_no_file(tmp_path: Path) -> None:
    assert read_notebook(tmp_path / "none.ipynb").is_missing
    assert read_notebook(tmp_path / "none.ipynb").problems[0].message == "there is no such notebook"
    assert read_notebook(tmp_path).problems[0].message == "this is a folder, not a notebook"
    os.mkfifo(tmp_path / "pipe")
    assert read_notebook(tmp_path / "pipe").problems[0].message == "this is not a regular file"
    assert read_notebook(tmp_path / ("x" * 300)).problems[0].message == "cannot be read: File name too long"
    assert read_notebook(tmp_path / "a\0b").problems[0].message == "cannot be read: embedded null byte"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert read_notebook(tmp_path / "loop").problems[0].message == "cannot be read: Too many levels of symbolic links"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert read_notebook(path).problems[0].message == "the notebook has more than 200 MB"


@pytest.mark.parametrize("name", ["-x y.ipynb", "{}%s.ipynb", "é日.ipynb", "a\nb.ipynb"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(document()))
    assert read_notebook(tmp_path / name).document == document()


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(3, 5), st.text(max_size=3), st.just("code")),
    lambda value: st.one_of(
        st.lists(value, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["cells", "nbformat", "metadata", "source", "cell_type", "id", "tags", "kernelspec", "name"]
            ),
            value,
            max_size=5,
        ),
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_document_raises(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ipynb"
    path.write_text(json.dumps(value))
    found = read_notebook(path)
    assert found.document is not None or found.problems
    assert found.kernel is None or found.document
