"""The file of a store: how it is made, and which files are refused, untouched."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nbflow.errors import UnreachableError
from nbflow.store.file import APPLICATION, create_file, open_file
from nbflow.store.migrate import migrations
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.stored import Kept

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store is, with a run in it."""
    path = tmp_path / "state.db"
    with closing(SqliteStore(path)) as store:
        Kept(store, *(planned(f"t{number}") for number in range(50))).send("start")
    return path


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder whose permissions bind us: where the tests run as root, it and they belong to nobody meanwhile."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
        else:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
            try:
                yield folder
            finally:
                os.seteuid(0)
        folder.chmod(0o700)


def refusal(path: Path) -> UnreachableError:
    """The error of opening a file that is no good, after checks that it is clear and that nothing was changed."""
    before = snapshot(path.parent)
    with pytest.raises(UnreachableError) as caught:
        SqliteStore(path)
    error = caught.value
    assert error.exit_code == 6
    assert str(path) in error.message
    assert "\n" not in error.message
    assert error.hint
    assert snapshot(path.parent) == before
    return error


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a folder: kind, permissions and content."""
    found: dict[str, tuple[object, ...]] = {}
    for entry in sorted(folder.iterdir()):
        status = entry.lstat()
        content: object = entry.readlink() if entry.is_symlink() else None
        if stat.S_ISREG(status.st_mode) and os.access(entry, os.R_OK, effective_ids=True):
            content = entry.read_bytes()
        found[entry.name] = (status.st_mode, status.st_ino, content)
    return found


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


class TestCreate:
    def test_the_file_is_for_its_owner_alone_and_so_is_a_folder_made_for_it(self, tmp_path: Path) -> None:
        path = tmp_path / "out puts" / "ünï#?%41" / ".nbflow" / "state.db"
        before = os.umask(0)
        try:
            with closing(SqliteStore(path)) as store:
                Kept(store, planned("a"))
                modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        finally:
            os.umask(before)
        assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert names(path.parent) == ["state.db"]

    def test_the_permissions_of_a_folder_that_is_there_stay(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        SqliteStore(tmp_path / "state.db").close()
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755

    def test_it_is_known_as_ours_and_in_wal_mode(self, tmp_path: Path) -> None:
        create_file(tmp_path / "state.db")
        with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
            assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA user_version").fetchone() == (migrations()[-1].number,)

    def test_one_that_is_there_already_stays(self, path: Path) -> None:
        before = snapshot(path.parent)
        create_file(path)
        assert snapshot(path.parent) == before

    def test_names_that_sqlite_takes_for_something_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in (":memory:", "file:x.db", "a?mode=memory", "%41", "b\udcff"):
            SqliteStore(Path(name)).close()
            assert (tmp_path / name).stat().st_size > 0

    def test_a_draft_is_not_left_where_it_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "link", fail)
        with pytest.raises(UnreachableError, match="No space left on device") as caught:
            SqliteStore(tmp_path / "new" / "state.db")
        assert "make room" in str(caught.value.hint)
        assert names(tmp_path / "new") == []

    def test_a_file_where_a_folder_is_needed(self, tmp_path: Path) -> None:
        (tmp_path / "outputs").write_text("not a folder")
        with pytest.raises(UnreachableError, match=r"outputs/state\.db: the store cannot be used: Not a directory"):
            SqliteStore(tmp_path / "outputs" / "state.db")
        with pytest.raises(UnreachableError, match=r"outputs/a/state\.db: the store cannot be used: Not a directory"):
            SqliteStore(tmp_path / "outputs" / "a" / "state.db", create=False)


class TestOpen:
    def test_every_commit_is_synced_and_references_are_checked(self, path: Path) -> None:
        with closing(open_file(path, 1.0)) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_a_backup_that_is_not_in_wal_mode_is_put_into_it(self, path: Path, tmp_path: Path) -> None:
        backup = tmp_path / "backup.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(backup),))
        backup.chmod(0o600)
        with closing(SqliteStore(backup)) as store:
            assert len(store.runs()) == 1

    def test_a_file_that_is_missing_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_file(tmp_path / "state.db", 1.0)
        assert names(tmp_path) == []

    def test_one_that_goes_away_right_after_the_look_is_not_made_anew(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nbflow.store.file._check_file", Path.unlink)
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            open_file(path, 0.0)
        assert names(path.parent) == []


class TestRefused:
    def test_an_empty_file(self, path: Path) -> None:
        path.write_bytes(b"")
        error = refusal(path)
        assert error.message == f"{path}: the store is empty: its history is lost"
        assert "backup" in str(error.hint)

    @pytest.mark.parametrize("content", [b"hello\n", os.urandom(8192), b"SQLite format 3\x00" + b"\xff" * 5000])
    def test_no_database(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        error = refusal(path)
        assert "not a database" in error.message
        assert "backup" in str(error.hint)

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
    def test_a_file_cut_off(self, path: Path, part: float) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * part)])
        error = refusal(path)
        assert "malformed" in error.message
        assert "backup" in str(error.hint)

    def test_a_database_of_another_program(self, path: Path) -> None:
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE runs (id)")
            connection.commit()
        assert refusal(path).message == f"{path}: the file is a database, but no store of nbflow"

    def test_a_newer_store(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        error = refusal(path)
        assert f"{path}: the store has schema 99, this nbflow knows up to" in error.message
        assert "upgrade nbflow" in str(error.hint)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (Path.mkdir, "the store is a folder"),
            (os.mkfifo, "the store is no ordinary file"),
            (lambda path: path.symlink_to("/dev/zero"), "the store is a link"),
            (lambda path: path.symlink_to("missing.db"), "the store is a link"),
        ],
    )
    def test_what_is_no_file(self, tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
        path = tmp_path / "state.db"
        make(path)
        assert refusal(path).message == f"{path}: {words}"
        with pytest.raises(UnreachableError, match=words):
            SqliteStore(path, create=False)

    def test_a_file_that_cannot_be_written(self, own_folder: Path) -> None:
        path = own_folder / "state.db"
        SqliteStore(path).close()
        path.chmod(0o400)
        error = refusal(path)
        assert error.message == f"{path}: the store cannot be written"
        assert "can be written" in str(error.hint)

    def test_a_folder_that_cannot_be_written(self, own_folder: Path) -> None:
        path = own_folder / "state.db"
        SqliteStore(path).close()
        own_folder.chmod(0o500)
        assert refusal(path).message == f"{path}: the store's folder cannot be written"

    def test_a_new_store_in_a_folder_that_cannot_be_written(self, own_folder: Path) -> None:
        own_folder.chmod(0o500)
        assert "the store's folder cannot be written" in refusal(own_folder / "state.db").message
        path = own_folder / "new" / "state.db"
        with pytest.raises(UnreachableError, match=r"new/state\.db: the store cannot be used: Permission denied"):
            SqliteStore(path)

    def test_a_folder_that_cannot_be_entered(self, own_folder: Path) -> None:
        own_folder.chmod(0o000)
        for create in (True, False):
            with pytest.raises(UnreachableError, match=r"state\.db: the store cannot be used: Permission denied"):
                SqliteStore(own_folder / "state.db", create=create)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
    @pytest.mark.parametrize("what", ["folder", "file"])
    def test_what_belongs_to_another_user(self, path: Path, what: str) -> None:
        os.chown(path if what == "file" else path.parent, NOBODY, NOBODY)
        error = refusal(path)
        owned = "the store's folder" if what == "folder" else "the store"
        assert error.message == f"{path}: {owned} belongs to another user (uid {NOBODY})"
        assert "a folder of your own" in str(error.hint)
        path.unlink()
        if what == "folder":
            with pytest.raises(UnreachableError, match="belongs to another user"):
                SqliteStore(path)
            assert names(path.parent) == []
