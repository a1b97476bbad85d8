"""What speaks against the place of a store without making it impossible: `doctor` and `validate` say it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from pathlib import Path

Mount = tuple[str, str]
"""The folder of a mounted file system, and its type."""

NETWORK = re.compile(
    r"nfs\d*|cifs|smb\w*|9p|afs|afpfs|webdav|davfs\d*|ceph|glusterfs|lustre|beegfs|gpfs|ncpfs|macfuse|osxfuse|"
    r"drvfs|vboxsf|prl_fs|vmhgfs|fuse\.(?!mergerfs|bindfs|ntfs|exfat|gocryptfs|encfs|cryfs|overlay|portal).*",
)
"""Types of file systems on which locks, shared memory or a sync may not be what they are on a local disk."""

SYNCED = re.compile(
    r"(dropbox|onedrive|google ?drive|my drive|icloud ?drive|mobile documents|cloudstorage|nextcloud|owncloud|"
    r"pclouddrive|box sync|syncthing|seafile|tresorit)(?!\w)",
)
"""How the folders of programs begin that copy files to elsewhere."""


def warnings(path: Path, mounts: Iterable[Mount] | None = None) -> list[str]:
    """What is doubtful about keeping a store at `path`, a line each; empty where nothing is.

    The file need not exist. `mounts` are the file systems that there are; by default those of this machine.
    """
    whole = path.resolve()
    found = []
    kind = _file_system(whole, _mounts() if mounts is None else mounts)
    if NETWORK.fullmatch(kind):
        found.append(f"{path}: the store is on a network file system ({kind}), where SQLite's locks may not hold")
    for part in whole.parts[1:-1]:
        if SYNCED.match(part.casefold()):
            found.append(f"{path}: the store is in a synced folder ({part}), whose copying may damage it")
            break
    if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        found.append(f"{path}: other users can use the store (mode {mode:03o}); put that right with: chmod 600")
    return found


def _file_system(path: Path, mounts: Iterable[Mount]) -> str:
    """The type of the file system that holds a path: of mounts at one folder, the last one is on top."""
    best, kind = -1, ""
    for folder, name in mounts:
        depth = len(Path(folder).parts)
        if depth >= best and path.is_relative_to(folder):
            best, kind = depth, name
    return kind


def _mounts() -> list[Mount]:
    import psutil

    return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
