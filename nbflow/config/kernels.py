"""What `[kernels.NAME]` holds: what is loaded for an installed kernel before it is needed.

Must not know which kernels are installed.
"""

from __future__ import annotations

import re
from typing import Any

from nbflow.config import later
from nbflow.config.shape import MISSING, Reading, Schema, described
from nbflow.config.table import Key, Table
from nbflow.core.faults import KeyPath
from nbflow.core.spec import Preload, PreloadMode

_PART = "[A-Za-z_][A-Za-z0-9_]*"
_MODULE = rf"{_PART}(\.{_PART})*"
KERNEL_PATTERN = "[A-Za-z0-9._-]{1,200}"
"""Jupyter's own rule for names of kernels."""
_EXPECTED = 'an array of names of modules, "auto" or false'


class PreloadField:
    """Modules by name, `"auto"` or `false`; read as a Preload."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        match value:
            case "auto":
                return Preload()
            case False:
                return Preload(mode=PreloadMode.OFF)
            case list():
                return self._given(value, at, reading)
            case True:
                return reading.wrong(at, _EXPECTED, value, 'did you mean "auto"?')
            case str():
                hint = f'write ["{value}"]' if re.fullmatch(_MODULE, value) else None
                return reading.wrong(at, _EXPECTED, value, hint)
            case _:
                return reading.wrong(at, _EXPECTED, value)

    def schema(self) -> Schema:
        modules = {"type": "array", "items": {"type": "string", "pattern": f"^{_MODULE}$"}}
        return {"anyOf": [{"enum": ["auto", False]}, modules]}

    def _given(self, value: list[Any], at: KeyPath, reading: Reading) -> Any:
        for index, name in enumerate(value):
            if not isinstance(name, str) or not re.fullmatch(_MODULE, name):
                message = f'expected the name of a module, such as "pandas", not {described(name)}'
                reading.fault((*at, str(index)), message)
                return MISSING
        return Preload(mode=PreloadMode.GIVEN, modules=tuple(dict.fromkeys(value)))


KERNEL = Table(
    example='{ preload = "auto" }',
    keys={
        "preload": Key(
            kind=PreloadField(),
            doc="Modules that are loaded before kernels are forked, or false: kernels are not forked; "
            'default "auto": those that the notebooks import.',
        ),
        "python": Key(kind=later.TEXT, doc="Version of Python for a kernel that nbflow installs.", later=True),
        "requires": Key(kind=later.TEXTS, doc="Packages for a kernel that nbflow installs.", later=True),
        "description": Key(kind=later.TEXT, doc="What it is for, for people.", later=True),
    },
)


def kernel_fault(name: str) -> str | None:
    """Why a name cannot be that of a kernel; None if it can."""
    if re.fullmatch(KERNEL_PATTERN, name):
        return None
    return "a name is letters, digits, '.', '_' or '-', at most 200 in all"


class KernelField:
    """The settings of one kernel, read as its Preload."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        found = KERNEL.read(value, at, reading)
        if found is MISSING:
            return MISSING
        if any(key.later for name, key in KERNEL.keys.items() if name in value):
            reading.unclear.add(at)  # it may name a kernel that is still to be installed
        return found.get("preload", Preload())

    def schema(self) -> Schema:
        return KERNEL.schema()
