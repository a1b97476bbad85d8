"""Publishing: whole or absent, named errors, nothing outside the root."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from nbflow.errors import NotFoundError, UnreachableError, UsageError

NOTEBOOK = "sales/run-1/clean.ipynb"


@pytest.fixture
def archive(tmp_path: Path) -> FileArchive:
    made = FileArchive(tmp_path / "outputs")
    made.check()
    return made


def files_below(folder: Path) -> list[str]:
    return sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*") if found.is_file())


def failing(code: int):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_publish_makes_folders_and_reports_size_and_hash(archive: FileArchive) -> None:
    file = archive.publish(NOTEBOOK, b"{}\n")
    assert (file.path, file.size, file.sha256) == (NOTEBOOK, 3, sha256(b"{}\n").hexdigest())
    assert archive.read(NOTEBOOK) == b"{}\n"
    assert files_below(archive.root) == [NOTEBOOK]


def test_publish_replaces_an_earlier_file(archive: FileArchive) -> None:
    archive.publish(NOTEBOOK, b"old, and longer")
    archive.publish(NOTEBOOK, b"new")
    assert archive.read(NOTEBOOK) == b"new"
    assert files_below(archive.root) == [NOTEBOOK]


def test_published_files_obey_the_umask(archive: FileArchive) -> None:
    modes = []
    for umask in (0o022, 0o077):
        earlier = os.umask(umask)
        try:
            archive.publish(NOTEBOOK, b"x")
        finally:
            os.umask(earlier)
        modes.append(stat.S_IMODE(archive.resolve(NOTEBOOK).stat().st_mode))
    assert modes == [0o644, 0o600]


def test_file_and_folders_are_synced_before_publish_returns(
    archive: FileArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    archive.publish(NOTEBOOK, b"x")
    folder = archive.root / "sales" / "run-1"
    assert sorted(synced[:2]) == [str(archive.root), str(folder.parent)]
    assert Path(synced[2]).parent == folder
    assert synced[2].endswith(".tmp")
    assert synced[3:] == [str(folder)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        *((errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EACCES, "owner")),
        *((errno.EIO, "gives errors"), (errno.EFBIG, "ulimit -f")),
    ],
)
def test_a_file_system_that_says_no_is_named_and_leaves_the_earlier_file(
    archive: FileArchive, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    archive.publish(NOTEBOOK, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(code))
        with pytest.raises(UnreachableError) as caught:
            archive.publish(NOTEBOOK, b"new")
    assert os.strerror(code) in caught.value.message
    assert NOTEBOOK in caught.value.message
    assert words in (caught.value.hint or "")
    assert caught.value.exit_code == 6
    assert archive.read(NOTEBOOK) == b"old"
    assert files_below(archive.root) == [NOTEBOOK]


def test_a_write_that_the_kernel_cuts_short_leaves_the_earlier_file(tmp_path: Path) -> None:
    code = """
import json, resource, sys
from pathlib import Path
from nbflow.archive.files import FileArchive
from nbflow.errors import UnreachableError
archive = FileArchive(Path(sys.argv[1])); archive.check(); archive.publish("a/b.ipynb", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try: archive.publish("a/b.ipynb", b"x" * 100_000)
except UnreachableError as error: print(json.dumps([error.exit_code, error.message]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    exit_code, message = json.loads(done.stdout)
    assert exit_code == 6
    assert "File too large" in message
    assert files_below(tmp_path) == ["a/b.ipynb"]
    assert (tmp_path / "a" / "b.ipynb").read_bytes() == b"old"


def test_an_interrupt_while_writing_leaves_nothing(archive: FileArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            archive.publish("clean.ipynb", b"x")
    assert files_below(archive.root) == []


def test_a_folder_that_cannot_be_synced_by_its_file_system_is_no_fault(
    archive: FileArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def network(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", network)
    archive.publish(NOTEBOOK, b"x")
    assert archive.exists(NOTEBOOK)


def test_check_makes_the_root_and_leaves_no_probe(tmp_path: Path) -> None:
    root = tmp_path / "a b" / "výstup {x}%"
    FileArchive(root).check()
    assert root.is_dir()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("root", ["/proc/nbflow-archive", "/proc/self"])
def test_check_finds_a_folder_that_cannot_be_written(root: str) -> None:
    with pytest.raises(UnreachableError, match="cannot use the archive"):
        FileArchive(Path(root)).check()


def test_check_names_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(UnreachableError) as caught:
        FileArchive(tmp_path / "outputs").check()
    assert str(tmp_path / "outputs") in caught.value.message
    with pytest.raises(UnreachableError) as caught:
        FileArchive(tmp_path / "outputs" / "deeper").check()
    assert "a file stands" in (caught.value.hint or "")


def test_check_looks_at_the_folder_of_a_run_as_far_as_it_is_there(archive: FileArchive, tmp_path: Path) -> None:
    archive.check("sales/run")
    assert files_below(archive.root) == []
    assert list(archive.root.iterdir()) == []
    (archive.root / "sales").write_text("a file")
    with pytest.raises(UnreachableError, match=f"cannot use the archive {archive.root / 'sales'}"):
        archive.check("sales/run")
    (archive.root / "sales").unlink()
    (archive.root / "sales").symlink_to(tmp_path)
    with pytest.raises(UnreachableError, match=r"sales/run leads out of the archive .* by a symbolic link"):
        archive.check("sales/run")
    archive.check("other/run")
    (archive.root / "sales").unlink()
    (archive.root / "sales/run").mkdir(parents=True)
    (archive.root / "elsewhere").symlink_to(archive.root / "sales")
    archive.check("sales/run")
    archive.check("elsewhere/run")
    (archive.root / "gone").symlink_to(archive.root / "nowhere")
    with pytest.raises(UnreachableError, match="cannot use the archive"):
        archive.check("gone/run")


def test_check_leaves_nothing_when_it_is_killed(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from nbflow.archive.files import FileArchive
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
FileArchive(Path(sys.argv[1])).check()
"""
    root = tmp_path / "outputs"
    root.mkdir()
    killed = subprocess.run([sys.executable, "-c", code, str(root)], check=False)
    assert killed.returncode == -9
    assert list(root.iterdir()) == []


def test_a_root_that_has_gone_is_not_made_again(archive: FileArchive) -> None:
    archive.root.rmdir()
    with pytest.raises(UnreachableError, match="has gone"):
        archive.publish(NOTEBOOK, b"x")
    assert not archive.root.exists()


def test_a_run_folder_that_was_removed_is_made_again(archive: FileArchive) -> None:
    archive.publish(NOTEBOOK, b"x")
    archive.resolve(NOTEBOOK).unlink()
    archive.resolve(NOTEBOOK).parent.rmdir()
    archive.publish(NOTEBOOK, b"y")
    assert archive.read(NOTEBOOK) == b"y"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\0b", "a\\..\\b"])
def test_paths_that_are_none_of_ours_are_refused(archive: FileArchive, path: str) -> None:
    for call in (archive.read, archive.exists, archive.sweep, archive.resolve):
        with pytest.raises(UsageError):
            call(path)
    with pytest.raises(UsageError):
        archive.publish(path, b"x")
    with pytest.raises(UsageError):
        archive.move(path, "b")
    with pytest.raises(UsageError):
        archive.move("b", path)


def test_links_that_leave_the_root_are_refused(archive: FileArchive, tmp_path: Path) -> None:
    elsewhere = tmp_path / "outputs2"
    elsewhere.mkdir()
    (elsewhere / "clean.ipynb").write_bytes(b"theirs")
    (archive.root / "sales").symlink_to(elsewhere)
    (archive.root / "link.ipynb").symlink_to(elsewhere / "clean.ipynb")
    for path in ("sales/clean.ipynb", "link.ipynb"):
        with pytest.raises(UnreachableError, match="symbolic link"):
            archive.publish(path, b"ours")
        with pytest.raises(UnreachableError, match="symbolic link"):
            archive.read(path)
    assert (elsewhere / "clean.ipynb").read_bytes() == b"theirs"


def test_a_root_behind_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    archive = FileArchive(tmp_path / "outputs")
    archive.check()
    archive.publish(NOTEBOOK, b"x")
    assert (tmp_path / "disk" / NOTEBOOK).read_bytes() == b"x"


def test_move_keeps_an_earlier_attempt_and_may_be_repeated(archive: FileArchive) -> None:
    archive.publish("run/clean.ipynb", b"first try")
    for _ in range(2):
        moved = archive.move("run/clean.ipynb", "run/attempts/clean.1.ipynb")
        assert (moved.path, moved.size) == ("run/attempts/clean.1.ipynb", 9)
        assert moved.sha256 == sha256(b"first try").hexdigest()
    assert files_below(archive.root) == ["run/attempts/clean.1.ipynb"]


def test_move_and_read_of_what_is_not_there(archive: FileArchive) -> None:
    with pytest.raises(NotFoundError):
        archive.move("run/clean.ipynb", "run/attempts/clean.1.ipynb")
    with pytest.raises(NotFoundError, match=r"run/clean\.ipynb"):
        archive.read("run/clean.ipynb")
    assert not archive.exists("run/clean.ipynb")


def test_sweep_removes_what_a_killed_process_left_and_nothing_else(archive: FileArchive) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from nbflow.archive.files import FileArchive
os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
FileArchive(Path(sys.argv[1])).publish("run/attempts/clean.1.ipynb", b"x")
"""
    archive.publish("run/attempts/done.1.ipynb", b"done")
    killed = subprocess.run([sys.executable, "-c", code, str(archive.root)], check=False)
    assert killed.returncode == -9
    orphans = [name for name in files_below(archive.root) if name.endswith(".tmp")]
    assert len(orphans) == 1
    mine = archive.root / "run" / ".mine.tmp"
    mine.write_text("a user's file")
    assert archive.sweep("run") == orphans
    assert files_below(archive.root) == ["run/.mine.tmp", "run/attempts/done.1.ipynb"]
    assert archive.sweep("run") == []
    assert archive.sweep("no-such-run") == []
