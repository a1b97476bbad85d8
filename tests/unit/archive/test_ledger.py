from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nbflow.archive.ledger import Ledgers, Uploaded
from nbflow.errors import UnreachableError, UsageError


def entry(path: str, size: int = 1) -> Uploaded:
    return Uploaded(path=path, size=size, mtime=7, sha256="f" * 64)


def test_a_run_waits_until_it_is_ended(tmp_path: Path) -> None:
    ledgers = Ledgers(tmp_path / "uploads")
    assert (ledgers.waiting(), ledgers.done(), ledgers.is_waiting("r-1")) == ([], [], False)
    ledgers.begin("r-1")
    ledgers.begin("r-1")
    ledgers.note("r-1", [entry("p/r-1/a")])
    assert (ledgers.waiting(), ledgers.done(), ledgers.is_waiting("r-1")) == (["r-1"], [], True)
    ledgers.end("r-1")
    ledgers.end("r-1")
    assert (ledgers.waiting(), ledgers.done(), ledgers.is_waiting("r-1")) == ([], ["r-1"], False)
    ledgers.begin("r-1")
    assert set(ledgers.entries("r-1")) == {"p/r-1/a"}, "a run that is resumed keeps what is known of it"
    ledgers.drop("r-1")
    ledgers.drop("r-1")
    assert (ledgers.waiting(), ledgers.entries("r-1")) == ([], {})


def test_the_newest_line_counts_and_one_that_was_cut_does_not(tmp_path: Path) -> None:
    ledgers = Ledgers(tmp_path)
    ledgers.begin("r-1")
    ledgers.note("r-1", [entry("a"), entry("b")])
    with (tmp_path / "waiting/r-1.jsonl").open("a") as file:
        file.write('\n{"path": "c", "si')
    ledgers.note("r-1", [entry("a", 2)])
    with (tmp_path / "waiting/r-1.jsonl").open("a") as file:
        file.write('\n{"path": "d"}\n[1]\n')
    assert ledgers.entries("r-1") == {"a": entry("a", 2), "b": entry("b")}


def test_a_copy_of_a_run_that_does_not_wait_is_noted(tmp_path: Path) -> None:
    ledgers = Ledgers(tmp_path)
    ledgers.note("r-1", [entry("a")])
    assert (ledgers.waiting(), ledgers.done()) == ([], ["r-1"])


def test_many_write_at_once(tmp_path: Path) -> None:
    ledgers = Ledgers(tmp_path)
    ledgers.begin("r-1")
    threads = [
        threading.Thread(target=lambda n=n: [ledgers.note("r-1", [entry(f"{n}/{m}")]) for m in range(50)])  # type: ignore[misc]
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledgers.entries("r-1")) == 200


def test_what_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match="cannot"):
        Ledgers(tmp_path / "file").begin("r-1")
    with pytest.raises(UnreachableError, match="cannot"):
        Ledgers(tmp_path / "file").note("r-1", [entry("a")])
    with pytest.raises(UsageError):
        Ledgers(tmp_path).begin("../r-1")


def test_that_a_run_waits_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("nbflow.archive.ledger.sync_folder", synced.append)
    ledgers = Ledgers(tmp_path)
    for _ in range(2):
        ledgers.begin("r-1")
        assert synced.pop() == tmp_path / "waiting"
        ledgers.end("r-1")
    assert synced == []
