"""The rules of the house that a machine can check: layers, sizes, cycles, words, start-up."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nbflow"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE, MAX_FUNCTION, MAX_METHODS = 400, 50, 15
OTHER_WORDS = {"dag", "dags", "node", "nodes", "flow", "flows"}
"""Words of other tools for what the glossary calls pipeline and task."""


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines < MAX_FILE, f"{path} has {lines} lines"
    for found in ast.walk(parsed(path)):
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (found.end_lineno or 0) - found.lineno + 1
            assert length <= MAX_FUNCTION, f"{path}:{found.lineno} {found.name} has {length} lines"
        if isinstance(found, ast.ClassDef):
            public = [
                item.name
                for item in found.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_")
            ]
            assert len(public) < MAX_METHODS, f"{path}:{found.lineno} {found.name} has {len(public)} public methods"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_holds(path: Path) -> None:
    tree = parsed(path)
    if path.name == "__init__.py" and not tree.body:
        return
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for found in tree.body:
        if isinstance(found, ast.FunctionDef | ast.ClassDef) and not found.name.startswith("_"):
            assert ast.get_docstring(found), f"{path}:{found.lineno} {found.name} has no docstring"


def test_init_files_hold_no_logic() -> None:
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            extra = [item for item in parsed(path).body if not isinstance(item, ast.Expr)]
            assert not extra, f"{path}:{extra[0].lineno} holds code"


def imports_of(path: Path) -> Iterator[str]:
    """Modules of nbflow that a file imports at run time, those inside functions included."""
    known = {name_of(module) for module in MODULES}
    tree = parsed(path)
    for_types = {
        id(inner)
        for found in ast.walk(tree)
        if isinstance(found, ast.If) and isinstance(found.test, ast.Name) and found.test.id == "TYPE_CHECKING"
        for inner in ast.walk(found)
    }
    for found in ast.walk(tree):
        if id(found) in for_types:
            continue
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names if alias.name in known)
        elif isinstance(found, ast.ImportFrom) and found.module in known:
            whole = [f"{found.module}.{alias.name}" for alias in found.names]
            modules = [name for name in whole if name in known]
            yield from modules or [found.module]


def test_no_import_cycle_hidden_ones_included() -> None:
    graph = nx.DiGraph((name_of(path), name) for path in MODULES for name in imports_of(path))
    graph.remove_edges_from([edge for edge in graph.edges if "nbflow" in edge])  # the root gives names lazily
    cycles = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert not cycles


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_contracts_have_no_exceptions() -> None:
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_word_per_thing(path: Path) -> None:
    tree = parsed(path)
    reads_syntax = any(isinstance(item, ast.Import) and item.names[0].name == "ast" for item in tree.body)
    banned = OTHER_WORDS - {"node", "nodes"} if reads_syntax else OTHER_WORDS  # Python's own word for its syntax tree
    for found in ast.walk(tree):
        names = []
        if isinstance(found, ast.FunctionDef | ast.ClassDef):
            names = [found.name]
        elif isinstance(found, ast.arg):
            names = [found.arg]
        elif isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store):
            names = [found.id]
        for name in names:
            words = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
            assert not words & banned, f"{path}:{getattr(found, 'lineno', 0)} {name}"


DANGEROUS = re.compile(r"\b(pickle|marshal|shelve)\b|\byaml\.load\(|(?<![\w.])(eval|exec)\(|shell=True|os\.system\(")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_that_runs_data_as_code(path: Path) -> None:
    code = "\n".join(ast.unparse(item) for item in parsed(path).body if not isinstance(item, ast.Expr))
    assert not DANGEROUS.search(code), f"{path}: {DANGEROUS.search(code)}"


POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+[^+]|\(\?>")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_pattern_that_old_pythons_misread(path: Path) -> None:
    """Python 3.11.0 to 3.11.4 lets a possessive group with a choice in it match what it does not match."""
    constants = (one.value for one in ast.walk(parsed(path)) if isinstance(one, ast.Constant))
    found = [text for text in constants if isinstance(text, str) and POSSESSIVE_GROUP.search(text + " ")]
    assert not found, f"{path}: {found}"


def test_tests_mirror_modules() -> None:
    """Each module with functions of its own has a unit test of the same name."""
    missing = []
    for path in MODULES:
        has_code = any(isinstance(item, ast.FunctionDef) for item in ast.walk(parsed(path)))
        test = ROOT / "tests" / "unit" / path.relative_to(PACKAGE).with_name(f"test_{path.name}")
        if has_code and path.name not in ("__init__.py", "__main__.py", "ports.py") and not test.exists():
            missing.append(str(test.relative_to(ROOT)))
    assert not missing, "no unit test at " + ", ".join(missing)


def test_the_kernel_side_is_light() -> None:
    """`import nbflow` and its names in a notebook import nothing heavy."""
    code = (
        "import sys; before = set(sys.modules); import nbflow; nbflow.run; nbflow.output;"
        "print(sorted(name for name in set(sys.modules) - before if name.startswith('nbflow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == ["nbflow", "nbflow.notebook", "nbflow.version"]
