"""`load(path)`: the files of a project as a `ProjectSpec`, or everything that is wrong with how they are written.

What can be judged only with other parts of the specification is `core.validate`; what needs notebooks or kernels
is `check.py`. Light on purpose: `nbflow list` needs no more than this.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.config.build import Builder, inside, layered
from nbflow.config.files import Files, open_files
from nbflow.config.keys import FILE, INCLUDED, PROFILES
from nbflow.config.layers import Document, value_at
from nbflow.config.origins import Origins
from nbflow.config.shape import Reading, described
from nbflow.config.table import Table
from nbflow.core.addresses import is_url, local_path
from nbflow.core.database_url import is_database
from nbflow.core.faults import MAX_LENGTH, Fault, KeyPath
from nbflow.core.spec import Pipeline, Preload, ProjectSpec, local_root
from nbflow.errors import Problem

PROFILES_KEY = "profiles"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """`spec` is None where any problem is more than a warning.

    `draft` is what could be understood even so, to look for further faults in, but for what stands at or below
    `unclear` keys; `files` gives those faults their places. Both are None only where the main file cannot be parsed.
    Problems are in the order of the files.
    """

    spec: ProjectSpec | None
    problems: list[Problem]
    draft: ProjectSpec | None = None
    files: Files | None = None
    unclear: frozenset[KeyPath] = frozenset()
    profile: str | None = None

    @property
    def lacks_profile(self) -> bool:
        """Whether there is no such profile; where the main file cannot be parsed, nobody knows."""
        if self.profile is None or self.files is None:
            return False
        return value_at(self.files.main.base.data, (PROFILES_KEY, self.profile)) is None

    @property
    def is_sure_of_places(self) -> bool:
        """Whether archive and store of `draft` are those that are meant, whatever else is wrong."""
        if self.files is None or self.lacks_profile:
            return False
        main = self.files.main.base.file
        faults = [problem.key for problem in self.problems if problem.file == main and not problem.warning]
        return not any(_may_mean_a_place(key, self.profile) for key in faults)


def _may_mean_a_place(key: str, profile: str | None) -> bool:
    """Whether a fault at a key of the main file may hide where archive or store lie: that may be a key misspelt."""
    first, _, rest = key.partition(".")
    if first == "nbflow":
        return rest.partition(".")[0] not in ("timezone", "notebooks", "include")
    return first not in FILE.keys or (first == PROFILES_KEY and profile is not None)


def load(path: Path, *, profile: str | None = None) -> Loaded:
    """Read the file at `path` and what it includes. Never raises for a mistake of the user's."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps `..`
    files, problems = open_files(path, profile)
    if files is None:
        return Loaded(spec=None, problems=problems, profile=profile)
    loading = _Loading(files, profile)
    draft = loading.run()
    problems += loading.problems
    return Loaded(
        spec=draft if all(problem.warning for problem in problems) else None,
        problems=in_order(problems),
        draft=draft,
        files=files,
        unclear=frozenset(loading.unclear),
        profile=profile,
    )


def in_order(problems: list[Problem]) -> list[Problem]:
    """Problems in the order of files, lines and columns, each once."""
    once = list(dict.fromkeys(problems))
    return sorted(once, key=lambda problem: (problem.file, problem.line or 0, problem.col or 0))


class _Loading:
    """One `load`: reads each document and builds the specification, gathering problems."""

    def __init__(self, files: Files, profile: str | None) -> None:
        self.files = files
        self.profile = profile
        self.problems: list[Problem] = []
        self.unclear: set[KeyPath] = set()

    def run(self) -> ProjectSpec:
        root, main = self.files.root, self._main()
        settings: Mapping[str, Any] = main.get("nbflow", {})
        defaults: Mapping[str, Any] = main.get("defaults", {})
        notebooks = self._notebooks(settings)
        pipelines = self._build(self.files.main, main, notebooks, defaults)
        pools: dict[str, int] = dict(main.get("pools", {}))
        for document in self.files.included:
            own = self._read(document, INCLUDED)
            folder = _folder(root, posixpath.dirname(document.base.file))
            pipelines |= self._build(document, own, folder, layered(defaults, own.get("defaults", {})))
            pools = own.get("pools", {}) | pools
        preloads: dict[str, Preload] = main.get("kernels", {})
        outputs = _archive(root, settings.get("outputs", "outputs"))
        state = f"{local_root(str(root), outputs)}/.nbflow/state.db"
        return ProjectSpec(
            root=str(root),
            file=self.files.main.base.file,
            pipelines=pipelines,
            timezone=self._timezone(settings.get("timezone", "UTC")),
            notebooks=notebooks,
            outputs=outputs,
            state=_store(root, settings["state"]) if "state" in settings else state,
            pools=pools,
            preloads=preloads,
            profile=self.profile,
            origins=Origins(self.files, pipelines, pools, preloads),
        )

    def _note(self, document: Document, faults: Iterable[Fault]) -> None:
        self.problems += [document.problem(fault) for fault in faults]

    def _read(self, document: Document, table: Table) -> dict[str, Any]:
        reading = Reading()
        found: dict[str, Any] = table.read(document.data, (), reading)
        self._note(document, reading.faults)
        self.unclear |= reading.unclear
        return found

    def _main(self) -> dict[str, Any]:
        """The main file with the profile merged over it. All profiles are judged by their shape alone before."""
        main = self.files.main
        if PROFILES_KEY in main.base.data:
            reading = Reading(partial=True)
            PROFILES.read(main.base.data[PROFILES_KEY], (PROFILES_KEY,), reading)
            self._note(Document(main.base), [fault for fault in reading.faults if not self._is_merged(fault.key)])
        return self._read(main, FILE)

    def _is_merged(self, key: KeyPath) -> bool:
        """Whether a key of a profile is found again in the merged file."""
        return key[1:2] == (self.profile,) and len(key) > 2 and key[2] != PROFILES_KEY

    def _build(
        self, document: Document, table: Mapping[str, Any], folder: str, defaults: Mapping[str, Any]
    ) -> dict[str, Pipeline]:
        """The pipelines of a document but those that an earlier one has declared already."""
        tables: Mapping[str, Mapping[str, Any]] = table.get("pipelines", {})
        own = {name: one for name, one in tables.items() if self.files.document(("pipelines", name)) is document}
        builder = Builder(folder=folder, defaults=defaults)
        pipelines = {pipeline.name: pipeline for pipeline in builder.pipelines(own)}
        self._note(document, builder.faults)
        self.unclear.update(fault.key for fault in builder.faults)
        return pipelines

    def _notebooks(self, settings: Mapping[str, Any]) -> str:
        """The folder where paths of notebooks start, relative to the project."""
        if "notebooks" not in settings:
            return _folder(self.files.root, "")
        key, message = ("nbflow", "notebooks"), "there is no such folder"
        try:
            folder = inside("", settings["notebooks"])
            if (self.files.root / folder).is_dir():
                return folder
        except (ValueError, OSError) as error:
            message = str(error)
        self._note(self.files.main, [Fault(key=key, message=message)])
        return "."

    def _timezone(self, name: str) -> str:
        if name != "UTC" and (fault := timezone_fault(name)):
            self._note(self.files.main, [fault])
            return "UTC"
        return name


def timezone_fault(name: str) -> Fault | None:
    """What is wrong with the name of a time zone, None if nothing. The machine's own zone has no name here."""
    import zoneinfo

    key = ("nbflow", "timezone")
    if name in {"localtime", "posixrules", "Factory"} or name.startswith(("right/", "posix/")):
        return Fault(
            key=key, message=f'"{name}" is not the same on every machine', hint='name a zone, such as "Europe/Prague"'
        )
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = _close_zones(name, sorted(zoneinfo.available_timezones()))
        hint = f"did you mean {' or '.join(close)}?" if close else 'a name is such as "Europe/Prague"'
        return Fault(key=key, message=f"{described(name)} is no name of a time zone", hint=hint)
    return None


def _close_zones(name: str, zones: Sequence[str]) -> list[str]:
    """At most three zones in quotes that are spelt like a name, in whole or by their cities; the likeliest first."""
    from difflib import get_close_matches

    wanted = name.casefold().replace(" ", "_")[:MAX_LENGTH]
    spelt = {zone.casefold(): zone for zone in zones}
    cities = {zone.casefold().rpartition("/")[2]: zone for zone in zones}
    found = [spelt[one] for one in get_close_matches(wanted, spelt, cutoff=0.85)]
    found += [cities[one] for one in get_close_matches(wanted, cities, cutoff=0.85)]
    return [f'"{zone}"' for zone in dict.fromkeys(found)][:3]


def _folder(root: Path, folder: str) -> str:
    """The folder "notebooks" in a folder of the project if there is one, else that folder itself."""
    own = posixpath.normpath(posixpath.join(folder, "notebooks"))
    return own if (root / own).is_dir() else folder or "."


def _archive(root: Path, place: str) -> str:
    """Where the archive lies: an absolute path, or a URL."""
    path = local_path(place) if is_url(place) else place
    return place if path is None else _absolute(root, path)


def _store(root: Path, place: str) -> str:
    return place if is_database(place) else _absolute(root, place)


def _absolute(root: Path, path: str) -> str:
    return os.path.abspath(root / path)  # noqa: PTH100 - Path.absolute() keeps `..`
