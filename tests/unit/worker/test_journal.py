"""The journal: what was appended is read back, whatever tore its end, and one process has it at a time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.durable import sync_folder
from nbflow.worker import journal as jr
from nbflow.worker.journal import Journal, JournalError
from support.waiting import until


def evict() -> None:
    raise AssertionError("nobody is to be evicted")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journals/run/task.1.jsonl"


def test_what_is_appended_is_read(place: Path) -> None:
    journal = Journal.create(str(place))
    journal.append("attempt", text="é\ud800\n", number=1)
    assert jr.read(place) == [{"type": "attempt", "text": "é\ud800\n", "number": 1}]
    journal.append("ended", verdict="failed")
    journal.close()
    assert [record["type"] for record in jr.read(place)] == ["attempt", "ended"]
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


@given(st.integers(0, 80))
def test_a_torn_end_is_dropped(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "torn"
    whole = b'{"type":"a"}\n{"type":"b"}\n{"type":"c"}\n'
    data = whole[:cut]
    path.write_bytes(data)
    kept = whole.splitlines(keepends=True)[: data.count(b"\n")]
    assert len(jr.read(path)) == len(kept)
    Journal.reopen(str(path), patience=0, evict=evict).close()
    assert path.read_bytes() == b"".join(kept)


def test_zeros_of_a_power_cut_end_it(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_bytes(b'{"type":"a"}\n\0\0\0\0\n{"type":"b"}\n')
    assert [record["type"] for record in jr.read(place)] == ["a"]
    Journal.reopen(str(place), patience=0, evict=evict).close()
    assert place.stat().st_size == 13


def test_it_is_read_record_by_record(place: Path) -> None:
    journal = Journal.create(str(place))
    for _ in range(50):
        journal.append("output", text="x" * 1_000_000)
    journal.close()
    tracemalloc.start()
    try:
        assert sum(1 for _ in jr.records(place)) == 50
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_journal_that_is_there_is_not_written_over(place: Path) -> None:
    Journal.create(str(place)).close()
    with pytest.raises(JournalError, match="cannot begin the journal"):
        Journal.create(str(place))


def test_a_planted_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError):
        Journal.create(str(place))
    assert not (tmp_path / "elsewhere").exists()


def test_reopening_goes_on_after_the_last_whole_record(place: Path) -> None:
    first = Journal.create(str(place))
    first.append("attempt")
    first.close()
    with place.open("ab") as file:
        file.write(b'{"type":"torn')
    again = Journal.reopen(str(place), patience=0, evict=evict)
    again.append("ended")
    again.close()
    assert [record["type"] for record in jr.read(place)] == ["attempt", "ended"]


def test_whoever_has_it_gets_time_and_is_evicted_then(place: Path) -> None:
    held = Journal.create(str(place))
    evicted: list[bool] = []

    def evict_it() -> None:
        evicted.append(True)
        held.close()

    Journal.reopen(str(place), patience=0.1, evict=evict_it).close()
    assert evicted == [True]


def test_one_that_cannot_be_evicted_keeps_it(place: Path) -> None:
    held = Journal.create(str(place))
    with pytest.raises(JournalError, match="still in use"):
        Journal.reopen(str(place), patience=0.05, evict=lambda: None)
    held.close()


def test_the_lock_ends_with_its_process(place: Path) -> None:
    code = "import sys, os; from nbflow.worker.journal import Journal; Journal.create(sys.argv[1]); os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(place)], check=True)
    Journal.reopen(str(place), patience=0, evict=evict).close()


def test_there_must_be_one_to_reopen_or_read(place: Path) -> None:
    with pytest.raises(JournalError, match="cannot open"):
        Journal.reopen(str(place), patience=0, evict=evict)
    with pytest.raises(JournalError, match="cannot read"):
        jr.read(place)


def test_after_a_failed_write_there_is_no_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(str(place))
    real, full = os.write, True

    def write(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(jr.os, "write", write)
    with pytest.raises(JournalError, match="No space left"):
        journal.append("attempt")
    full = False
    with pytest.raises(JournalError, match="No space left"):
        journal.append("attempt")
    journal.close()


def test_after_a_failed_sync_there_is_no_write(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(jr.os, "fsync", fsync)
    journal = Journal.create(str(place))
    journal.append("attempt")
    journal.sync_soon()
    journal._syncer.join(10)
    with pytest.raises(JournalError, match="Input/output error"):
        journal.append("ended")
    journal.close()
    assert len(calls) == 1  # a second sync would succeed without having written anything


def test_everything_is_synced_within_a_second_or_when_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(place.stat().st_size)

    monkeypatch.setattr(jr.os, "fsync", fsync)
    journal = Journal.create(str(place))
    for number in range(100):
        journal.append("output", number=number)
    journal.close()
    assert synced[-1] == place.stat().st_size
    assert len(synced) < 10


@pytest.mark.parametrize("lasts", [True, False])
def test_the_name_of_one_that_lasts_is_synced_too(place: Path, monkeypatch: pytest.MonkeyPatch, lasts: bool) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(jr, "sync_folder", synced.append)
    monkeypatch.setattr(jr, "_SYNC_EVERY", 0.02 if lasts else 60.0)
    journal = Journal.create(str(place))
    journal.append("attempt")
    expected = [place.parent, place.parent.parent, place.parents[2]] if lasts else []
    if lasts:
        until(lambda: journal.append("output") is None and synced == expected)
    journal.sync_soon()
    journal.close()
    assert synced == expected


def test_one_that_is_removed_is_written_and_read_all_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a notebook that clears the folder in which those of others lie."""
    monkeypatch.setattr(jr, "_SYNC_EVERY", 0.02)
    synced: list[int] = []
    tried: list[int] = []

    def sync(folder: Path) -> None:
        tried.append(len(synced))
        sync_folder(folder)

    monkeypatch.setattr(jr, "sync_folder", sync)
    monkeypatch.setattr(os, "fsync", synced.append)
    with closing(Journal.create(str(place))) as journal:
        assert not journal.is_removed
        journal.append("attempt")
        shutil.rmtree(place.parent)
        until(lambda: journal.append("output") is None and tried and len(synced) > tried[0])
        journal.append("ended")
        assert journal.is_removed
        found = [record["type"] for record in journal.records()]
        assert (found[0], found[1], found[-1]) == ("attempt", "output", "ended")
        assert next(journal.records()) == {"type": "attempt"}


def test_instants_are_utc_with_milliseconds() -> None:
    assert len(jr.instant()) == len("2026-01-31T02:00:00.123Z")
    assert jr.instant().endswith("Z")


def test_records_are_lines_of_ascii(place: Path) -> None:
    journal = Journal.create(str(place))
    body: dict[str, Any] = {"text": "\u2028\u0085\x1c\n"}  # what splitlines would take for ends of lines
    journal.append("output", **body)
    journal.close()
    assert place.read_bytes().isascii()
    assert jr.read(place)[0]["text"] == body["text"]


def test_a_worker_that_writes_nothing_gives_signs_of_life(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jr, "_SIGN_EVERY", 0.05)
    journal = Journal.create(str(place))
    os.utime(place, (1000.0, 1000.0))
    until(lambda: place.stat().st_mtime > 1000.0)
    journal.close()
    assert jr.read(place) == []
