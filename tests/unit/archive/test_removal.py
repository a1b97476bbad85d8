"""Folders that are removed for good, and nothing beside them."""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from nbflow.archive.removal import BIN, remove_run, remove_tree, run_place, size_of
from nbflow.errors import UnreachableError, UsageError

RUN = "sales-20260131T060000-k3fa"


@pytest.fixture
def archive(tmp_path: Path) -> FileArchive:
    made = FileArchive(tmp_path / "outputs")
    made.check()
    return made


def folder(archive: FileArchive, run: str = RUN) -> Path:
    """A run's folder with some files in it."""
    for name in ("run.json", "a.ipynb", "attempts/a.1.ipynb"):
        archive.publish(f"sales/{run}/{name}", b"x" * 10)
    return archive.root / "sales" / run


def test_a_run_goes_and_others_stay(archive: FileArchive) -> None:
    place, other = folder(archive), folder(archive, "sales-20260201T060000-k3fb")
    assert size_of(place) == 30
    for _ in range(2):
        remove_run(archive, "sales", RUN)
    assert not place.exists()
    assert size_of(other) == 30
    assert list((archive.root / BIN).iterdir()) == []
    assert size_of(place) == 0


def test_what_goes_while_it_is_counted_counts_for_nothing(
    archive: FileArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(archive)
    scan = os.scandir

    def late(where: object) -> object:
        found = list(scan(where))  # type: ignore[call-overload]
        if where == place:
            (place / "a.ipynb").unlink()
        return nullcontext(found)

    monkeypatch.setattr(os, "scandir", late)
    assert size_of(place) == 20


def test_links_are_removed_and_not_followed(archive: FileArchive, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    place = folder(archive)
    (place / "file").symlink_to(outside / "precious")
    (place / "folder").symlink_to(outside, target_is_directory=True)
    remove_run(archive, "sales", RUN)
    assert not place.exists()
    assert (outside / "precious").read_text() == "x"


def test_a_run_that_is_a_link_itself(archive: FileArchive, tmp_path: Path) -> None:
    place = folder(archive)
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    remove_run(archive, "sales", RUN)
    assert not os.path.lexists(place)
    assert (tmp_path / "moved" / "run.json").exists()


def test_a_way_that_leaves_the_archive(archive: FileArchive, tmp_path: Path) -> None:
    folder(archive)
    (archive.root / "sales").rename(tmp_path / "elsewhere")
    (archive.root / "sales").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnreachableError, match="leads out of the archive"):
        remove_run(archive, "sales", RUN)
    assert (tmp_path / "elsewhere" / RUN / "run.json").exists()


@pytest.mark.parametrize(("pipeline", "run"), [("..", "x"), ("sales", ".."), ("sales", "a/../../b"), ("/etc", "x")])
def test_names_that_are_none(archive: FileArchive, pipeline: str, run: str) -> None:
    with pytest.raises(UsageError):
        run_place(archive, pipeline, run)


def test_what_a_killed_one_has_put_out_of_sight(archive: FileArchive) -> None:
    place = folder(archive)
    hidden = archive.root / BIN / RUN
    hidden.parent.mkdir(parents=True)
    place.rename(hidden)
    (hidden / "run.json").unlink()
    place = folder(archive)
    remove_run(archive, "sales", RUN)
    assert not place.exists()
    assert not hidden.exists()


def test_on_another_file_system_it_is_removed_where_it_is(
    archive: FileArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(archive)

    def fail(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", fail)
    remove_run(archive, "sales", RUN)
    assert not place.exists()


def test_what_cannot_be_removed_is_named(archive: FileArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(archive)

    def fail(path: object, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", fail)
        with pytest.raises(UnreachableError, match=rf"cannot remove \S+{RUN}: Permission denied"):
            remove_run(archive, "sales", RUN)
    assert not place.exists(), "it is out of sight all the same"
    remove_run(archive, "sales", RUN)
    assert list((archive.root / BIN).iterdir()) == []


def test_two_at_once(archive: FileArchive) -> None:
    place = folder(archive)
    for number in range(300):
        (place / f"{number}.txt").write_text("x")
    faults: list[UnreachableError] = []

    def remove() -> None:
        try:
            remove_run(archive, "sales", RUN)
        except UnreachableError as error:
            faults.append(error)

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    assert not place.exists()
    assert list((archive.root / BIN).iterdir()) == []


def test_a_tree_of_anything(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_text("x")
    os.mkfifo(pipe)
    for place in (file, pipe, tmp_path / "missing", tmp_path / "no" / "folder"):
        remove_tree(place)
    assert list(tmp_path.iterdir()) == []
    assert stat.S_ISDIR(tmp_path.stat().st_mode)


def test_on_a_full_disk_it_is_removed_where_it_is(archive: FileArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(archive)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", fail)
    remove_run(archive, "sales", RUN)
    assert not place.exists()
