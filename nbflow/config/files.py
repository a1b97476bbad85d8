"""All files of a project: the main one with the chosen profile, and those that it includes.

Must not know what a task or a pool holds, only which file declares it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from nbflow.config.layers import Document
from nbflow.config.source import Source, read_source
from nbflow.core.faults import Fault, KeyPath, did_you_mean
from nbflow.errors import Problem

MAX_INCLUDED = 1_000


@dataclass(frozen=True)
class Files:
    """`owners` maps ("pipelines", NAME) and ("pools", NAME) to the document that declares them, if not `main`."""

    root: Path
    main: Document
    included: tuple[Document, ...] = ()
    owners: Mapping[KeyPath, Document] = field(default_factory=dict)

    def document(self, key: KeyPath) -> Document:
        """The document that holds a key."""
        return self.owners.get(key[:2], self.main)

    def problem(self, fault: Fault) -> Problem:
        """A fault at its place."""
        return self.document(fault.key).problem(fault)


def open_files(path: Path, profile: str | None) -> tuple[Files | None, list[Problem]]:
    """Read a file and what it includes; None where the main file cannot be parsed."""
    source = read_source(path, path.name)
    if isinstance(source, Problem):
        return None, [source]
    problems: list[Problem] = []
    overlay = _overlay(source, profile, problems)
    at = ("profiles", profile or "")
    whole = Document(source, overlay, source, at)
    sources = list(_included(path, whole, problems))
    documents = []
    for one in sources:
        own = _split(overlay, one.data, source.data)
        documents.append(Document(one, own, source, at))
    main = Document(source, overlay, source, at)
    files = Files(path.parent, main, tuple(documents), _owners(main, documents, problems))
    return files, problems


def _overlay(source: Source, profile: str | None, problems: list[Problem]) -> dict[str, Any]:
    """The tables of the chosen profile; empty where none is chosen or there is no such."""
    if profile is None:
        return {}
    found = source.data.get("profiles", {})
    profiles = found if isinstance(found, dict) else {}
    if profile not in profiles:
        hint = did_you_mean(profile, profiles, what="profiles in this file")
        fault = Fault(key=("profiles",), message=f"there is no profile {profile!r}", hint=hint, on_key=True)
        problems.append(source.problem(fault, fault.key))
    chosen = profiles.get(profile, {})
    return dict(chosen) if isinstance(chosen, dict) else {}


def _split(overlay: dict[str, Any], included: dict[str, Any], main: dict[str, Any]) -> dict[str, Any]:
    """Take out of the overlay what it says of pipelines that only an included file declares."""
    over = overlay.get("pipelines")
    theirs = [name for name in _table(included, "pipelines") if name not in _table(main, "pipelines")]
    if not isinstance(over, dict) or not theirs:
        return {}
    taken = {name: over[name] for name in theirs if name in over}
    overlay["pipelines"] = {name: value for name, value in over.items() if name not in taken}
    return {"pipelines": taken} if taken else {}


def _owners(main: Document, documents: list[Document], problems: list[Problem]) -> dict[KeyPath, Document]:
    """Which document declares each pipeline and pool; declared twice, or twins but for case, is a problem."""
    owners: dict[KeyPath, Document] = {}
    for section in ("pipelines", "pools"):
        first = {name.lower(): (name, main) for name in _table(main.data, section)}
        for document in documents:
            declared = _table(document.data, section)
            for name in declared:
                twin, other = first.get(name.lower(), (name, document))
                if other is document:
                    owners[section, name] = document
                else:
                    problems.append(document.problem(_twice(section, name, twin, other)))
            first = {name.lower(): (name, document) for name in declared} | first
    return owners


def _twice(section: str, name: str, twin: str, other: Document) -> Fault:
    spot = other.spot((section, twin))
    place = spot.source.place(spot.at)
    where = f"{spot.source.file}:{place.line}" if place else spot.source.file
    what = section.removesuffix("s")
    message = (
        f"the {what} is declared twice, also in {where}"
        if twin == name
        else f"differs by case alone from {twin} in {where}"
    )
    return Fault(key=(section, name), message=message, on_key=True)


def _included(path: Path, main: Document, problems: list[Problem]) -> Iterator[Source]:
    """The files that `include` names, each once, in the order of their names."""
    patterns = _table(main.data, "nbflow").get("include", [])
    seen = {path.resolve()}
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else []):
        key = ("nbflow", "include", str(index))
        try:
            found = _matches(path.parent, pattern) if isinstance(pattern, str) and pattern.strip() else []
        except ValueError as error:
            problems.append(main.problem(Fault(key=key, message=str(error))))
            continue
        for one in found:
            if one.resolve() in seen:
                continue
            seen.add(one.resolve())
            source = read_source(one, one.relative_to(path.parent).as_posix())
            if isinstance(source, Problem):
                problems.append(source)
            else:
                yield source


def _matches(root: Path, pattern: str) -> list[Path]:
    """Files below `root` that a pattern names. Raises ValueError with what is wrong."""
    parts = PurePosixPath(pattern).parts
    if "\0" in pattern or not parts:
        raise ValueError("this is no pattern of file names")
    if PurePosixPath(pattern).is_absolute() or ".." in parts or parts[0].startswith("~"):
        raise ValueError("an included file lies inside the project: give a path relative to this file, without ..")
    try:
        found = sorted(one for one in root.glob(pattern) if one.is_file())
    except (ValueError, NotImplementedError, OSError) as error:
        raise ValueError(f"this is no pattern of file names: {error}") from None
    if not found:
        raise ValueError("no file matches this pattern")
    if len(found) > MAX_INCLUDED:
        raise ValueError(f"this pattern matches {len(found):,} files; at most {MAX_INCLUDED:,} are included")
    for one in found:
        if not one.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{one.relative_to(root).as_posix()} is a link that leaves the project")
    return found


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The table at a key of the top; empty where there is none or something else."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}
