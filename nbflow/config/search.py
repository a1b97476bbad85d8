"""`find_notebooks(folder)`: the notebook files below a folder, for a first `pipelines.toml`. Opens none of them.

Leaves out what nobody keeps notebooks to run in: hidden folders, outputs, installed packages, virtual environments.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MAX_NOTEBOOKS = 200
MAX_ENTRIES = 50_000
"""Files and folders that are looked at."""

_SKIPPED = frozenset({"outputs", "node_modules", "__pycache__", "site-packages"})


@dataclass(frozen=True, slots=True)
class Found:
    """Notebooks, relative to the folder: folder by folder, 2 before 10. `omitted` says in words what is not in it."""

    paths: tuple[Path, ...]
    omitted: tuple[str, ...]


def find_notebooks(folder: Path) -> Found:
    """The notebooks of a folder and of the folders in it, those near the top first where there are too many.

    Links to folders are not followed. Raises OSError where `folder` itself cannot be read.
    """
    paths: list[Path] = []
    omitted: list[str] = []
    waiting, looked = [Path()], 0
    for at in waiting:  # grows as it goes: all folders of a level come before the next level
        try:
            below, notebooks, count = _listed(folder, at)
        except OSError as error:
            if at == Path():
                raise
            omitted.append(f"{at.as_posix()} cannot be read: {error.strerror}")
            continue
        waiting += below
        paths += notebooks
        looked += count
        if len(paths) > MAX_NOTEBOOKS or looked > MAX_ENTRIES:
            omitted.append(f"there are more files than are looked at here; these are the first {MAX_NOTEBOOKS} at most")
            break
    paths = sorted(paths[:MAX_NOTEBOOKS], key=lambda path: (_natural(path.parent), _natural(path)))
    return Found(tuple(paths), tuple(omitted))


def _listed(folder: Path, at: Path) -> tuple[list[Path], list[Path], int]:
    """The folders to look into and the notebooks that a folder holds, and how many entries it has."""
    with os.scandir(folder / at) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    if at != Path() and any(name == "pyvenv.cfg" for name, _ in entries):
        return [], [], len(entries)
    seen = [(at / name, is_folder) for name, is_folder in entries if not name.startswith(".")]
    folders = [path for path, is_folder in seen if is_folder and path.name not in _SKIPPED]
    notebooks = [path for path, is_folder in seen if not is_folder and path.suffix == ".ipynb"]
    return sorted(folders, key=_natural), sorted(notebooks, key=_natural), len(entries)


def _natural(path: Path) -> list[list[tuple[bool, int, str]]]:
    """Sorts 2 before 10, as people do."""
    return [
        [
            (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in re.split(r"(\d{1,9})", name.casefold())
        ]
        for name in path.parts
    ]
