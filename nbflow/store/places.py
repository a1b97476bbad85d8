"""On what kind of file system a store lies, and what speaks against its place without making it impossible."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from pathlib import Path

from nbflow.store.access import is_text

Mount = tuple[str, str]
"""The folder of a mounted file system, and its type."""

NETWORK = re.compile(
    r"nfs\d*|cifs|smb\w*|9p|afs|afpfs|webdav|davfs\d*|ceph|glusterfs|lustre|beegfs|gpfs|ncpfs|macfuse|osxfuse|"
    r"drvfs|vboxsf|prl_fs|vmhgfs|virtiofs|fakeowner|ocfs2|gfs2|orangefs|pvfs2|coda|autofs|fuse|"
    r"fuse\.(?!mergerfs|bindfs|ntfs|exfat|gocryptfs|encfs|cryfs|overlay|fuse-overlayfs|portal).*",
)
"""Types of file systems that another machine may use too: there is no memory in common with it, locks may not hold."""

SYNCED = re.compile(
    r"(dropbox|onedrive|google ?drive|my drive|icloud ?drive|mobile documents|cloudstorage|nextcloud|owncloud|"
    r"pclouddrive|box sync|syncthing|seafile|tresorit)(?!\w)",
)
"""How the folders of programs begin that copy files to elsewhere."""

MOUNTS = Path("/proc/self/mountinfo")


def network_type(path: Path, mounts: Iterable[Mount] | None = None) -> str | None:
    """The type of the file system that holds `path`, where that is one of a network. The file need not exist."""
    kind = _file_system(path.resolve(), _mounts() if mounts is None else mounts)
    return kind if NETWORK.fullmatch(kind) else None


def synced_folder(path: Path) -> str | None:
    """The folder above `path` whose files a program copies to elsewhere, by its name."""
    return next((part for part in path.resolve().parts[1:-1] if SYNCED.match(part.casefold())), None)


def warnings(path: Path, mounts: Iterable[Mount] | None = None) -> list[str]:
    """What is doubtful about keeping a store at `path`, a line each; empty where nothing is.

    The file need not exist. `mounts` are the file systems that there are; by default those of this machine.
    """
    found = []
    if (kind := network_type(path, mounts)) is not None:
        found.append(
            f"{path}: the store is on a network file system ({kind}), where SQLite's locks may not hold: run nbflow "
            "on one machine at a time there, or set [nbflow] state to a local folder"
        )
    if (folder := synced_folder(path)) is not None:
        found.append(
            f"{path}: the store is in a synced folder ({folder}), whose copying may damage it: "
            "set [nbflow] state to another one"
        )
    file, parent = _mode(path, follow=False), _mode(path.parent)
    if stat.S_ISREG(file) and (mode := stat.S_IMODE(file)) & 0o077 and not is_text(path):
        found.append(f"{path}: other users can use the store (mode {mode:03o}); put that right with: chmod 600")
    if (mode := stat.S_IMODE(parent)) & 0o022 and not mode & stat.S_ISVTX:
        found.append(
            f"{path}: other users can put files beside the store (mode {mode:03o} of its folder); put that right with: "
            "chmod go-w"
        )
    return found


def _mode(path: Path, *, follow: bool = True) -> int:
    """The mode of a file; 0 where there is none, or none that we may look at: whoever opens it says so."""
    try:
        return path.stat(follow_symlinks=follow).st_mode
    except OSError:
        return 0


def _file_system(path: Path, mounts: Iterable[Mount]) -> str:
    """The type of the file system that holds a path: of mounts at one folder, the last one is on top."""
    text, best, kind = str(path), -1, ""
    for folder, name in mounts:
        below = folder.rstrip("/") + "/"
        if len(below) >= best and (text.startswith(below) or text == folder):
            best, kind = len(below), name
    return kind


def _mounts() -> list[Mount]:
    """Those of this machine; read at every start, so as quickly as can be."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        import psutil

        return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    found = []
    for line in lines:
        place, _, kind = line.partition(b" - ")
        folder = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), place.split(b" ")[4])
        found.append((folder.decode("utf-8", "surrogateescape"), kind.split(b" ")[0].decode("ascii", "replace")))
    return found
