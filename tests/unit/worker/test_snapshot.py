"""The source of an attempt: read once, freed of earlier executions, written as Jupyter writes."""

from __future__ import annotations

import copy
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.worker import snapshot
from nbflow.worker.snapshot import SourceError
from support.attempts import code, notebook

texts = st.text(st.characters(codec="utf-8"), max_size=30)
bundles = st.fixed_dictionaries(
    {},
    optional={
        "text/plain": texts,
        "text/html": texts,
        "image/svg+xml": texts,
        "image/png": st.just("aGVsbG8="),
        "application/json": st.dictionaries(texts, st.integers(), max_size=2),
    },
)
outputs = st.one_of(
    st.builds(lambda text: {"output_type": "stream", "name": "stdout", "text": text}, texts),
    st.builds(lambda data: {"output_type": "display_data", "data": data, "metadata": {}}, bundles),
    st.builds(
        lambda line: {"output_type": "error", "ename": "E", "evalue": line, "traceback": line.splitlines()}, texts
    ),
)
metadata = st.dictionaries(st.sampled_from(["a", "zebra", "é"]), st.integers() | texts, max_size=2)
cells = st.one_of(
    st.builds(
        lambda source, found, meta: code(source, outputs=found) | {"metadata": meta},
        texts,
        st.lists(outputs, max_size=3),
        metadata,
    ),
    st.builds(lambda source, meta: {"cell_type": "markdown", "source": source, "metadata": meta}, texts, metadata),
)


def write(folder: Path, data: bytes) -> str:
    path = folder / "n.ipynb"
    path.write_bytes(data)
    return str(path)


class TestRead:
    def test_the_bytes_are_hashed_and_lines_joined_later(self, tmp_path: Path) -> None:
        data = b"\xef\xbb\xbf" + json.dumps(notebook("a")).encode()
        source = snapshot.read_source(write(tmp_path, data))
        assert source.sha256 == sha256(data).hexdigest()
        assert source.document == notebook("a")

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "is not a notebook"),
            (b"\xff\xfe", "is not a notebook"),
            (b"[" * 100_000, "is not a notebook"),
            (b"[]", "no list of cells"),
            (b'{"nbformat": 4}', "no list of cells"),
            (b'{"nbformat": 99, "cells": []}', "format 99"),
            (b'{"nbformat": 4, "cells": [{"cell_type": "heading"}]}', r"cells\[0\] is not"),
            (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}', r"cells\[0\] is not"),
            (b'{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": []}]}', r"cells\[0\] is not"),
        ],
    )
    def test_what_is_no_notebook_is_refused_by_name(self, tmp_path: Path, data: bytes, said: str) -> None:
        path = write(tmp_path, data)
        with pytest.raises(SourceError, match=said) as caught:
            snapshot.read_source(path)
        assert path in str(caught.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="No such file"):
            snapshot.read_source(str(tmp_path / "none.ipynb"))

    def test_its_stand_in_is_a_valid_notebook(self) -> None:
        document = snapshot.prepare(snapshot.empty_source().document, None)
        nbformat.validate(nbformat.reads(snapshot.dumps(document).decode(), as_version=4))


class TestPrepare:
    def test_nothing_of_an_earlier_execution_is_left(self) -> None:
        old = code("1", "tag", outputs=[{"output_type": "stream"}], execution_count=4)
        old["metadata"] |= {"execution": {"iopub.status.busy": "..."}, "papermill": {}, "nbflow": {}, "mine": 1}
        source = notebook(old)
        source["metadata"] |= {"nbflow": {}, "papermill": {}, "widgets": {}, "mine": 2}
        before = copy.deepcopy(source)
        document = snapshot.prepare(source, None)
        assert source == before
        assert document["cells"][0]["metadata"] == {"tags": ["tag"], "mine": 1}
        assert document["cells"][0]["outputs"] == []
        assert document["cells"][0]["execution_count"] is None
        assert set(document["metadata"]) == {"kernelspec", "mine"}

    def test_lines_are_joined_and_what_is_missing_is_added(self) -> None:
        source = {"nbformat": 4, "cells": [{"cell_type": "code", "source": ["a\n", "b"]}, {"cell_type": "raw"}]}
        document = snapshot.prepare(source, None)
        assert [cell["source"] for cell in document["cells"]] == ["a\nb", ""]
        assert document["metadata"] == {}
        assert document["nbformat_minor"] == 5

    def test_the_injected_cell_follows_the_last_parameters_cell(self) -> None:
        source = notebook("0", code("a = 1", "parameters"), "1", code("b = 1", "parameters"), "2")
        document = snapshot.prepare(source, "a = 5")
        assert [cell["source"] for cell in document["cells"]] == ["0", "a = 1", "1", "b = 1", "a = 5", "2"]

    def test_an_injected_cell_of_another_day_makes_way(self) -> None:
        source = notebook(code("a = 1", "parameters"), code("a = 2", "injected-parameters"), "a")
        document = snapshot.prepare(source, "a = 3")
        assert [cell["source"] for cell in document["cells"]] == ["a = 1", "a = 3", "a"]
        assert [cell["source"] for cell in snapshot.prepare(source, None)["cells"]] == ["a = 1", "a = 2", "a"]

    def test_there_must_be_a_place_for_parameters(self) -> None:
        with pytest.raises(SourceError, match="no code cell is tagged `parameters`"):
            snapshot.prepare(notebook("1"), "a = 1")

    def test_ids_come_from_content_and_never_clash(self) -> None:
        bare = {"nbformat": 4, "nbformat_minor": 5, "cells": [code("same"), code("same"), code("other")]}
        first, second = snapshot.prepare(bare, None), snapshot.prepare(bare, None)
        ids = [cell["id"] for cell in first["cells"]]
        assert ids == [cell["id"] for cell in second["cells"]]
        assert len(set(ids)) == 3
        taken = {**bare, "cells": [code("same"), {**code("x"), "id": ids[0]}]}
        assert len({cell["id"] for cell in snapshot.prepare(taken, None)["cells"]}) == 2

    def test_old_formats_have_no_ids(self) -> None:
        document = snapshot.prepare(notebook(code("a = 1", "parameters"), minor=4), "a = 2")
        assert all("id" not in cell for cell in document["cells"])


class TestDumps:
    @given(st.lists(cells, max_size=4), st.sampled_from([4, 5]))
    def test_it_is_what_nbformat_writes(self, found: list[dict[str, Any]], minor: int) -> None:
        document = notebook(*found, minor=minor)
        node = nbformat.from_dict(copy.deepcopy(document))
        assert snapshot.dumps(document).decode() == nbformat.writes(node) + "\n"

    def test_attachments_are_split_too(self) -> None:
        attached = {"a.svg": {"image/svg+xml": "<a>\n</a>"}, "b.png": {"image/png": "x\ny"}}
        document = notebook({"cell_type": "markdown", "source": "", "metadata": {}, "attachments": attached})
        node = nbformat.from_dict(copy.deepcopy(document))
        assert snapshot.dumps(document).decode() == nbformat.writes(node) + "\n"

    def test_text_without_a_utf8_form_survives(self) -> None:
        document = notebook("a")
        document["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x\ud800"}]
        assert json.loads(snapshot.dumps(document))["cells"][0]["outputs"][0]["text"] == ["x\ud800"]


def test_the_kernel_is_the_override_else_the_notebooks_own() -> None:
    assert snapshot.kernel_name(notebook(kernel="ir"), None) == "ir"
    assert snapshot.kernel_name(notebook(kernel="ir"), "python3") == "python3"
    for spec in ({}, {"kernelspec": {}}, {"kernelspec": {"name": ""}}, {"kernelspec": None}):
        with pytest.raises(SourceError, match="names no kernel"):
            snapshot.kernel_name({"metadata": spec}, None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(st.integers(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_documents_are_written_as_json_writes_them(value: Any) -> None:
    expected = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    assert snapshot._written(value, "\n") == expected
