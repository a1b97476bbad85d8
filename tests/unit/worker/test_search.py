"""The last look: what is published holds no value, whatever has got past all masking before."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nbflow.archive.page import notebook_page
from nbflow.core.masking import Masker
from nbflow.errors import UnreachableError
from nbflow.worker import search
from nbflow.worker.search import FOUND, bare, clean_file, notebook_bytes, searched_document, without_values
from support.attempts import notebook

VALUE = "hunter2-of-the-database"
MARK = "[secret DB]"
MASKER = Masker({"DB": VALUE})


def document(text: str = "fine", **facts: Any) -> dict[str, Any]:
    """An executed notebook whose cell has printed a text."""
    made = notebook("print(1)", {"cell_type": "markdown", "source": "# Title", "metadata": {}, "attachments": {}})
    made["metadata"]["nbflow"] = {"attempt": 1, "state": "succeeded", "warnings": [], "error": None, **facts}
    made["cells"][0]["metadata"]["nbflow"] = {"state": "ok"}
    made["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
    return made


def test_a_document_is_masked_and_says_so() -> None:
    assert searched_document(document(), MASKER) == document()
    found = searched_document(document(f"a {VALUE}"), MASKER)
    assert found["cells"][0]["outputs"][0]["text"] == f"a {MARK}"
    assert found["metadata"]["nbflow"]["warnings"] == [FOUND.format("this notebook")]


def test_what_a_notebook_needs_stays_whatever_values_there_are() -> None:
    words = {
        "A": "metadata",
        "B": "succeeded",
        "C": "stream",
        "D": "nbformat_minor",
        "E": "output_type",
        "F": "markdown",
    }
    made = document("succeeded", error={"kind": "exception", "message": "metadata", "ename": "E", "cell": 0})
    found = json.loads(notebook_bytes(made, Masker(words)))
    assert found["cells"][0]["outputs"][0] == {"name": "stdout", "output_type": "stream", "text": ["[secret B]"]}
    assert found["metadata"]["nbflow"]["state"] == "succeeded"
    assert found["metadata"]["nbflow"]["error"]["message"] == "[secret A]"
    assert found["cells"][1]["cell_type"] == "markdown"


def test_bytes_are_searched_where_masking_has_no_place() -> None:
    made = document()
    made["cells"][0][VALUE] = 1
    data = notebook_bytes(made, MASKER)
    assert VALUE.encode() not in data
    assert MARK in json.loads(data)["cells"][0]


def test_a_notebook_that_would_be_none_without_a_value_is_refused() -> None:
    made = document()
    made["cells"][0]["other"] = {"y": 987654321}
    with pytest.raises(UnreachableError, match="cannot be masked"):
        notebook_bytes(made, Masker({"N": '"y": 98765'}))


def test_what_a_page_puts_together_is_masked() -> None:
    made = searched_document(document(), MASKER)

    def page(shown: Any) -> bytes:
        joined = VALUE if shown["cells"][0]["source"] else ""
        return notebook_page(shown, title="t").encode() + joined.encode()

    searched = without_values(page(made), MASKER, lambda: page(bare(made)))
    assert VALUE.encode() not in searched
    assert searched == page(made).replace(VALUE.encode(), MARK.encode())
    words = Masker({"DB": VALUE, "WORD": "document", "STYLE": "background"})
    assert without_values(page(made), words, lambda: page(bare(made))) == searched


def test_without_a_finding_nothing_else_is_made() -> None:
    def never() -> bytes:
        raise AssertionError

    assert without_values(b"fine", MASKER, never) == b"fine"


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_packed_text(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cell-1.stdout.txt.gz"
    fill = "some line\n" * (size // 10)
    path.write_bytes(gzip.compress(f"{fill}{VALUE}{fill}".encode()))
    assert clean_file(path, MASKER)
    assert gzip.decompress(path.read_bytes()).decode() == f"{fill}{MARK}{fill}"
    before = path.read_bytes()
    assert not clean_file(path, MASKER)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cut", [0, 5])
def test_a_picture(tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched as it is; a short value stands in it by chance."""
    if cut:
        monkeypatch.setattr(search, "_PIECE", cut)
    masker = Masker({"DB": VALUE, "PIN": "4321"})
    path = tmp_path / "cell-1.output-1.png"
    path.write_bytes(b"\x89PNG\r\n4321\xff\xe2\x82")
    assert not clean_file(path, masker)
    path.write_bytes(b"\x89PNG\r\n4321\xff" + VALUE.encode() + b"\xe2\x82")
    assert clean_file(path, masker)
    assert path.read_bytes() == b"\x89PNG\r\n4321\xff" + MARK.encode() + b"\xe2\x82"


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    assert not clean_file(tmp_path / "none.txt.gz", MASKER)
    assert not clean_file(tmp_path / "none.png", MASKER)
    for name in ("folder.gz", "folder.png"):
        (tmp_path / name).mkdir()
        with pytest.raises(UnreachableError, match="cannot"):
            clean_file(tmp_path / name, MASKER)
