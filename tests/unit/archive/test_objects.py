"""Objects below a URL, as fsspec's file system in memory keeps them; what only S3 can show is in tests/faults."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from nbflow.archive.objects import MARKER, Objects
from nbflow.archive.refusals import StorageError
from nbflow.errors import NotFoundError, UsageError

PATH = "sales/sales-1/a.ipynb"


@pytest.fixture
def objects() -> Objects:
    return Objects(f"memory://{uuid4().hex}/prefix/")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = tmp_path / "a.ipynb"
    place.write_bytes(b"one")
    return place


def read(objects: Objects, path: str = PATH) -> bytes:
    with objects.open(path) as file:
        return file.read()


def test_an_object_is_created_once(objects: Objects, source: Path) -> None:
    assert objects.address(PATH) == f"{objects.url}/{PATH}"
    assert objects.create(PATH, source)
    source.write_bytes(b"other")
    assert not objects.create(PATH, source)
    assert read(objects) == b"one"
    assert read(objects, MARKER).startswith(b"{")


def test_what_is_there_is_told_by_its_content_and_can_be_replaced(objects: Objects, source: Path) -> None:
    assert objects.find(PATH) is None
    objects.create(PATH, source)
    found = objects.find(PATH)
    assert found is not None
    assert (found.size, found.sha256) == (3, sha256(b"one").hexdigest())
    source.write_bytes(b"other")
    assert objects.replace(PATH, source, found)
    assert read(objects) == b"other"


def test_what_is_not_there_is_not_found(objects: Objects) -> None:
    with pytest.raises(NotFoundError, match="the archive has no file"), objects.open(PATH):
        pass


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a b"])
def test_paths_are_judged(objects: Objects, source: Path, path: str) -> None:
    with pytest.raises(UsageError):
        objects.create(path, source)


def test_a_storage_without_conditions_is_asked_before(
    objects: Objects, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lets the marker be written twice: then each object is looked for before it is written."""
    plain = MemoryFileSystem.pipe_file
    modes: list[str] = []

    def pipe(self: Any, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        modes.append(mode)
        plain(self, path, value)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe)
    objects.check()
    objects.check()
    assert modes == ["create", "create"], "asked once, by two writes"
    assert objects.create(PATH, source)
    assert not objects.create(PATH, source)


def test_a_storage_that_knows_no_conditions_is_no_fault(
    objects: Objects, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = MemoryFileSystem.pipe_file

    def pipe(self: Any, path: str, value: bytes, mode: str | None = None) -> None:
        if mode is not None:
            raise NotImplementedError("mode")
        plain(self, path, value)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe)
    assert objects.create(PATH, source)
    assert not objects.create(PATH, source)


def test_what_was_written_short_is_noticed(objects: Objects, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.check()
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda self, _, path, **__: self.pipe_file(path, b"on"))
    with pytest.raises(StorageError, match="has 2 bytes after it was written, not 3"):
        objects.create(PATH, source)


@pytest.mark.parametrize(
    ("method", "use"),
    [
        ("pipe_file", lambda objects, _: objects.check()),
        ("put_file", lambda objects, source: objects.create(PATH, source)),
        ("put_file", lambda objects, source: objects.replace(PATH, source, objects.find(PATH))),
        ("open", lambda objects, _: objects.find(PATH)),
        ("info", lambda objects, source: objects.create("b", source)),
    ],
)
def test_errors_are_ours(
    objects: Objects, source: Path, method: str, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method != "pipe_file":
        objects.create(PATH, source)

    def broken(*_: Any, **__: Any) -> None:
        raise TimeoutError("slow")

    if method == "open":
        objects.find(PATH)
    monkeypatch.setattr(MemoryFileSystem, method, broken)
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        use(objects, source)
    assert not caught.value.lasting


def test_an_error_while_reading_is_one_of_the_storage(
    objects: Objects, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.create(PATH, source)
    from fsspec.implementations.memory import MemoryFile

    def broken(*_: Any) -> bytes:
        raise ConnectionResetError("gone")

    monkeypatch.setattr(MemoryFile, "read", broken)
    with pytest.raises(StorageError, match="cannot be reached"), objects.open(PATH) as file:
        file.read()


@pytest.mark.parametrize(
    ("url", "message"), [("gs://b/x", "needs the package gcsfs"), ("xyz://b/x", "nothing installed here can write xyz")]
)
def test_what_no_package_can_reach(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        Objects(url).check()
    assert caught.value.lasting


def test_a_folder_is_removed_with_all_that_is_in_it_and_no_other(objects: Objects, source: Path) -> None:
    paths = ["sales/sales-1/attempts/a.1.ipynb", PATH, "sales/sales-10/a.ipynb"]
    for path in paths:
        objects.create(path, source)
    for _ in range(2):
        objects.remove("sales/sales-1")
    assert [objects.find(path) is None for path in paths] == [True, True, False]
    objects.remove("sales/never")
