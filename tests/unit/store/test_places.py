"""Places that a store should not be in."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.store.places import _mounts, warnings

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
    assert warnings(Path(path), MOUNTS) == [
        f"{path}: the store is on a network file system ({kind}), where SQLite's locks may not hold"
    ]


@pytest.mark.parametrize(
    "path", ["/home/me/state.db", "/home/me/share/local/p/state.db", "/home/me/shares/p/state.db", "/mnt/both/state.db"]
)
def test_a_local_one_is_not(path: str) -> None:
    assert warnings(Path(path), MOUNTS) == []


@pytest.mark.parametrize(
    "folder", ["Dropbox", "Dropbox (Personal)", "OneDrive - Some Company", "Google Drive", "Nextcloud", "CloudStorage"]
)
def test_a_synced_folder_is_named(folder: str) -> None:
    path = f"/home/me/{folder}/p/outputs/.nbflow/state.db"
    assert warnings(Path(path), MOUNTS) == [
        f"{path}: the store is in a synced folder ({folder}), whose copying may damage it"
    ]


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


def test_the_mounts_of_this_machine() -> None:
    assert any(folder == "/" and kind for folder, kind in _mounts())
    assert isinstance(warnings(Path("state.db")), list)
