"""Object storage that is down, slow, or says no; uploads that are cut, doubled or answered too late (A4, A5).

A real S3 server, and before it a proxy that does harm. In all cases: what is to be uploaded stays readable here, is
said to wait and why, and is there, whole, once the harm has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import s3fs.core

from nbflow.archive import objects
from nbflow.archive.files import FileArchive
from nbflow.archive.ledger import Ledgers
from nbflow.archive.objects import Objects
from nbflow.archive.refusals import StorageError
from nbflow.archive.uploads import Uploads
from nbflow.errors import ConflictError
from nbflow.uploading import Uploader
from support.storage import Harm, Storage, serving
from support.waiting import until

FOLDER = "sales/sales-1"
PATH = f"{FOLDER}/a.ipynb"
ENOUGH = 30.0


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with serving() as found:
        found.put("bucket")
        yield found


@dataclass(frozen=True)
class Machine:
    """One machine that uploads to a prefix of its own."""

    storage: Storage
    uploads: Uploads
    uploader: Uploader
    prefix: str

    def publish(self, name: str, data: bytes = b"a notebook") -> str:
        self.uploads.files.publish(f"{FOLDER}/{name}", data)
        return f"{FOLDER}/{name}"

    def seen(self) -> list[str]:
        """What can be seen from outside."""
        return [key for key in self.storage.keys("bucket") if key.startswith(self.prefix)]

    def content(self, path: str) -> bytes:
        return self.storage.get(f"bucket/{self.prefix}/{path}")


@pytest.fixture
def machine(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    storage.proxy.hurt(None)
    prefix = uuid4().hex
    files = FileArchive(tmp_path / "spool")
    files.check()
    uploads = Uploads(files, Ledgers(tmp_path / "uploads"), Objects(f"s3://bucket/{prefix}"))
    uploads.ledgers.begin("sales-1")
    uploader = Uploader(uploads, first=0.05, longest=0.2)
    yield Machine(storage, uploads, uploader, prefix)
    uploader.close()
    storage.proxy.hurt(None)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Harm(answer=(503, "SlowDown")), "busy or out of order"),
        (Harm(answer=(500, "InternalError")), "busy or out of order"),
        (Harm(answer=(403, "ExpiredToken")), "the credentials have expired"),
        (Harm(answer=(400, "AuthorizationHeaderMalformed")), "in another region"),
        (Harm(answer=(301, "PermanentRedirect")), "in another region"),
        (Harm(answer=(404, "NoSuchBucket")), "no such bucket"),
        (Harm(cut=0), "cannot be reached"),
        (None, "cannot be reached"),
    ],
    ids=["slow-down", "internal", "expired", "malformed", "redirect", "no-bucket", "reset", "refused"],
)
def test_what_cannot_be_uploaded_waits_and_goes_later(machine: Machine, harm: Harm | None, said: str) -> None:
    """Whatever it is: once a run has begun, what its tasks made is safe here, and is tried again."""
    proxy = machine.storage.proxy
    if harm is None:
        proxy.down()
    else:
        proxy.hurt(harm)
    path = machine.publish("a.ipynb")
    machine.uploader.add(path)
    until(lambda: machine.uploader.problem is not None)
    problem = machine.uploader.problem
    assert problem is not None
    assert said in problem.message
    assert "hunter2" not in problem.message + str(problem.hint)
    assert not machine.uploader.settle(0.0)
    assert machine.uploads.waiting(FOLDER) == [path]
    assert machine.uploads.local(path).read_bytes() == b"a notebook"
    assert machine.seen() == []
    if harm is None:
        proxy.up()
    proxy.hurt(None)
    assert machine.uploader.settle(ENOUGH)
    assert machine.content(path) == b"a notebook"
    assert machine.uploads.waiting(FOLDER) == []


def test_what_is_slow_keeps_nobody_waiting(machine: Machine) -> None:
    machine.uploads.objects.check()
    machine.storage.proxy.hurt(Harm(on="PUT", delay=0.8, times=2))
    path = machine.publish("a.ipynb")
    machine.uploader.add(path)
    assert not machine.uploader.settle(0.1)
    assert machine.uploader.settle(ENOUGH)
    assert machine.content(path) == b"a notebook"


@pytest.mark.parametrize("known", [False, True], ids=["first", "later"])
def test_a_write_that_is_never_answered_is_given_up(
    machine: Machine, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its connection stays: the storage may answer others by then."""
    if known:
        machine.uploads.objects.check()
    monkeypatch.setattr(objects, "_WRITE_SECONDS", 2.0)
    harm = machine.storage.proxy.hurt(Harm(on="PUT", silent=True, times=1))
    path = machine.publish("a.ipynb")
    machine.uploader.add(path)
    assert harm is not None
    until(lambda: harm.seen)
    until(lambda: machine.uploader.problem is not None)
    assert len(harm.seen) == 1
    assert "cannot be reached" in str(machine.uploader.problem)
    assert machine.uploader.settle(ENOUGH)
    assert machine.content(path) == b"a notebook"


def test_a_large_write_that_is_never_answered_is_given_up(
    machine: Machine, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_WRITE_SECONDS", 2.0)
    monkeypatch.setattr(objects, "_SLOWEST", 10**9)
    machine.storage.proxy.hurt(Harm(on="PUT .*partNumber=2", silent=True))
    with pytest.raises(StorageError, match="cannot be reached"):
        machine.uploads.upload(PATH)
    assert machine.content(PATH) == b"attempt 1"
    machine.storage.proxy.hurt(None)
    machine.uploads.upload(PATH)
    assert machine.content(PATH) == large


def test_storage_that_says_no_for_good_is_found_at_the_start(machine: Machine) -> None:
    with pytest.raises(StorageError, match="there is no such bucket") as caught:
        Objects("s3://nobucket/x").check()
    assert caught.value.lasting
    for code, lasting in (("AccessDenied", True), ("InvalidAccessKeyId", True), ("ExpiredToken", False)):
        machine.storage.proxy.hurt(Harm(answer=(403, code)))
        with pytest.raises(StorageError, match=code) as caught:
            Objects("s3://bucket/x").check()
        assert caught.value.lasting is lasting


def test_an_upload_that_is_cut_leaves_nothing_to_see(machine: Machine) -> None:
    machine.uploads.objects.check()
    harm = machine.storage.proxy.hurt(Harm(on="PUT", cut=300_000))
    assert harm is not None
    path = machine.publish("a.ipynb", b"x" * 1_000_000)
    machine.uploader.add(path)
    until(lambda: machine.uploader.problem is not None)
    assert harm.seen
    assert machine.seen() == []
    machine.storage.proxy.hurt(None)
    assert machine.uploader.settle(ENOUGH)
    assert machine.content(path) == b"x" * 1_000_000


def test_an_upload_in_parts_that_is_cut_leaves_nothing_to_see(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 2**20
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda *_, **__: part)
    machine.uploads.objects.check()
    harm = machine.storage.proxy.hurt(Harm(on="PUT .*partNumber=2", cut=100_000))
    assert harm is not None
    data = b"".join(bytes([number]) * part for number in range(2)) + b"end"
    path = machine.publish("a.ipynb", data)
    machine.uploader.add(path)
    until(lambda: machine.uploader.problem is not None)
    assert harm.seen
    assert machine.seen() == []
    machine.storage.proxy.hurt(None)
    assert machine.uploader.settle(ENOUGH)
    assert machine.content(path) == data
    assert machine.storage.parts("bucket") == 0, "what was begun is given up"


def test_an_upload_in_parts_does_not_overwrite_either(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 5 * 2**20
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda *_, **__: part)
    path = machine.publish("a.ipynb", b"x" * (2 * part))
    machine.storage.put(f"bucket/{machine.prefix}/{path}", b"somebody else's")
    machine.uploader.add(path)
    assert machine.uploader.settle(ENOUGH)
    assert "with other content" in str(machine.uploader.refused[path])
    assert machine.content(path) == b"somebody else's"


@pytest.fixture
def large(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A later state of a file that goes in two parts; the earlier one is there."""
    part = 5 * 2**20
    monkeypatch.setattr(objects, "_PART", part)
    machine.uploads.upload(machine.publish("a.ipynb", b"attempt 1"))
    data = b"x" * part + b"end"
    machine.publish("a.ipynb", data)
    return data


def test_a_large_file_replaces_its_earlier_state_in_parts(machine: Machine, large: bytes) -> None:
    before = machine.uploads.objects.find(PATH)
    assert before is not None
    machine.uploads.upload(PATH)
    assert machine.content(PATH) == large
    [head] = [head for head in machine.storage.proxy.heads if head.startswith("POST") and machine.prefix in head][1:]
    assert f"if-match: {before.etag}".lower() in head.lower(), "the storage decides"


def test_a_large_file_does_not_replace_what_came_meanwhile(
    machine: Machine, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the storage knows no condition at the end of an upload in parts, as this server does not."""
    call = s3fs.S3FileSystem.call_s3

    def slow(self: s3fs.S3FileSystem, method: str, **options: object) -> object:
        if method == "upload_part":
            machine.storage.put(f"bucket/{machine.prefix}/{PATH}", b"somebody else's")
        return call(self, method, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", slow)
    with pytest.raises(ConflictError):
        machine.uploads.upload(PATH)
    assert machine.content(PATH) == b"somebody else's"
    assert machine.storage.parts("bucket") == 0, "what was begun is given up"


def test_a_large_file_whose_condition_fails_is_given_up(machine: Machine, large: bytes) -> None:
    found = machine.uploads.objects.find(PATH)
    assert found is not None
    harm = machine.storage.proxy.hurt(Harm(on="POST .*uploadId", answer=(412, "PreconditionFailed")))
    assert not machine.uploads.objects.replace(PATH, machine.uploads.files.resolve(PATH), found)
    assert harm is not None
    assert harm.seen
    assert machine.content(PATH) == b"attempt 1"
    assert machine.storage.parts("bucket") == 0


def test_a_large_file_is_not_put_where_its_earlier_state_has_gone(machine: Machine, large: bytes) -> None:
    found = machine.uploads.objects.find(PATH)
    assert found is not None
    machine.storage.delete(f"bucket/{machine.prefix}/{PATH}")
    assert not machine.uploads.objects.replace(PATH, machine.uploads.files.resolve(PATH), found)
    assert machine.seen() == []
    assert machine.storage.parts("bucket") == 0
    machine.uploads.upload(PATH)
    assert machine.content(PATH) == large


def test_an_answer_that_is_lost_is_no_conflict(machine: Machine) -> None:
    """The object is there, but nobody told: the second request is refused, and the content found to be ours."""
    machine.uploads.objects.check()
    harm = machine.storage.proxy.hurt(Harm(on="PUT", late=True, times=3))
    assert harm is not None
    path = machine.publish("a.ipynb")
    machine.uploader.add(path)
    assert machine.uploader.settle(ENOUGH)
    assert harm.seen
    assert machine.uploader.refused == {}
    assert machine.uploads.waiting(FOLDER) == []


def test_a_folder_is_removed_with_all_that_is_in_it(machine: Machine) -> None:
    for name in ("a.ipynb", "attempts/a.1.ipynb", "run.json", "index.html"):
        machine.publish(name)
    machine.uploader.add_run(FOLDER)
    assert machine.uploader.settle(ENOUGH)
    machine.storage.put(f"bucket/{machine.prefix}/{FOLDER}0/a.ipynb")
    machine.uploads.objects.remove(FOLDER)
    machine.uploads.objects.remove(FOLDER)
    assert machine.seen() == [f"{machine.prefix}/{FOLDER}0/a.ipynb"]


def test_two_who_write_one_key_at_once(machine: Machine) -> None:
    """409 says that the other one has not finished yet: asked again, it is 412, or the place is free."""
    machine.uploads.objects.check()
    harm = machine.storage.proxy.hurt(Harm(on="PUT", answer=(409, "ConditionalRequestConflict"), times=2))
    assert harm is not None
    path = machine.publish("a.ipynb")
    machine.uploader.add(path)
    until(lambda: len(harm.seen) == 2)
    assert machine.uploader.settle(ENOUGH)
    assert machine.content(path) == b"a notebook"
    assert machine.uploader.problem is None


def test_a_whole_run_through_bad_weather(machine: Machine) -> None:
    """Every third request fails in another way; in the end all is there, and the manifest was never there alone."""
    names = [f"{number}.ipynb" for number in range(8)]
    for name in (*names, "run.json", "index.html"):
        machine.publish(name, name.encode() * 1000)
    proxy, stop, alone = machine.storage.proxy, threading.Event(), []

    def weather() -> None:
        kinds = [Harm(answer=(503, "SlowDown"), times=2), Harm(cut=10, times=2), Harm(late=True, times=2), None]
        number = 0
        while not stop.wait(0.15):
            proxy.hurt(kinds[number % 4])
            number += 1

    def look() -> None:
        while not stop.wait(0.05):
            seen = {key.rpartition("/")[2] for key in machine.seen()}
            if "run.json" in seen and not seen.issuperset(names):
                alone.append(seen)

    threads = [threading.Thread(target=one) for one in (weather, look)]
    for thread in threads:
        thread.start()
    machine.uploader.add_run(FOLDER)
    try:
        assert machine.uploader.settle(ENOUGH)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert alone == []
    assert len(machine.seen()) == 10
    assert machine.uploader.refused == {}
    assert all(machine.content(f"{FOLDER}/{name}") == name.encode() * 1000 for name in names)
    assert not machine.uploads.ledgers.is_waiting("sales-1")
