"""The private folder of a kernel: only its owner's, short enough for a socket, gone at the end."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.errors import UnreachableError
from nbflow.kernels import runtime
from nbflow.kernels.runtime import RuntimeFolder, remove_left_over


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="nbt-", dir="/tmp") as made:
        Path(made).chmod(0o700)
        yield Path(made)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Temporary files are in a place of the test's own."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(short))


def test_nobody_else_can_enter_and_sockets_fit() -> None:
    folder = RuntimeFolder.create()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert list(folder.ipython.iterdir()) == []
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{folder.socket_prefix}-5")
    folder.remove()
    assert not folder.path.exists()
    folder.remove()


def test_two_never_share_one() -> None:
    first, second = RuntimeFolder.create(), RuntimeFolder.create()
    assert first.path != second.path


def test_the_users_runtime_folder_comes_first(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    own = short / "run"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    assert RuntimeFolder.create().path.parent == own


@pytest.mark.parametrize("fault", ["open", "missing", "relative", "empty", "link"])
def test_one_that_is_not_only_the_users_is_not_taken(monkeypatch: pytest.MonkeyPatch, short: Path, fault: str) -> None:
    own = short / "run"
    if fault != "missing":
        own.mkdir(mode=0o700)
    if fault == "open":
        own.chmod(0o755)
    if fault == "link":
        (short / "link").symlink_to(own)
    value = {"relative": "run", "empty": "", "link": str(short / "link")}.get(fault, str(own))
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    monkeypatch.chdir(short)
    assert RuntimeFolder.create().path.parent == short


def test_a_long_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    long = short / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    folder = RuntimeFolder.create()
    assert folder.path.parent == Path("/tmp")
    folder.remove()


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"TEMP": "a", "TMP": "b"}, "a"),
        ({"TMPDIR": "", "TMP": "b"}, "b"),
        ({"TMPDIR": "b", "TEMP": "a"}, "b"),
        ({"TMPDIR": "none", "TMP": "a"}, "a"),
    ],
)
def test_the_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, short: Path, named: dict[str, str], expected: str
) -> None:
    monkeypatch.chdir(short)
    monkeypatch.delenv("TMPDIR")
    for name in ("a", "b"):
        (short / name).mkdir()
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert RuntimeFolder.create().path.parent == short / expected


def test_no_place_is_tried_out_with_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's `tempfile` does so, and leaves the file where it is killed meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", pytest.fail)
    RuntimeFolder.create()
    runtime.sweep()


def test_where_there_is_no_place_every_reason_is_told(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    monkeypatch.setattr(runtime, "_bases", lambda: [short / "none", short / ("x" * 90)])
    with pytest.raises(UnreachableError, match=r"No such file.*too long for a socket"):
        RuntimeFolder.create()


def test_one_that_cannot_be_made_wholly_leaves_nothing(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    def fail(self: Path, mode: int = 0) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runtime, "_bases", lambda: [short])
    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(UnreachableError, match="No space left on device"):
        RuntimeFolder.create()
    assert not list(short.iterdir())


def test_only_folders_of_ours_are_removed(short: Path) -> None:
    ours, foreign = RuntimeFolder.create().path, short / "precious"
    foreign.mkdir()
    (short / "nbflow-link").symlink_to(foreign)
    for path in (ours, foreign, short / "nbflow-link", short / "nbflow-none"):
        remove_left_over(str(path))
    assert sorted(path.name for path in short.iterdir()) == ["nbflow-link", "precious"]


def test_only_abandoned_folders_are_swept(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    monkeypatch.setattr(runtime, "_bases", lambda: [short])
    listened, dead, young, empty = (RuntimeFolder.create().path for _ in range(4))
    bare, making = short / "nbflow-bare1234", short / "nbflow-making12"  # killed before anything was put into it
    for path in (bare, making):
        path.mkdir(mode=0o700)
    (short / "precious").mkdir()
    projects = [short / "nbflow-demo", short / "nbflow-project1", short / "nbflow-projects"]
    for project in projects:
        project.mkdir(mode=0o755 if project.name == "nbflow-projects" else 0o700)
        (project / ("ipython" if project.name != "nbflow-project1" else "pipelines.toml")).touch()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(listened / "z"))
    listening.listen()
    for folder in (dead, young):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(folder / "k-1"))
    old = time.time() - 3_600
    for folder in (listened, dead, empty, bare, short / "precious", *projects):
        os.utime(folder, (old, old))
    assert sorted(runtime.sweep()) == sorted([str(dead), str(empty), str(bare)])
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):  # who listens was not troubled
        listening.accept()
    listening.close()
    kept = {listened.name, young.name, making.name, "precious", *(project.name for project in projects)}
    assert {path.name for path in short.iterdir()} == kept
    remove_left_over(str(projects[1]))
    assert projects[1].exists()
