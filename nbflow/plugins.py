"""Adapters by name: an entry-point group and a name give a factory.

nbflow's own adapters are entry points like those of others; there is no second way to register one.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Any

from nbflow.errors import UsageError

DISTRIBUTION = "jupyter-nbflow"
EXECUTORS = "nbflow.executors"
"""Factories of `ports.Executor`, called without arguments."""


def names(group: str) -> list[str]:
    """The names that a group has."""
    return sorted({point.name for point in entry_points(group=group)})


def factory(group: str, name: str) -> Callable[..., Any]:
    """The factory of a name. Raises UsageError for one that no installed package gives, or whose module fails."""
    found = _own(group, name) or [point for point in entry_points(group=group) if point.name == name]
    if not found:
        known = names(group)
        close = get_close_matches(name, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
        kind = group.rpartition(".")[2].removesuffix("s")
        raise UsageError(f"there is no {kind} '{name}'", hint=hint)
    try:
        made: Callable[..., Any] = found[0].load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"entry point '{name}' of {group} ({found[0].value}) cannot be imported: {reason}",
            hint="install the package that gives it again, or use another",
        ) from error
    return made


def _own(group: str, name: str) -> list[EntryPoint]:
    """Those of nbflow itself: to look through all installed packages takes longer than to load most adapters."""
    try:
        points = distribution(DISTRIBUTION).entry_points
    except PackageNotFoundError:
        return []  # run from its source, without having been installed
    return [point for point in points if (point.group, point.name) == (group, name)]
