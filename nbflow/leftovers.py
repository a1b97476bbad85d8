"""What lies in a project's folders and may belong to no run of its store: what crashes have left, folders of runs.

Only looks: must not remove anything, and does not know the store.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nbflow.archive.layout import STATE_FOLDER
from nbflow.archive.removal import BIN

SETTLED_SECONDS = 7 * 86_400.0
"""What has no run is left alone until nothing of it has changed for so long: `nbflow test` keeps no run either."""

_RUN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*-\d{8}T\d{6}-[a-z2-9]{4}", re.ASCII)


def leftovers(local: Path, archive: Path) -> list[Path]:
    """Journals, logs and removed folders, of which those are left over whose run nobody knows.

    `local` is the folder with `.nbflow`, `archive` where notebooks are published.
    """
    own = local / STATE_FOLDER
    found = [one for one in (*_entries(own / "journals"), *_entries(own / "logs")) if _is_settled(one)]
    return [*found, *_entries(archive / BIN)]


def run_folders(archive: Path) -> list[Path]:
    """The folders of runs, of which those are orphans whose run nobody knows: another store's they may be."""
    return [
        one
        for pipeline in _entries(archive)
        if pipeline.name != STATE_FOLDER and not pipeline.is_symlink()
        for one in _entries(pipeline)
        if _RUN.fullmatch(one.name) and one.name.startswith(f"{pipeline.name}-")
    ]


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):  # what we may not look into, such as lost+found, is not ours
        yield from sorted(folder.iterdir())


def _is_settled(place: Path) -> bool:
    """Whether nothing in a file or folder has changed for a long time."""
    newest = 0.0
    for folder, _, files in os.walk(place):
        for one in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118 - many
            with suppress(OSError):
                newest = max(newest, os.lstat(one).st_mtime)
    with suppress(OSError):
        newest = max(newest, place.lstat().st_mtime)
    return time.time() - newest > SETTLED_SECONDS
