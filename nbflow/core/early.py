"""What a notebook does that has to come before its libraries are loaded: then nobody may load them ahead of it.

Libraries read environment variables when they are loaded (`OMP_NUM_THREADS`, `MPLBACKEND`, `HF_HOME`). Read by `ast`,
nothing is run. Must not know kernels.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from nbflow.core.cells import code_cells, parse

_MAGIC = re.compile(r"^\s*%(env\s+\S+[\s=]|set_env\s|dotenv\b|load_ext\s+dotenv)", re.MULTILINE)
_CHANGES = frozenset({"setdefault", "update", "pop", "popitem", "clear"})
_FUNCTIONS = frozenset({"putenv", "unsetenv", "load_dotenv"})


def sets_variables_first(document: Mapping[str, Any]) -> bool:
    """Whether a notebook changes its environment variables and imports other than the standard library after that."""
    has_set = False
    for cell in code_cells(document):
        parsed = parse(cell.source)
        lines = list(_lines(parsed.tree)) if parsed is not None else []
        first = min((line for line, sets in lines if sets), default=None)
        if _MAGIC.search(cell.source):
            first = 0
        has_set_before, has_set = has_set, has_set or first is not None
        for line, sets in lines:
            if not sets and (has_set_before or (first is not None and line >= first)):
                return True
    return False


def _lines(tree: ast.Module) -> Iterator[tuple[int, bool]]:
    """Lines that change a variable (True), and those that import (False)."""
    for found in ast.walk(tree):
        match found:
            case ast.Subscript(value=place, ctx=ast.Store() | ast.Del()) if _is_environment(place):
                yield found.lineno, True
            case ast.Call(func=ast.Attribute(attr=name, value=place)) if _is_environment(place) and name in _CHANGES:
                yield found.lineno, True
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in _FUNCTIONS:
                yield found.lineno, True
            case ast.Import(names=names) if any(_is_library(alias.name) for alias in names):
                yield found.lineno, False
            case ast.ImportFrom(module=str(module), level=0) if _is_library(module):
                yield found.lineno, False
            case _:
                pass


def _is_environment(place: ast.expr) -> bool:
    return (place.attr if isinstance(place, ast.Attribute) else getattr(place, "id", None)) == "environ"


def _is_library(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in {"dotenv", "nbflow"}
