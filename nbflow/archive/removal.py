"""Taking folders out of a local archive for good: out of sight first, in one step, then file by file.

Nothing outside the archive is touched: a symbolic link is removed itself, what it leads to is not looked at. All may be
called again after a crash, and by two at once. Must not know why something is to go.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nbflow.archive import layout
from nbflow.archive.files import FileArchive
from nbflow.durable import sync_folder
from nbflow.errors import UnreachableError

BIN = f"{layout.STATE_FOLDER}/removed"
"""Below the archive root: where folders are put out of sight, on the same file system as a rule."""

_TRIES = 10
_NOT_AT_ONCE = (
    *(errno.EXDEV, errno.ENOSPC, errno.EDQUOT),
    *(errno.EBUSY, errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST),
)
"""Another file system, a full one, or somebody else who removes it: then it is removed where it is."""


def remove_run(archive: FileArchive, pipeline: str, run: str) -> None:
    """Remove the folder of a run, durably. Raises UnreachableError where something of it cannot be removed."""
    place = run_place(archive, pipeline, run)
    out_of_sight = archive.root / BIN / layout.checked_name(run)
    try:
        if out_of_sight.exists():
            remove_tree(out_of_sight)  # what an earlier call has not finished
        if _is_folder(place):
            _hide(place, out_of_sight)
        remove_tree(place)
        remove_tree(out_of_sight)
    except OSError as error:
        raise UnreachableError(
            f"cannot remove {error.filename or place}: {error.strerror or error}",
            hint="put its permissions right; then `nbflow prune` goes on",
        ) from error


def run_place(archive: FileArchive, pipeline: str, run: str) -> Path:
    """The folder of a run, itself possibly a link. Raises UnreachableError where the way to it leaves the archive."""
    folder = layout.run_folder(pipeline, run)
    return archive.resolve(layout.checked_name(pipeline)) / folder.rpartition("/")[2]


def remove_tree(place: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; nothing, where there is nothing.

    Raises OSError where something cannot be removed.
    """
    for turn in range(_TRIES):
        try:
            if _is_folder(place):
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # somebody else removes it too
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or turn == _TRIES - 1:
                raise
        if not os.path.lexists(place):
            break
    if place.parent.is_dir():
        sync_folder(place.parent)


def size_of(place: Path) -> int:
    """Bytes of the files in a folder, as far as they can be seen; links count as such."""
    return sum(_sizes(place))


def _sizes(place: Path) -> Iterator[int]:
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            with suppress(OSError):  # somebody else has removed it
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(Path(entry.path))
                else:
                    yield entry.stat(follow_symlinks=False).st_size


def _hide(place: Path, out_of_sight: Path) -> None:
    """Put a folder out of sight in one step; on another file system that cannot be."""
    try:
        out_of_sight.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.rename(out_of_sight)
    except OSError as error:
        if error.errno not in _NOT_AT_ONCE:
            raise
    else:
        sync_folder(place.parent)
        sync_folder(out_of_sight.parent)


def _is_folder(place: Path) -> bool:
    try:
        return stat.S_ISDIR(place.lstat().st_mode)
    except FileNotFoundError:
        return False
