"""Uploads in the background, to storage in memory that is up or down."""

from __future__ import annotations

import errno
import math
import signal
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from nbflow.archive.ledger import Ledgers
from nbflow.archive.objects import Objects
from nbflow.archive.uploads import Uploads
from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.core.spec import RetryPolicy
from nbflow.errors import ConflictError, UnreachableError
from nbflow.uploading import Feed, Uploader, published
from support.build import RUN, Story, planned
from support.held import HeldFileSystem, held_files, held_url
from support.waiting import until

FOLDER = f"sales/{RUN}"
ENOUGH = 20.0


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    files = FileArchive(tmp_path / "spool")
    files.check()
    made = Uploads(files, Ledgers(tmp_path / "uploads"), Objects(held_url()))
    made.ledgers.begin(RUN)
    return made


@pytest.fixture
def uploader(uploads: Uploads) -> Iterator[Uploader]:
    made = Uploader(uploads, first=0.01, longest=0.05)
    yield made
    made.close()


def names(uploads: Uploads) -> list[str]:
    return sorted(path.removeprefix(f"{FOLDER}/") for path in held_files(uploads.objects.url))


def publish(uploads: Uploads, *found: str) -> list[str]:
    for name in found:
        uploads.files.publish(f"{FOLDER}/{name}", name.encode())
    return [f"{FOLDER}/{name}" for name in found]


def test_files_and_runs_are_uploaded(uploads: Uploads, uploader: Uploader) -> None:
    assert uploader.settle(0.0), "there is nothing to do"
    uploader.add(publish(uploads, "a.ipynb")[0])
    assert uploader.settle(ENOUGH)
    assert names(uploads) == ["a.ipynb"]
    publish(uploads, "a.html", "attempts/a.1.ipynb", "run.json", "index.html")
    uploader.add_run(FOLDER)
    assert uploader.settle(ENOUGH)
    assert names(uploads) == ["a.html", "a.ipynb", "attempts/a.1.ipynb", "index.html", "run.json"]
    assert not uploads.ledgers.is_waiting(RUN)
    assert uploader.problem is None


def test_what_is_down_is_tried_again_and_again(uploads: Uploads, uploader: Uploader) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    uploader.add(publish(uploads, "a.ipynb")[0])
    publish(uploads, "run.json", "index.html")
    uploader.add_run(FOLDER)
    until(lambda: uploader.problem is not None)
    before = HeldFileSystem.requests
    until(lambda: HeldFileSystem.requests > before + 3)
    assert not uploader.settle(0.05), "it does not wait for ever"
    assert "cannot be reached" in str(uploader.problem)
    assert uploads.ledgers.is_waiting(RUN)
    HeldFileSystem.down = None
    assert uploader.settle(ENOUGH)
    assert names(uploads) == ["a.ipynb", "index.html", "run.json"]
    assert uploader.problem is None
    assert not uploads.ledgers.is_waiting(RUN)


def test_the_waits_between_tries_grow(uploads: Uploads) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    uploader = Uploader(uploads, first=0.1, longest=60.0)
    before, begun = HeldFileSystem.requests, time.monotonic()
    uploader.add(publish(uploads, "a.ipynb")[0])
    until(lambda: HeldFileSystem.requests == before + 4)
    assert time.monotonic() - begun >= 0.1 + 0.2 + 0.4
    uploader.close()


def test_progress_gives_more_time(uploads: Uploads, uploader: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    create = Objects.create

    def slow(self: Objects, path: str, source: Path) -> bool:
        time.sleep(0.15)
        return create(self, path, source)

    monkeypatch.setattr(Objects, "create", slow)
    for path in publish(uploads, *(f"{number}.ipynb" for number in range(40))):
        uploader.add(path)
    begun = time.monotonic()
    assert uploader.settle(0.5)
    assert time.monotonic() - begun > 0.5


def test_the_manifest_comes_after_what_it_names(uploads: Uploads, uploader: Uploader) -> None:
    """A file in whose place is something else keeps the manifest back, and stands in nobody else's way."""
    (uploads.files.root / "other").write_text("somebody else's")
    uploads.objects.create(f"{FOLDER}/a.ipynb", uploads.files.root / "other")
    publish(uploads, "a.ipynb", "b.ipynb", "run.json", "index.html")
    uploader.add_run(FOLDER)
    assert uploader.settle(ENOUGH), "a conflict is not waited for"
    assert names(uploads) == ["a.ipynb", "b.ipynb"]
    assert isinstance(uploader.refused[f"{FOLDER}/a.ipynb"], ConflictError)
    assert uploads.ledgers.is_waiting(RUN)
    HeldFileSystem.store.clear()
    uploads.ledgers.drop(RUN)
    uploads.ledgers.begin(RUN)
    uploads._entries.clear()
    uploader.add_run(FOLDER)
    assert uploader.settle(ENOUGH)
    assert names(uploads) == ["a.ipynb", "b.ipynb", "index.html", "run.json"]
    assert uploader.refused == {}


def test_what_is_asked_for_meanwhile_is_not_forgotten(
    uploads: Uploads, uploader: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that has ended is resumed, and ends again, while what it left is on its way."""
    create, under_way, go_on = Objects.create, threading.Event(), threading.Event()

    def slow(self: Objects, path: str, source: Path) -> bool:
        under_way.set()
        assert go_on.wait(ENOUGH)
        return create(self, path, source)

    monkeypatch.setattr(Objects, "create", slow)
    [path, *_] = publish(uploads, "a.ipynb", "run.json", "index.html")
    uploader.add_run(FOLDER)
    assert under_way.wait(ENOUGH)
    publish(uploads, "b.ipynb")
    uploads.files.publish(path, b"a.ipynb, later")
    uploader.add(path)
    uploader.add_run(FOLDER)
    go_on.set()
    assert uploader.settle(ENOUGH)
    assert names(uploads) == ["a.ipynb", "b.ipynb", "index.html", "run.json"]
    assert held_files(uploads.objects.url)[path] == b"a.ipynb, later"
    assert not uploads.ledgers.is_waiting(RUN)


def test_what_cannot_be_read_here_is_named(
    uploads: Uploads, uploader: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> str:
        raise UnreachableError("the disk is broken")

    [path, gone] = publish(uploads, "a.ipynb", "b.ipynb")
    uploads.files.resolve(gone).unlink()
    monkeypatch.setattr("nbflow.archive.uploads._digest", broken)
    uploader.add(gone)
    uploader.add(path)
    assert uploader.settle(ENOUGH)
    assert {path: str(error) for path, error in uploader.refused.items()} == {path: "the disk is broken"}
    assert uploads.waiting(FOLDER) == [path]


def test_a_folder_that_cannot_be_read_once_is_no_bug(
    uploads: Uploads, uploader: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(uploads, "a.ipynb", "run.json", "index.html")

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", broken)
        uploader.add_run(FOLDER)
        assert uploader.settle(ENOUGH)
    assert "Input/output error" in str(uploader.refused[FOLDER])
    assert uploads.ledgers.is_waiting(RUN)
    uploader.add_run(FOLDER)
    assert uploader.settle(ENOUGH)
    assert uploader.refused == {}
    assert not uploads.ledgers.is_waiting(RUN)


@pytest.mark.parametrize("patience", [1e10, math.inf])
def test_patience_may_have_no_end(uploads: Uploads, uploader: Uploader, patience: float) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    uploader.add(publish(uploads, "a.ipynb")[0])
    until(lambda: uploader.problem is not None)
    timer = threading.Timer(0.2, setattr, [HeldFileSystem, "down", None])
    timer.start()
    assert uploader.settle(patience)
    timer.join()


def test_a_bug_of_ours_is_not_swallowed(uploads: Uploads, uploader: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Objects, "create", lambda *_: 1 / 0)
    uploader.add(publish(uploads, "a.ipynb")[0])
    with pytest.raises(ZeroDivisionError):
        uploader.settle(ENOUGH)


def test_who_was_in_a_hurry_before_waits_for_nothing(uploads: Uploads, uploader: Uploader) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    uploader.add(publish(uploads, "a.ipynb")[0])
    uploader.hurry()
    assert not uploader.settle(float("inf"))


def test_ctrl_c_ends_the_wait(uploads: Uploads, uploader: Uploader) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    uploader.add(publish(uploads, "a.ipynb")[0])
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, [main, signal.SIGINT])
    timer.start()
    begun = time.monotonic()
    assert not uploader.settle(ENOUGH)
    assert time.monotonic() - begun < ENOUGH / 2
    timer.join()


def outcome(data: bytes, verdict: Verdict = Verdict.SUCCEEDED) -> Outcome:
    file = ArchivedFile(path=f"{FOLDER}/a.ipynb", size=len(data), sha256=sha256(data).hexdigest())
    return Outcome(verdict=verdict, files=(file,))


def test_a_run_feeds_what_is_final(uploads: Uploads, uploader: Uploader) -> None:
    """An attempt that is tried again will make way: its notebook does not go to the place of the one that counts."""
    story = Story(planned("a", retry=RetryPolicy(retries=1)))
    feed = Feed(uploader, story.state)

    def send(*messages: object) -> None:
        before = len(story.history)
        story.send(*messages)  # type: ignore[arg-type]
        for stamped in story.history[before:]:
            feed(stamped)

    send("start")
    uploads.files.publish(f"{FOLDER}/a.ipynb", b"one")
    send(Finished(task="a", attempt=1, outcome=outcome(b"one", Verdict.FAILED)))
    assert not uploader._files
    send("tick")
    uploads.files.publish(f"{FOLDER}/a.ipynb", b"two")
    publish(uploads, "run.json", "index.html")
    send(Finished(task="a", attempt=2, outcome=outcome(b"two")))
    assert uploader.settle(ENOUGH)
    assert held_files(uploads.objects.url)[f"{FOLDER}/a.ipynb"] == b"two"
    assert not uploads.ledgers.is_waiting(RUN)
    hashes = {file.sha256 for data in (b"one", b"two") for file in outcome(data).files}
    assert published(story.state) == {f"{FOLDER}/a.ipynb": hashes}
