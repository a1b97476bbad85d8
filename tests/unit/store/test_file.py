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

from nbflow.errors import NoRoomError, UnreachableError
from nbflow.store import places
from nbflow.store.file import APPLICATION, create_file, open_file, read_file
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
            SqliteStore(folder / "first.db").close()  # nobody may not import what that imports
            (folder / "first.db").unlink()
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
        with pytest.raises(NoRoomError, match=f"the disk of {tmp_path}/new is full") as caught:
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
        monkeypatch.setattr("nbflow.store.access.check_file", Path.unlink)
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            open_file(path, 0.0)
        assert names(path.parent) == []


class TestRefused:
    def test_an_empty_file(self, path: Path) -> None:
        path.write_bytes(b"")
        error = refusal(path)
        assert error.message == f"{path}: the store is empty: its history is lost"
        assert "backup" in str(error.hint)

    @pytest.mark.parametrize(
        "content", [b"\x00" * 100, b"\x00" + os.urandom(8191), b"SQLite format 3\x00" + b"\xff" * 5000]
    )
    def test_no_database(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        error = refusal(path)
        assert "not a database" in error.message
        assert "backup" in str(error.hint)

    def test_a_file_that_was_never_a_store(self, path: Path) -> None:
        path.write_text("[nbflow]\nstate = 'pipelines.toml'\n")
        error = refusal(path)
        assert error.message == f"{path}: the file is a text, and no store of nbflow"
        assert "backup" not in str(error.hint)

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
            (lambda path: path.symlink_to("missing.db"), "the store is a link that leads nowhere"),
        ],
    )
    def test_what_is_no_file(self, tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
        path = tmp_path / "state.db"
        make(path)
        refused = refusal(path)
        assert refused.message == f"{path}: {words}"
        assert "set [nbflow] state to" in str(refused.hint)
        with pytest.raises(UnreachableError, match=words):
            SqliteStore(path, create=False)

    @pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
    def test_a_link_beside_it(self, path: Path, suffix: str) -> None:
        path.with_name(f"state.db{suffix}").symlink_to(path)
        assert refusal(path).message == f"{path}: state.db{suffix} beside it is no ordinary file"

    def test_a_log_beside_it_that_cannot_be_written(self, own_folder: Path) -> None:
        path = own_folder / "state.db"
        SqliteStore(path).close()
        log = own_folder / "state.db-wal"
        log.touch(0o400)
        error = refusal(path)
        assert error.message == (f"{path}: state.db-wal, which another process has left beside it, cannot be written")
        assert "do not remove" in str(error.hint)

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

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
    def test_a_journal_of_another_user(self, path: Path) -> None:
        """SQLite would undo to what it says."""
        journal = path.with_name("state.db-journal")
        journal.write_bytes(b"x" * 600)
        os.chown(journal, NOBODY, NOBODY)
        assert "state.db-journal beside it belongs to another user" in refusal(path).message


class TestReading:
    """What cannot be written can be read all the same."""

    @pytest.fixture
    def kept(self, own_folder: Path) -> Path:
        path = own_folder / "state.db"
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a"))
        path.chmod(0o400)
        own_folder.chmod(0o500)
        return path

    def test_runs_are_listed_and_nothing_is_written(self, kept: Path) -> None:
        before = snapshot(kept.parent)
        with closing(SqliteStore(kept, create=False)) as store:
            (row,) = store.runs()
            assert len(list(store.events(row.run))) == row.seq
            for write in (lambda: store.claim(row.run, "me", lambda _: False), lambda: store.release(row.run, 1)):
                with pytest.raises(UnreachableError, match="the store cannot be written"):
                    write()
            assert len(store.runs()) == 1
        assert snapshot(kept.parent) == before

    def test_it_is_written_once_it_can_be(self, kept: Path) -> None:
        with closing(SqliteStore(kept, create=False)) as store:
            (row,) = store.runs()
            kept.parent.chmod(0o700)
            kept.chmod(0o600)
            assert store.claim(row.run, "me", lambda _: False) == row.fence + 1

    def test_a_log_without_its_index_is_not_ignored(self, own_folder: Path) -> None:
        """Without it the file is that of an earlier time."""
        path, copy = own_folder / "state.db", own_folder / "copy"
        copy.mkdir()
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a"))
            for name in ("state.db", "state.db-wal"):
                (copy / name).write_bytes((own_folder / name).read_bytes())
        copy.chmod(0o500)
        with pytest.raises(UnreachableError, match=r"state\.db-wal beside it cannot be read") as caught:
            SqliteStore(copy / "state.db", create=False)
        assert "copy both" in str(caught.value.hint)
        copy.chmod(0o700)
        with closing(SqliteStore(copy / "state.db")) as store:
            assert len(store.runs()) == 1

    def test_an_older_one_is_not_upgraded(self, kept: Path) -> None:
        kept.chmod(0o600)
        kept.parent.chmod(0o700)
        with closing(sqlite3.connect(kept)) as connection:
            connection.execute("PRAGMA user_version = 0")
        kept.parent.chmod(0o500)
        with pytest.raises(UnreachableError, match="the store has schema 0, and cannot be written to be upgraded"):
            SqliteStore(kept, create=False)


def journal(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        found: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return found


class TestPlaces:
    """On a network there is no shared memory: a rollback journal."""

    @pytest.fixture
    def remote(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "_mounts", lambda: [("/", "nfs4")])

    def test_no_log_on_a_network(self, tmp_path: Path, remote: None) -> None:
        path = tmp_path / "state.db"
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a")).send("start")
            assert sorted(names(tmp_path)) == ["state.db", "state.db-journal"]
            assert (tmp_path / "state.db-journal").stat().st_size == 0
        assert journal(path) == "delete"
        with closing(open_file(path, 1.0)) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
            assert connection.execute("PRAGMA locking_mode").fetchone() == ("normal",)

    def test_nor_in_a_synced_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "Dropbox" / "state.db"
        SqliteStore(path).close()
        assert journal(path) == "delete"

    def test_a_log_is_taken_in_when_a_store_comes_to_a_network(self, path: Path, remote: None) -> None:
        assert journal(path) == "wal"
        with closing(SqliteStore(path)) as store, closing(SqliteStore(path)) as other:
            assert len(store.runs()) == len(other.runs()) == 1
            Kept(other, planned("b"), run="second")
            assert len(store.runs()) == 2
        assert journal(path) == "delete"

    def test_not_while_somebody_uses_it(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with closing(SqliteStore(path)) as local:
            monkeypatch.setattr(places, "_mounts", lambda: [("/", "nfs4")])
            with pytest.raises(UnreachableError, match="database is locked"):
                SqliteStore(path, busy_seconds=0.1)
            assert len(local.runs()) == 1
        with closing(SqliteStore(path)) as store:
            assert len(store.runs()) == 1

    def test_one_from_a_network_stays_as_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody may have it open over there, and would go on with a log without shared memory."""
        path = tmp_path / "state.db"
        with monkeypatch.context() as patch:
            patch.setattr(places, "_mounts", lambda: [("/", "nfs4")])
            SqliteStore(path).close()
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a"))
        assert journal(path) == "delete"

    def test_who_reads_is_waited_for_by_a_commit(self, tmp_path: Path, remote: None) -> None:
        path = tmp_path / "state.db"
        with closing(SqliteStore(path, busy_seconds=0.2)) as store, closing(sqlite3.connect(path)) as reader:
            run = Kept(store, planned("a"))
            cursor = reader.execute("SELECT * FROM events UNION ALL SELECT * FROM events")
            cursor.fetchone()
            events, projection = run.batch("start")
            with pytest.raises(UnreachableError, match="database is locked"):
                store.append(events, projection, run.fence)
            cursor.close()
            store.append(events, projection, run.fence)
            assert [one.seq for one in store.events(run.run)] == list(range(1, events[-1].seq + 1))

    @pytest.mark.parametrize("taken", [False, True])
    def test_no_links_to_make_it_with(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
        path = tmp_path / "state.db"

        def fail(*_: object) -> None:
            if taken:
                path.write_bytes(b"quicker")
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(os, "link", fail)
        create_file(path)
        assert names(tmp_path) == ["state.db"]
        assert (path.read_bytes() == b"quicker") is taken

    def test_two_that_make_it_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / ".state.db.lock").mkdir()
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))
        with pytest.raises(UnreachableError, match="another process is just making the store"):
            SqliteStore(tmp_path / "state.db")

    def test_space_that_is_given_up_can_go_back_to_the_disk(self, path: Path) -> None:
        with closing(read_file(path, 1.0)) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
