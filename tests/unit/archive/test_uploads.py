"""From a spool to objects in memory."""

from __future__ import annotations

import errno
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from nbflow.archive import objects as module
from nbflow.archive.files import FileArchive
from nbflow.archive.ledger import Ledgers
from nbflow.archive.objects import Found, Objects
from nbflow.archive.refusals import StorageError
from nbflow.archive.uploads import Uploads, run_of
from nbflow.errors import ConflictError, NotFoundError, UnreachableError

FOLDER = "sales/sales-1"
A, B = f"{FOLDER}/a.ipynb", f"{FOLDER}/attempts/a.1.ipynb"
MANIFEST, INDEX = f"{FOLDER}/run.json", f"{FOLDER}/index.html"


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    files = FileArchive(tmp_path / "spool")
    files.check()
    made = Uploads(files, Ledgers(tmp_path / "uploads"), Objects(f"memory://{uuid4().hex}"))
    made.ledgers.begin("sales-1")
    return made


def manifest(created: str, more: int = 0) -> bytes:
    return json.dumps({"run": "sales-1", "created": created, "more": more}).encode()


def again(uploads: Uploads) -> Uploads:
    """As another process would find it."""
    return Uploads(uploads.files, uploads.ledgers, uploads.objects)


def there(uploads: Uploads, path: str) -> bytes:
    with uploads.objects.open(path) as file:
        return file.read()


def upload_all(uploads: Uploads) -> None:
    for path in uploads.waiting(FOLDER):
        uploads.upload(path)


def test_what_waits_in_the_order_in_which_it_goes(uploads: Uploads) -> None:
    assert run_of(A) == run_of(FOLDER) == "sales-1"
    assert uploads.waiting(FOLDER) == []
    for path in (INDEX, MANIFEST, A, B):
        uploads.files.publish(path, path.encode())
    (uploads.files.root / FOLDER / ".a.ipynb.0123456789abcdef.tmp").write_text("half")
    (uploads.files.root / FOLDER / "link").symlink_to("/etc/passwd")
    assert uploads.waiting(FOLDER) == [A, B, MANIFEST, INDEX]
    uploads.upload(A)
    assert uploads.waiting(FOLDER) == [B, MANIFEST, INDEX]
    assert not uploads.is_whole(FOLDER)
    upload_all(uploads)
    assert uploads.is_whole(FOLDER)
    assert there(uploads, A) == A.encode()
    uploads.files.publish(A, b"a later attempt")
    assert uploads.waiting(FOLDER) == [A], "it has changed"


def test_a_run_without_its_manifest_is_not_whole(uploads: Uploads) -> None:
    uploads.files.publish(A, b"a")
    upload_all(uploads)
    assert uploads.waiting(FOLDER) == []
    assert not uploads.is_whole(FOLDER)


def test_nothing_is_asked_for_what_is_known_to_be_there(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.files.publish(A, b"a")
    uploads.upload(A)
    monkeypatch.setattr(Objects, "create", lambda *_: pytest.fail("asked"))
    uploads.upload(A)
    again(uploads).upload(A)
    uploads.upload(B)  # there is no such file any more, or not yet


def test_a_kill_between_upload_and_ledger_is_found_out(uploads: Uploads) -> None:
    uploads.files.publish(A, b"a")
    uploads.upload(A)
    uploads.ledgers.drop("sales-1")
    uploads.ledgers.begin("sales-1")
    assert again(uploads).waiting(FOLDER) == [A]
    again(uploads).upload(A)
    assert uploads.waiting(FOLDER) == []


def test_an_earlier_attempt_is_replaced_where_it_is_known(uploads: Uploads) -> None:
    uploads.files.publish(A, b"attempt 1")
    uploads.upload(A)
    uploads.files.publish(A, b"attempt 2")
    uploads.upload(A)
    assert there(uploads, A) == b"attempt 2", "this machine has uploaded the earlier one"
    uploads.ledgers.drop("sales-1")
    uploads.files.publish(A, b"attempt 3")
    with pytest.raises(ConflictError):
        again(uploads).upload(A)
    again(uploads).upload(A, {sha256(b"attempt 2").hexdigest()})
    assert there(uploads, A) == b"attempt 3", "the store of runs knows of the earlier one"


def test_what_is_not_ours_stays(uploads: Uploads, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"of somebody else")
    uploads.objects.create(A, tmp_path / "other")
    uploads.files.publish(A, b"ours")
    with pytest.raises(ConflictError, match="is there already, with other content") as caught:
        uploads.upload(A, {sha256(b"earlier").hexdigest()})
    assert str(uploads.files.resolve(A)) in str(caught.value.hint)
    assert there(uploads, A) == b"of somebody else"
    assert uploads.files.read(A) == b"ours"


@pytest.mark.parametrize(("created", "ours"), [("2026-01-01", True), ("2026-01-02", False)])
def test_a_manifest_is_replaced_by_a_later_one_of_the_same_run(
    uploads: Uploads, tmp_path: Path, created: str, ours: bool
) -> None:
    for path, data in ((MANIFEST, manifest("2026-01-01")), (INDEX, b"page")):
        (tmp_path / "other").write_bytes(data)
        uploads.objects.create(path, tmp_path / "other")
    uploads.files.publish(MANIFEST, manifest(created, more=1))
    uploads.files.publish(INDEX, b"another page")
    if ours:
        upload_all(uploads)
        assert there(uploads, MANIFEST) == manifest(created, more=1)
        assert there(uploads, INDEX) == b"another page"
    else:
        for path in (MANIFEST, INDEX):
            with pytest.raises(ConflictError):
                uploads.upload(path)


@pytest.mark.parametrize("theirs", [None, b"", b"[]", b"{}", b"[" * 100_000])
def test_a_page_is_not_replaced_beside_what_is_no_manifest(
    uploads: Uploads, tmp_path: Path, theirs: bytes | None
) -> None:
    for path, data in ((MANIFEST, theirs), (INDEX, b"page")):
        if data is not None:
            (tmp_path / "other").write_bytes(data)
            uploads.objects.create(path, tmp_path / "other")
    uploads.files.publish(MANIFEST, manifest("2026-01-01"))
    uploads.files.publish(INDEX, b"another page")
    with pytest.raises(ConflictError):
        uploads.upload(INDEX)


def test_an_object_that_comes_and_goes_is_tried_again_later(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.files.publish(A, b"a")
    monkeypatch.setattr(Objects, "create", lambda *_: False)
    monkeypatch.setattr(Objects, "replace", lambda *_: False)
    for found in (None, Found(size=1, sha256=sha256(b"b").hexdigest())):
        monkeypatch.setattr(Objects, "find", lambda *_, found=found: found)
        with pytest.raises(StorageError, match="somebody else is writing it"):
            uploads.upload(A, {sha256(b"b").hexdigest()})


def test_a_file_that_changes_meanwhile_goes_on_waiting(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.files.publish(A, b"a")
    create = Objects.create

    def slow(self: Objects, path: str, source: Path) -> bool:
        done = create(self, path, source)
        uploads.files.publish(A, b"b")
        return done

    monkeypatch.setattr(Objects, "create", slow)
    uploads.upload(A)
    assert uploads.waiting(FOLDER) == [A]


def test_a_file_that_goes_meanwhile_is_none_of_ours(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.files.publish(A, b"a")

    def gone(_: Objects, __: str, source: Path) -> bool:
        source.unlink()
        raise StorageError("there is no such file")

    monkeypatch.setattr(Objects, "create", gone)
    uploads.upload(A)


def test_a_file_that_goes_once_it_is_there_is_none_of_ours(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new attempt has moved it aside, before its length was compared."""
    uploads.files.publish(A, b"a")
    put = Objects._put

    def gone(self: Objects, source: Path, *others: Any) -> None:
        put(self, source, *others)
        source.unlink()

    monkeypatch.setattr(Objects, "_put", gone)
    uploads.upload(A)
    assert there(uploads, A) == b"a"


@pytest.mark.parametrize("kind", [FileNotFoundError, NotADirectoryError])
def test_a_folder_that_vanishes_has_nothing_to_upload(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, kind: type[OSError]
) -> None:
    for path in (A, B):
        uploads.files.publish(path, b"x")
    scan = os.scandir

    def vanished(place: Any) -> Any:
        if str(place).endswith("attempts"):
            raise kind(str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", vanished)
    assert uploads.waiting(FOLDER) == [A]


def test_what_cannot_be_looked_at_is_named(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be seen is not taken for what is not there: the run would pass for whole."""
    uploads.files.publish(A, b"x")

    def broken(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", "there")

    for name in ("scandir", "stat"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            with pytest.raises(UnreachableError, match=r"cannot read \S+: Permission denied"):
                uploads.waiting(FOLDER)


def test_reading_takes_the_copy_else_fetches_one(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads.files.publish(A, b"a")
    assert uploads.local(A).read_bytes() == b"a", "it waits"
    uploads.upload(A)
    place = uploads.files.resolve(A)
    place.unlink()
    assert uploads.local(A).read_bytes() == b"a"
    assert uploads.waiting(FOLDER) == [], "what was fetched does not wait"
    with pytest.raises(NotFoundError):
        uploads.local(B)
    place.unlink()
    uploads.fetch([A, B])
    assert place.read_bytes() == b"a"

    def broken(*_: object) -> None:
        raise TimeoutError

    place.unlink()
    monkeypatch.setattr(module, "_file_system", broken)
    with pytest.raises(StorageError):
        Uploads(uploads.files, uploads.ledgers, Objects("memory://x")).fetch([A])
    assert not place.exists()


def test_room_is_made_of_what_is_uploaded_the_oldest_first(uploads: Uploads) -> None:
    for number in (1, 2, 3, 4):
        path = f"sales/sales-{number}/a.ipynb"
        uploads.ledgers.begin(f"sales-{number}")
        uploads.files.publish(path, b"x" * 100)
        if number != 2:
            uploads.upload(path)
            uploads.ledgers.end(f"sales-{number}")
            os.utime(uploads.ledgers._places(f"sales-{number}")[1], (number, number))
    assert uploads.make_room(1000) == []
    assert uploads.make_room(0, keep=["sales-1"]) == ["sales-3", "sales-4"]
    left = sorted(path.parent.name for path in uploads.files.root.rglob("*.ipynb"))
    assert left == ["sales-1", "sales-2"], "what waits stays, and what is to be kept"
    assert uploads.local("sales/sales-3/a.ipynb").read_bytes() == b"x" * 100
    assert uploads.make_room(150) == ["sales-1"]
