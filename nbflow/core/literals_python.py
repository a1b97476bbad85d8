"""Exact literals of Python: constants, containers, and constructors of the standard library called with constants.

Modules are imported under names with an underscore, so that an injected `import datetime` never hides a class of
that name which the notebook has imported. Must not check values: they are those that `values.decode` gives.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from nbflow.core.values import canonical

WIDTH = 88


def assignments(params: Mapping[str, Any]) -> list[str]:
    """Lines of the imports that are needed, and of one assignment for each parameter."""
    writer = _Writer(params.keys())
    lines = [f"{name} = {writer.write(value, 0, len(name) + 3)}" for name, value in params.items()]
    imports = [f"import {module} as {alias}" for module, alias in sorted(writer.imports.items())]
    return [*imports, *lines]


class _Writer:
    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self.imports: dict[str, str] = {}

    def write(self, value: Any, indent: int, used: int) -> str:
        """The literal; one that does not fit in the line (`used` characters are taken) has an entry on each line."""
        flat = self._flat(value)
        if used + len(flat) <= WIDTH or not isinstance(value, list | tuple | set | dict) or not value:
            return flat
        inner = indent + 4
        if isinstance(value, dict):
            keys = [f"{self._flat(key)}: " for key in value]
            entries = [
                key + self.write(item, inner, inner + len(key) + 1)
                for key, item in zip(keys, value.values(), strict=True)
            ]
        else:
            entries = [self.write(item, inner, inner + 1) for item in _in_order(value)]
        lines = "".join(f"{' ' * inner}{entry},\n" for entry in entries)
        return f"{flat[0]}\n{lines}{' ' * indent}{flat[-1]}"

    def _flat(self, value: Any) -> str:
        match value:
            case None | bool() | int() | str():
                return repr(value)
            case float():
                return repr(value) if math.isfinite(value) else f'{self._builtin("float")}("{value}")'
            case list() | tuple() | set() | frozenset() | dict():
                return self._container(value)
            case _:
                return self._made(value)

    def _container(self, value: Any) -> str:
        items = ", ".join(self._flat(item) for item in _in_order(value)) if not isinstance(value, dict) else ""
        match value:
            case dict():
                return "{" + ", ".join(f"{self._flat(key)}: {self._flat(item)}" for key, item in value.items()) + "}"
            case list():
                return f"[{items}]"
            case tuple():
                return f"({items},)" if len(value) == 1 else f"({items})"
            case set():
                return f"{{{items}}}" if value else f"{self._builtin('set')}()"
            case _:
                return f"{self._builtin('frozenset')}({f'{{{items}}}' if value else ''})"

    def _made(self, value: Any) -> str:
        match value:
            case datetime() | time():
                plain = repr(value.replace(tzinfo=None)).removeprefix("datetime.")
                zone = "" if value.tzinfo is None else f", tzinfo={self._zone(value.tzinfo)}"
                return f"{self._module('datetime')}.{plain[:-1]}{zone})"
            case date() | timedelta():
                return f"{self._module('datetime')}.{repr(value).removeprefix('datetime.')}"
            case PurePosixPath():
                return f"{self._module('pathlib')}.Path({str(value)!r})"
            case Decimal():
                return f"{self._module('decimal')}.Decimal({str(value)!r})"
            case _:
                raise TypeError(f"{type(value)} is no type of a parameter")

    def _zone(self, zone: tzinfo) -> str:
        if isinstance(zone, ZoneInfo):
            return f"{self._module('zoneinfo')}.ZoneInfo({zone.key!r})"
        module = self._module("datetime")
        return f"{module}.timezone.utc" if zone == UTC else f"{module}.timezone({self._made(zone.utcoffset(None))})"

    def _module(self, name: str) -> str:
        """The name under which a module is imported; longer where a parameter has it."""
        alias = f"_{name}"
        while alias in self._names:
            alias = f"_{alias}"
        self.imports[name] = alias
        return alias

    def _builtin(self, name: str) -> str:
        """A built-in, by its module where a parameter of this name hides it."""
        return f"{self._module('builtins')}.{name}" if name in self._names else name


def _in_order(value: Any) -> list[Any]:
    return sorted(value, key=canonical) if isinstance(value, set | frozenset) else list(value)
