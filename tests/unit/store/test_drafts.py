"""Drafts of a store are swept once nobody makes them any more, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbflow.store import drafts
from nbflow.store.drafts import OLD_SECONDS, drop, make, sweep
from nbflow.store.file import create_file
from nbflow.store.sqlite import SqliteStore

MAKE = "import sys; from pathlib import Path; from nbflow.store.drafts import make; print(make(Path(sys.argv[1])))"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def left(path: Path) -> Path:
    """A draft whose maker is gone, with a journal beside it."""
    said = subprocess.run([sys.executable, "-c", MAKE, path], capture_output=True, text=True, check=True)
    draft = Path(said.stdout.strip())
    Path(f"{draft}-journal").write_bytes(b"x")
    return draft


def beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir() if one.name.endswith((".tmp", ".tmp-journal")))


def age(draft: Path) -> None:
    past = draft.stat().st_mtime - OLD_SECONDS - 10
    os.utime(draft, (past, past))


def test_a_draft_is_dropped_with_what_lies_beside_it(path: Path) -> None:
    draft = make(path)
    Path(f"{draft}-wal").touch()
    assert draft.stat().st_mode & 0o077 == 0
    drop(draft)
    assert list(path.parent.iterdir()) == []


def test_one_whose_maker_is_gone_is_swept_at_once(path: Path, left: Path) -> None:
    assert beside(path) == [left.name, f"{left.name}-journal"]
    sweep(path)
    assert beside(path) == []


def test_one_that_is_being_made_is_left_alone_until_it_is_old(path: Path) -> None:
    mine = make(path)
    sweep(path)
    assert mine.exists()
    age(mine)
    sweep(path)
    assert not mine.exists(), "another process has got the number"


def test_one_of_another_machine_is_left_alone_until_it_is_old(
    path: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_here", lambda: "0" * 12)
    sweep(path)
    assert left.exists()
    age(left)
    sweep(path)
    assert not left.exists()


def test_what_is_no_draft_of_ours_stays(path: Path) -> None:
    strange = [path.with_name(name) for name in (".other.db.1_a_b.tmp", "state.db.tmp", ".state.db.x.txt")]
    folder, link = path.with_name(".state.db.abc.tmp"), path.with_name(".state.db.abd.tmp")
    for one in strange:
        one.touch()
    folder.mkdir()
    link.symlink_to(strange[0])
    for one in (*strange, folder):
        age(one)
    sweep(path)
    assert all(os.path.lexists(one) for one in (*strange, folder, link))
    sweep(path.parent / "nowhere" / "state.db")


@pytest.mark.usefixtures("left")
def test_the_next_one_who_makes_the_store_sweeps(path: Path) -> None:
    create_file(path)
    assert beside(path) == []


def test_the_next_one_who_opens_the_store_sweeps(path: Path) -> None:
    """Its maker was killed when the store had its place already."""
    SqliteStore(path).close()
    subprocess.run([sys.executable, "-c", MAKE, path], capture_output=True, check=True)
    assert len(beside(path)) == 1
    SqliteStore(path).close()
    assert beside(path) == []
