"""Whose the files of a store are. What is refused at opening is in `test_file`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nbflow.errors import UnreachableError
from nbflow.store.access import check_file, check_folder, check_not_lost, check_writable, is_full, is_text, is_writable
from nbflow.store.file import create_file


def test_a_file_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"\x00")
    for check in (check_file, check_folder, check_writable):
        check(path)
    assert is_writable(path)


def test_one_that_is_not_there_yet_can_be_written_where_its_folder_can(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "state.db")
    with pytest.raises(FileNotFoundError):
        check_file(tmp_path / "state.db")


def test_a_folder_beside_it_with_the_name_of_its_log(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"\x00")
    path.with_name("state.db-wal").mkdir()
    with pytest.raises(UnreachableError, match=r"state\.db-wal beside it is no ordinary file"):
        check_file(path)


@pytest.mark.parametrize("log", ["state.db-wal", "state.db-journal"])
def test_a_store_that_is_gone_is_not_begun_anew_while_its_log_is_there(tmp_path: Path, log: str) -> None:
    path = tmp_path / "state.db"
    (tmp_path / log).write_bytes(b"what was written last")
    with pytest.raises(UnreachableError, match=rf"the store is gone, and {log} beside it"):
        create_file(path)
    assert (tmp_path / log).read_bytes() == b"what was written last"
    assert not path.exists()


def test_an_empty_log_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "state.db-wal").touch()
    check_not_lost(tmp_path / "state.db")


def test_no_room_is_found_by_trying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_full(tmp_path)
    for reason, told in ((errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)):

        def fail(_: int, reason: int = reason) -> None:
            raise OSError(reason, os.strerror(reason))

        monkeypatch.setattr(os, "fsync", fail)
        assert is_full(tmp_path) is told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"hello\n", b"[nbflow]\r\nstate = 'x'\n", "\ufeff{}".encode(), b"x" * 511 + "é".encode()]
)
def test_a_text_is_somebodys_file_and_not_to_be_moved_away(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_bytes(content)
    with pytest.raises(UnreachableError, match="the file is a text, and no store of nbflow") as caught:
        check_file(path)
    assert caught.value.hint == "set [nbflow] state to another file"
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"SQLite format 3", b"SQLite", bytes(600), b"text\x00", b"\xff\xfe", b"x" * 99 + b"\xc3"]
)
def test_what_may_have_been_a_store_is_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    check_file(path)
    assert not is_text(path)


def test_what_may_be_a_store_in_use_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To close it again would give up the locks that this process has on it."""
    path = tmp_path / "state.db"
    create_file(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: pytest.fail("it was opened"))
        check_file(path)
        assert not is_text(path)


def test_what_cannot_be_read_is_not_known_to_be_a_text(tmp_path: Path) -> None:
    assert not is_text(tmp_path)
