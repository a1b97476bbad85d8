"""A file with a profile merged over it, which still knows where each value stands: `Document`.

Must not know what the keys mean, except that a plain value over a parameter's table is its new default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from nbflow.config.source import Source
from nbflow.core.faults import Fault, KeyPath
from nbflow.errors import Problem


class Spot(NamedTuple):
    """A key path inside one file. `is_profile`: the value comes from the profile."""

    source: Source
    at: KeyPath
    is_profile: bool


@dataclass(frozen=True)
class Document:
    """`base` with a profile merged over it: `overlay`, which stands at `overlay_at` in the file `profiles`."""

    base: Source
    overlay: dict[str, Any] = field(default_factory=dict)
    profiles: Source | None = None
    overlay_at: KeyPath = ()

    @cached_property
    def data(self) -> dict[str, Any]:
        return merge(self.base.data, self.overlay) if self.overlay else self.base.data

    def spot(self, at: KeyPath) -> Spot:
        """Where the value at a path of `data` was written, or the nearest table above it that was."""
        for length in range(len(at), 0, -1):
            path = at[:length]
            over, under = value_at(self.overlay, path), value_at(self.base.data, path)
            if over is not None and not (isinstance(over, dict) and isinstance(under, dict)):
                return Spot(self.profiles or self.base, self.overlay_at + path, True)
            if under is not None and not self._is_replaced(path):
                return Spot(self.base, path, False)
        return Spot(self.base, (), False)

    def problem(self, fault: Fault) -> Problem:
        """A fault with its place; that of something missing is the table that it is missing in."""
        spot = self.spot(fault.key)
        return spot.source.problem(fault, spot.at)

    def _is_replaced(self, path: KeyPath) -> bool:
        """Whether this is the default of a parameter, and the profile has a plain value for the parameter."""
        over = value_at(self.overlay, path[:-1]) if path[-1] == "default" and _is_param(path[:-1]) else None
        return over is not None and not isinstance(over, dict)


def merge(base: dict[str, Any], overlay: dict[str, Any], at: KeyPath = ()) -> dict[str, Any]:
    """Tables are merged key by key; every other value of the overlay replaces that of the base."""
    result = dict(base)
    for name, value in overlay.items():
        under, path = base.get(name), (*at, name)
        if isinstance(under, dict) and not isinstance(value, dict) and _is_param(path):
            result[name] = {**under, "default": value}
        elif isinstance(under, dict) and isinstance(value, dict):
            result[name] = merge(under, value, path)
        else:
            result[name] = value
    return result


def _is_param(path: KeyPath) -> bool:
    return len(path) == 4 and path[0] == "pipelines" and path[2] == "params"


def value_at(data: Any, path: KeyPath) -> Any:
    """The value at a path, None where there is none (TOML has no null)."""
    for part in path:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    return data
