"""What makes files outlive a loss of power. Knows nothing of what they hold."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Bring what was done to the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder and say so by EINVAL; they sync a rename by themselves.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder where there is none, with those above it, so that what is put into it is not lost with them."""
    for one in make_unsynced(folder):
        sync_folder(one)


def make_unsynced(folder: Path, mode: int = 0o777) -> list[Path]:
    """The same, and leave it to the caller to sync the folders that are given back."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    return [one.parent for one in missing]
