"""Whether the files of a run can go: they are whole, here, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from nbflow.core.rows import Removed, RunRow
from nbflow.runs import Runs
from nbflow.shelves import ArchiveShelves
from nbflow.store.memory import MemoryStore
from support.build import RUN, planned
from support.stored import Kept, dead


class Ledgers:
    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.dropped: list[str] = []

    def is_waiting(self, run: str) -> bool:
        return run in self.waiting

    def drop(self, run: str) -> None:
        self.dropped.append(run)


class Uploads:
    def __init__(self) -> None:
        self.ledgers = Ledgers()


class Archiving:
    """As much of an archive as is asked for; it remembers what it was asked to remove from object storage."""

    def __init__(self, root: Path, url: str | None = None) -> None:
        self.files = FileArchive(root)
        self.url = url
        self.uploads = Uploads() if url else None
        self.removed: list[str] = []

    def remove(self, folder: str) -> None:
        self.removed.append(folder)


class Place:
    """A run that has ended, its archive and its shelves."""

    def __init__(self, folder: Path, url: str | None = None, **settings: str) -> None:
        self.root = folder / "outputs"
        self.archiving = Archiving(self.root, url)
        self.archiving.files.check()
        store = MemoryStore()
        made = Kept(store, planned("a"), **settings)
        made.play("start", "succeeded a/1")
        found = store.run(RUN)
        assert found is not None
        self.row: RunRow = found
        self.shelves = ArchiveShelves(self.archiving, Runs(store, dead), self.root)  # type: ignore[arg-type]

    def publish(self, **manifest: str | None) -> None:
        document = {"ended": self.row.document["ended"], **manifest}
        for name, data in (("run.json", json.dumps(document).encode()), ("index.html", b"x"), ("a.ipynb", b"{}")):
            self.archiving.files.publish(f"sales/{RUN}/{name}", data)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_one_that_is_whole_can_go(place: Place) -> None:
    place.publish()
    assert place.shelves.fault(place.row) is None
    assert place.shelves.place(place.row) == place.root / "sales" / RUN
    place.shelves.erase(Removed(run=RUN, pipeline="sales"))
    assert not (place.root / "sales" / RUN).exists()


def test_one_that_is_not_sealed_stays(place: Place) -> None:
    place.publish(ended="2020-01-01T00:00:00.000Z")
    assert "its archive is not complete" in str(place.shelves.fault(place.row))
    (place.root / "sales" / RUN / "run.json").unlink()
    assert f"nbflow report {RUN}" in str(place.shelves.fault(place.row))


def test_one_whose_folder_somebody_has_removed_can_go_unless_its_journals_are_there(place: Place) -> None:
    assert place.shelves.fault(place.row) is None
    journal = place.root / ".nbflow" / "journals" / RUN / "a.1.jsonl"
    journal.parent.mkdir(parents=True)
    assert place.shelves.fault(place.row) is None
    journal.write_text("{}")
    assert "not in the archive" in str(place.shelves.fault(place.row))


def test_links_are_left_to_their_owner(place: Place, tmp_path: Path) -> None:
    place.publish()
    folder = place.root / "sales" / RUN
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert "is a symbolic link" in str(place.shelves.fault(place.row))
    folder.unlink()
    (place.root / "sales").rename(tmp_path / "away")
    (place.root / "sales").symlink_to(tmp_path / "away")
    assert "leads out of the archive" in str(place.shelves.fault(place.row))


def test_one_in_another_archive_stays(tmp_path: Path) -> None:
    before = tmp_path / "before" / "sales" / RUN
    before.mkdir(parents=True)
    place = Place(tmp_path, root=str(tmp_path), outputs="before")
    assert place.shelves.fault(place.row) == "its notebooks lie in before, which is not `outputs` of this project"
    before.rmdir()
    assert place.shelves.fault(place.row) is None
    assert "s3://other/x" in str(Place(tmp_path, outputs="s3://other/x").shelves.fault(place.row))


def test_object_storage(tmp_path: Path) -> None:
    place = Place(tmp_path, "s3://bucket/x", outputs="s3://bucket/x")
    uploads = place.archiving.uploads
    assert uploads is not None
    place.publish()
    uploads.ledgers.waiting = {RUN}
    assert place.shelves.fault(place.row) == "not all of it is in s3://bucket/x yet"
    uploads.ledgers.waiting = set()
    assert place.shelves.fault(place.row) is None
    place.shelves.erase(Removed(run=RUN, pipeline="sales"))
    assert place.archiving.removed == [f"sales/{RUN}"]
    assert uploads.ledgers.dropped == [RUN]
    assert not (place.root / "sales" / RUN).exists()
