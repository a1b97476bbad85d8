"""Which packages a kernel's Python has: names and versions, by the names of the folders that describe them.

Read from outside, in about a millisecond: nothing is run or imported, so that the kernel is as it would be without.
Must not know notebooks.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

_DESCRIBED = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*?)-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info", re.ASCII
)
_VERSION = re.compile(r"python(3\.\d+)")

Change = tuple[str | None, str | None]
"""Versions of a package before and after; None where it is not there."""


def package_folders(interpreter: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where the packages of a Python lie, in the order in which it looks; empty where that is not certain."""
    program = shutil.which(interpreter)
    if program is None or not Path(program).resolve().name.startswith("python"):
        return ()
    if Path(program).parent == Path(sys.executable).parent:
        return tuple(Path(place) for place in sys.path if place)
    given = (Path(place) for place in environ.get("PYTHONPATH", "").split(os.pathsep) if place)
    return (*given, *_site_folders(Path(program), environ))


def installed_packages(folders: Iterable[Path]) -> dict[str, str]:
    """Normalized names and versions of the packages in these folders, sorted; of two the first counts."""
    found: dict[str, str] = {}
    for folder in folders:
        for name, version in sorted(_described(folder)):
            found.setdefault(name, version)
    return dict(sorted(found.items()))


def package_changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Change]:
    """What has become of packages: those that came, went, or have another version."""
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _described(folder: Path) -> Iterable[tuple[str, str]]:
    try:
        return _read(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return ()  # sys.path may name archives, and folders that are not there


@lru_cache(maxsize=64)
def _read(folder: str, _changed: int) -> tuple[tuple[str, str], ...]:
    """What a folder names; whatever comes or goes changes the time of the folder."""
    found = (_DESCRIBED.fullmatch(name) for name in os.listdir(folder))  # noqa: PTH208 - only names are needed
    return tuple((re.sub(r"[-_.]+", "-", one["name"]).lower(), one["version"]) for one in found if one)


def _site_folders(program: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """The `site-packages` of another Python, by the rules of its own start."""
    for place in (program.parent, program.parent.parent):
        settings = _settings(place / "pyvenv.cfg")
        if settings:
            yield from sorted(place.glob("lib*/python3*/site-packages"))
            home = settings.get("home")
            if settings.get("include-system-site-packages") == "true" and home:
                yield from _base_folders(Path(home) / program.resolve().name, environ)
            return
    yield from _base_folders(program, environ)


def _base_folders(program: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    real = program.resolve()
    named = _VERSION.match(real.name)
    prefix = real.parent.parent
    versions = [named[1]] if named else sorted(one.name.removeprefix("python") for one in prefix.glob("lib/python3.*"))
    if len(versions) != 1:
        return
    (version,) = versions
    if not environ.get("PYTHONNOUSERSITE"):
        yield Path(environ.get("HOME", "/nonexistent"), f".local/lib/python{version}/site-packages")
    for lib in ("local/lib", "lib", "lib64"):
        yield prefix / lib / f"python{version}/dist-packages"
        yield prefix / lib / f"python{version}/site-packages"
    yield prefix / "lib/python3/dist-packages"


def _settings(path: Path) -> dict[str, str]:
    """The keys of a virtual environment; none where it is no such thing."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, sign, value in pairs if sign}
