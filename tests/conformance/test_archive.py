"""What every archive promises, in a folder and on object storage: whole or absent, created once, read back as written.

The archive of objects is the spool with its uploads, as a project has it; each storage runs the same tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from nbflow.archive.files import FileArchive
from nbflow.archive.ledger import Ledgers
from nbflow.archive.objects import Objects
from nbflow.archive.uploads import Uploads
from nbflow.errors import ConflictError, NotFoundError, UsageError
from support.held import held_url
from support.storage import Storage, serving

FOLDER = "sales/sales-1"
PATH = f"{FOLDER}/a.ipynb"


@dataclass(frozen=True)
class World:
    """An archive as one machine has it. `put` publishes what will not change, `get` reads it as another machine."""

    put: Callable[[str, bytes], object]
    get: Callable[[str], bytes]
    other: Callable[[], World]


def in_folder(place: Path) -> World:
    archive = FileArchive(place / "outputs")
    archive.check()
    return World(put=archive.publish, get=archive.read, other=lambda: in_folder(place))


def with_objects(place: Path, objects: Objects) -> World:
    """A machine of its own at each call."""
    uploads = machine(place, objects)
    files = uploads.files
    files.check()

    def put(path: str, data: bytes) -> None:
        files.publish(path, data)
        uploads.upload(path)

    def get(path: str) -> bytes:
        return machine(place, objects).local(path).read_bytes()

    return World(put=put, get=get, other=lambda: with_objects(place, objects))


def machine(place: Path, objects: Objects) -> Uploads:
    local = place / uuid4().hex
    return Uploads(FileArchive(local / "spool"), Ledgers(local / "uploads"), objects)


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with serving() as found:
        found.put("bucket")
        yield found


@pytest.fixture(params=["folder", "held", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    if request.param == "folder":
        return in_folder(tmp_path)
    if request.param == "held":
        return with_objects(tmp_path, Objects(held_url()))
    storage: Storage = request.getfixturevalue("storage")
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    return with_objects(tmp_path, Objects(f"s3://bucket/{uuid4().hex}"))


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_what_is_read_is_what_was_written(world: World, size: int) -> None:
    data = sha256(b"x").digest() * (size // 32 + 1)
    data = data[:size]
    world.put(PATH, data)
    assert world.get(PATH) == data
    world.put(PATH, data)
    assert world.get(PATH) == data, "the same again is no change"


def test_what_is_not_there(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.get(PATH)
    with pytest.raises(UsageError):
        world.put("../outside", b"")


def test_an_earlier_state_of_the_same_file_is_replaced(world: World) -> None:
    world.put(PATH, b"attempt 1")
    world.put(PATH, b"attempt 2")
    assert world.get(PATH) == b"attempt 2"


def test_whoever_reads_sees_the_whole_or_nothing(world: World) -> None:
    data, seen, done = b"x" * 2_000_000, set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(len(world.get(PATH)))
            except NotFoundError:
                seen.add(-1)

    reader = threading.Thread(target=read)
    reader.start()
    world.put(PATH, data)
    done.set()
    reader.join()
    assert seen <= {-1, len(data)}
    assert world.get(PATH) == data


def test_two_machines_that_write_the_same_agree(world: World) -> None:
    world.put(PATH, b"same")
    world.other().put(PATH, b"same")
    assert world.get(PATH) == b"same"


def test_two_machines_that_write_at_once_leave_one_whole_file(world: World, request: pytest.FixtureRequest) -> None:
    """With objects the second one is told; in a folder, where the lease of a run keeps it away, the last one counts."""
    contents = [bytes([65 + number]) * 100_000 for number in range(4)]
    refused: list[Exception] = []
    start = threading.Barrier(4)

    def write(data: bytes) -> None:
        machine = world.other()
        start.wait()
        try:
            machine.put(PATH, data)
        except ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.get(PATH) in contents
    assert len(refused) == (0 if request.node.callspec.params["world"] == "folder" else 3)
