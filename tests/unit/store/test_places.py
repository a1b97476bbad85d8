"""Places that a store should not be in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbflow.store import places
from nbflow.store.places import _mounts, network_type, warnings

MOUNTS = [
    ("/", "ext4"),
    ("/home", "ext4"),
    ("/home/me/share", "nfs4"),
    ("/home/me/share/local", "xfs"),
    ("/mnt/c", "9p"),
    ("/mnt/win", "cifs"),
    ("/mnt/s3", "fuse.s3fs"),
    ("/mnt/both", "fuse.mergerfs"),
    ("/over", "ext4"),
    ("/over", "fuse.sshfs"),
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/share/p/state.db", "nfs4"),
        ("/mnt/c/p/state.db", "9p"),
        ("/mnt/win/state.db", "cifs"),
        ("/mnt/s3/p/state.db", "fuse.s3fs"),
        ("/over/state.db", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_named(path: str, kind: str) -> None:
    (text,) = warnings(Path(path), MOUNTS)
    assert text.startswith(f"{path}: the store is on a network file system ({kind}), where SQLite's locks may not hold")
    assert "one machine at a time" in text
    assert network_type(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    "path", ["/home/me/state.db", "/home/me/share/local/p/state.db", "/home/me/shares/p/state.db", "/mnt/both/state.db"]
)
def test_a_local_one_is_not(path: str) -> None:
    assert warnings(Path(path), MOUNTS) == []
    assert network_type(Path(path), MOUNTS) is None


@pytest.mark.parametrize(
    "folder", ["Dropbox", "Dropbox (Personal)", "OneDrive - Some Company", "Google Drive", "Nextcloud", "CloudStorage"]
)
def test_a_synced_folder_is_named(folder: str) -> None:
    path = f"/home/me/{folder}/p/outputs/.nbflow/state.db"
    (text,) = warnings(Path(path), MOUNTS)
    assert text.startswith(f"{path}: the store is in a synced folder ({folder}), whose copying may damage it")


@pytest.mark.parametrize("folder", ["dropboxes", "boxes", "work", "sync-tool"])
def test_names_that_only_look_alike(folder: str) -> None:
    assert warnings(Path(f"/home/me/{folder}/state.db"), MOUNTS) == []


def test_links_are_followed(tmp_path: Path) -> None:
    synced = tmp_path / "Dropbox"
    synced.mkdir()
    (tmp_path / "outputs").symlink_to(synced)
    assert "(Dropbox)" in warnings(tmp_path / "outputs" / "state.db", MOUNTS)[0]


def test_a_store_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(0o600)
    assert warnings(path, MOUNTS) == []
    path.chmod(0o640)
    assert warnings(path, MOUNTS) == [
        f"{path}: other users can use the store (mode 640); put that right with: chmod 600"
    ]


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling", "link"])
def test_what_is_no_file_is_not_to_be_given_another_mode(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state.db"
    match kind:
        case "folder":
            path.mkdir(0o755)
        case "fifo":
            os.mkfifo(path, 0o644)
        case "device":
            path = Path("/dev/null")
        case "link":
            (tmp_path / "other").write_bytes(b"x")
            path.symlink_to("other")
        case _:
            path.symlink_to("nowhere")
    assert warnings(path, MOUNTS) == []


def test_a_text_is_no_store_whose_mode_would_matter(tmp_path: Path) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_text("[nbflow]\nstate = 'pipelines.toml'\n")
    path.chmod(0o644)
    assert warnings(path, MOUNTS) == []


def test_a_folder_that_others_can_write(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    tmp_path.chmod(0o777)
    assert warnings(path, MOUNTS) == [
        f"{path}: other users can put files beside the store (mode 777 of its folder); put that right with: chmod go-w"
    ]
    tmp_path.chmod(0o1777)
    assert warnings(path, MOUNTS) == []


def test_mounts_as_the_system_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        b"36 22 0:50 /x /mnt/my\\040share\\134 rw,noatime - nfs4 host:/x rw,vers=4.2\n"
        b"37 22 0:51 / /mnt/b\xff rw - fuse.sshfs me@host: rw\n"
    )
    monkeypatch.setattr(places, "MOUNTS", table)
    assert _mounts() == [("/", "ext4"), ("/mnt/my share\\", "nfs4"), ("/mnt/b\udcff", "fuse.sshfs")]
    assert network_type(Path("/mnt/my share\\/state.db")) == "nfs4"
    monkeypatch.setattr(places, "MOUNTS", tmp_path / "missing")
    assert any(folder == "/" for folder, _ in _mounts())


def test_the_mounts_of_this_machine() -> None:
    assert any(folder == "/" and kind for folder, kind in _mounts())
    assert isinstance(warnings(Path("state.db")), list)
