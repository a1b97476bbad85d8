"""Backups of a store's file, made before it is upgraded. Must not know what is in it."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from nbflow.durable import sync_folder
from nbflow.errors import UnreachableError


def back_up(path: Path, version: int) -> Path:
    """Copy a store of a version to `state.db.v1-20260131T060000Z.bak` beside it, durably, and give the copy's path.

    Others may read meanwhile; the caller keeps them from writing. An earlier backup of that version, which an upgrade
    that failed has left, makes way for this one. Raises UnreachableError where there is no room for it.
    """
    target = path.with_name(f"{path.name}.v{version}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.bak")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        _copy(path, Path(name))
        _sync(Path(name))
        Path(name).replace(target)
        sync_folder(path.parent)
    except (OSError, sqlite3.OperationalError) as error:
        raise _impossible(path, version, error) from error
    finally:
        for part in ("", "-journal", "-wal", "-shm"):
            Path(name + part).unlink(missing_ok=True)
    for earlier in backups(path, version):
        if earlier != target:
            earlier.unlink(missing_ok=True)
    return target


def backups(path: Path, version: int | None = None) -> list[Path]:
    """The backups of a store, of one version or of all, by name."""
    number = r"\d+" if version is None else str(version)
    pattern = re.compile(rf"{re.escape(path.name)}\.v{number}-\d{{8}}T\d{{6}}Z\.bak")
    return sorted(one for one in path.parent.iterdir() if pattern.fullmatch(one.name))


def _copy(path: Path, target: Path) -> None:
    """Page by page, as the last commit left them; the write-ahead log's are among them."""
    source = f"{path.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True, isolation_level=None)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        reading.backup(writing)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _impossible(path: Path, version: int, error: Exception) -> UnreachableError:
    size = path.stat().st_size / 1e6
    return UnreachableError(
        f"{path}: the store has schema {version} and was not upgraded: its backup cannot be written: {error}",
        hint=f"make room for some {size:.1f} MB on its disk, and see that its folder can be written",
    )
