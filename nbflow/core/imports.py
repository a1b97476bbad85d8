"""The modules that a notebook's code imports, read by `ast`: what a kernel can load before it is needed.

Nothing is imported to look at it. Must not know which modules are installed, nor who loads them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nbflow.core.cells import code_cells, language_of, parse
from nbflow.core.spec import Preload, PreloadMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """What one notebook imports, and the kernel that its metadata name."""

    kernel: str | None
    modules: tuple[str, ...]


def imported_modules(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Dotted names of the modules that code cells import, sorted; those of the standard library are left out.

    Of `from a.b import c` only `a.b` is certainly a module. Cells that are not plain Python, and notebooks of other
    languages, give nothing.
    """
    if language_of(document) != "python":
        return ()
    found: set[str] = set()
    for cell in code_cells(document):
        if (parsed := parse(cell.source)) is not None:
            found.update(_modules(parsed.tree))
    return tuple(sorted(name for name in found if name.partition(".")[0] not in sys.stdlib_module_names))


def preloads(
    tasks: Iterable[tuple[str, str | None]], notebooks: Mapping[str, Imports], declared: Mapping[str, Preload]
) -> dict[str, Preload]:
    """What each kernel of some tasks is to load: as declared, else all that their notebooks import.

    A task is its notebook and the kernel that it names in place of its notebook's; where that notebook is not among
    `notebooks`, the task counts for nothing.
    """
    found: dict[str, set[str]] = {}
    for notebook, kernel in tasks:
        imports = notebooks.get(notebook)
        name = kernel or (imports.kernel if imports else None)
        if imports is not None and name is not None:
            found.setdefault(name, set()).update(imports.modules)
    given = {name.lower(): preload for name, preload in declared.items()}
    return {name: _preload(given.get(name.lower(), Preload()), modules) for name, modules in found.items()}


def _preload(declared: Preload, modules: set[str]) -> Preload:
    return replace(declared, modules=tuple(sorted(modules))) if declared.mode is PreloadMode.AUTO else declared


def _modules(tree: ast.Module) -> Iterator[str]:
    for found in ast.walk(tree):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom) and found.module and not found.level:
            yield found.module
