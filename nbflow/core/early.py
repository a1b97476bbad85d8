"""What a notebook does that has to come before its libraries are loaded: then nobody may load them ahead of it.

Libraries read environment variables when they are loaded (`OMP_NUM_THREADS`, `MPLBACKEND`, `HF_HOME`), and which ones
are loaded depends on the search path and on the folder. Read by `ast`, nothing is run. Must not know kernels.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

from nbflow.core.cells import code_cells, parse

_PREPARES = re.compile(
    r"""\s*(?:
    %(?:env\s+\S+[\s=]|set_env\s|cd\b|pushd\b|popd\b|dotenv\b|load_ext\s+dotenv)
    |cd\s+(?!=)|%%(?:file|writefile)\s.*\.py\b
    |[%!].*\b(?:pip|conda|mamba|uv)\b.*\b(?:install|add|update|uninstall|remove|sync)\b)""",
    re.VERBOSE,
)
"""Lines of IPython that change variables, the folder, or what there is to import; `cd` needs no sign."""
_LOADS = re.compile(r"\s*%(?:load_ext|matplotlib|pylab)\b")
_RUNS = re.compile(r"\s*%run\b")
_TEXT = re.compile(r"environ|\bputenv|chdir|\bsys\.(?:path|modules)|\bdotenv")
_TEXT_IMPORT = re.compile(r"\s*(?:import|from)\s+([\w.]+)")
_PYTHON = re.compile(r"\s*%%(?:time|timeit|capture|prun)\b|(?!\s*%%)")
_VARIABLES = frozenset({"environ", "environb"})
_OF_IMPORT = frozenset({"path", "meta_path", "path_hooks", "modules"})
_CHANGES = frozenset(
    ["setdefault", "update", "pop", "popitem", "clear", "insert", "append", "extend", "remove", "__setitem__"]
)
_FUNCTIONS = frozenset(
    ["putenv", "unsetenv", "chdir", "fchdir", "addsitedir", "load_dotenv", "read_dotenv", "read_env", "set_key"]
)
_RUNNERS = frozenset({"exec", "run_path", "run_module", "run_line_magic", "run_cell_magic", "run_cell", "magic"})
_SETTINGS = "pipelines.toml"
_IMPORTERS = frozenset({"import_module", "__import__"})


class _Act(IntEnum):
    """What a line does; of what is on one line this is the order."""

    PREPARES = 0
    IMPORTS = 1
    RUNS = 2
    """It runs what is not to be seen here, which may prepare and import."""


def prepares_imports(document: Mapping[str, Any]) -> bool:
    """Whether a notebook changes its variables, folder or search path, and imports libraries after that.

    What cannot be told counts as such. Modules of the standard library do not count.
    """
    names, has_prepared, has_imported = _Names(), False, False
    for cell in code_cells(document):
        for _, act in sorted(_acts(cell.source, names)):
            if act is not _Act.PREPARES and (has_prepared or (act is _Act.RUNS and not has_imported)):
                return True
            has_prepared = has_prepared or act is not _Act.IMPORTS
            has_imported = has_imported or act is _Act.IMPORTS
    return False


def _acts(source: str, names: _Names) -> Iterator[tuple[int, _Act]]:
    """What a cell does that matters here, with the number of the line."""
    text = re.sub(r"\r\n?", "\n", source)
    if not _PYTHON.match(text):
        if _PREPARES.match(text):
            yield 0, _Act.PREPARES
        return
    parsed = parse(text)
    for number, line in enumerate(text.split("\n"), start=1):
        for pattern, act in ((_PREPARES, _Act.PREPARES), (_LOADS, _Act.IMPORTS), (_RUNS, _Act.RUNS)):
            if pattern.match(line):
                yield number, act
        if parsed is None:
            yield from ((number, act) for act in _textual(line))
    if parsed is not None:
        names.learn(parsed.tree)
        for node in ast.walk(parsed.tree):
            if isinstance(node, ast.stmt | ast.expr):
                yield from ((node.lineno, act) for act in _acts_of(node, names))


def _textual(line: str) -> Iterator[_Act]:
    """What a line of a cell that is no plain Python seems to do."""
    if _TEXT.search(line):
        yield _Act.PREPARES
    if (found := _TEXT_IMPORT.match(line)) and _is_library(found[1]):
        yield _Act.IMPORTS


class _Names:
    """Names by which a notebook speaks of its variables, of the search path, and of what changes them."""

    def __init__(self) -> None:
        self.systems = {"sys"}
        self.places = set(_VARIABLES)
        self.functions = set(_FUNCTIONS)
        self.runners = set(_RUNNERS)

    def learn(self, tree: ast.Module) -> None:
        """Take in the names that a cell gives them."""
        for found in ast.walk(tree):
            match found:
                case ast.Import(names=names):
                    self.systems.update(one.asname for one in names if one.name == "sys" and one.asname)
                case ast.ImportFrom(module=str(module), names=names):
                    for one in names:
                        if one.name in _VARIABLES or (module == "sys" and one.name in _OF_IMPORT):
                            self.places.add(one.asname or one.name)
                        elif one.name in _FUNCTIONS:
                            self.functions.add(one.asname or one.name)
                        elif one.name in _RUNNERS:
                            self.runners.add(one.asname or one.name)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.NamedExpr(target=ast.Name(id=name), value=value)
                ) if self.is_place(value):
                    self.places.add(name)
                case _:
                    pass

    def is_place(self, expression: ast.expr) -> bool:
        """Whether an expression is the environment, or what decides how modules are found."""
        match expression:
            case ast.Name(id=name):
                return name in self.places
            case ast.Attribute(attr=name, value=ast.Name(id=owner)) if name in _OF_IMPORT:
                return owner in self.systems
            case ast.Attribute(attr=name):
                return name in _VARIABLES
            case _:
                return False


def _acts_of(node: ast.stmt | ast.expr, names: _Names) -> Iterator[_Act]:
    """What one statement or expression does, without its parts."""
    match node:
        case ast.Subscript(value=place, ctx=ast.Store() | ast.Del()) | ast.AugAssign(target=place):
            yield from [_Act.PREPARES] if names.is_place(place) else []
        case ast.Attribute(ctx=ast.Store()):
            yield from [_Act.PREPARES] if names.is_place(node) else []
        case ast.Call(func=function) if not _leads_home(node):
            yield from _acts_of_call(function, names)
        case ast.Import(names=modules):
            yield from [_Act.IMPORTS] if any(_is_library(one.name) for one in modules) else []
        case ast.ImportFrom(module=str(module), level=0):
            yield from [_Act.IMPORTS] if _is_library(module) else []
        case _:
            pass


def _leads_home(call: ast.Call) -> bool:
    """Whether a call goes to the project's folder, found by its settings: kernels start there, so nothing changes."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    return name == "chdir" and any(isinstance(one, ast.Constant) and one.value == _SETTINGS for one in ast.walk(call))


def _acts_of_call(function: ast.expr, names: _Names) -> Iterator[_Act]:
    match function:
        case ast.Attribute(attr=name, value=place) if name in _CHANGES and names.is_place(place):
            yield _Act.PREPARES
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in names.functions:
            yield _Act.PREPARES
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in names.runners:
            yield _Act.RUNS
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in _IMPORTERS:
            yield _Act.IMPORTS
        case _:
            pass


def _is_library(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in {"dotenv", "nbflow"}
