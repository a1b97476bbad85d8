"""Files beside a notebook are found and read piece by piece."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nbflow.archive import spools as sp
from nbflow.archive.files import FileArchive
from nbflow.archive.spools import Spooled, spool_path, spooled, stream_text
from nbflow.errors import NotFoundError, UnreachableError

ENTRY = {"cell": 2, "output": "stdout", "file": "cell-1.stdout.txt.gz"}
ONE = Spooled(cell=2, output="stdout", file="cell-1.stdout.txt.gz")


@pytest.fixture
def archive(tmp_path: Path) -> FileArchive:
    made = FileArchive(tmp_path)
    made.check()
    return made


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"metadata": {"nbflow": {"spooled": [ENTRY, {"cell": "x"}, 3]}}}, [ONE]),
        ({"metadata": {"nbflow": {"spooled": {}}}}, []),
        ({"metadata": {"nbflow": 1}}, []),
        ({"metadata": []}, []),
        ({}, []),
    ],
)
def test_what_a_notebook_names(document: dict[str, object], found: list[Spooled]) -> None:
    assert spooled(document) == found


def test_streams_and_values() -> None:
    assert ONE.is_stream
    assert not Spooled(cell=0, output="output-1", file="cell-1.output-1.png").is_stream


def test_a_text_comes_in_pieces(archive: FileArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sp, "PIECE", 4)
    path = spool_path("a/attempts/x.1.ipynb", ONE.file)
    assert path == "a/attempts/x.1.cell-1.stdout.txt.gz"
    archive.publish(path, gzip.compress(b"one\r\n") + gzip.compress("twö".encode()))
    assert list(stream_text(archive, "a/attempts/x.1.ipynb", ONE)) == ["one\r", "\ntwö"]


def test_what_cannot_be_read(archive: FileArchive) -> None:
    with pytest.raises(NotFoundError):
        list(stream_text(archive, "a/x.ipynb", ONE))
    for data in (b"no gzip", gzip.compress(b"text" * 1_000)[:-9]):
        archive.publish("a/x.cell-1.stdout.txt.gz", data)
        with pytest.raises(UnreachableError, match=r"x\.cell-1\.stdout\.txt\.gz cannot be read"):
            list(stream_text(archive, "a/x.ipynb", ONE))
