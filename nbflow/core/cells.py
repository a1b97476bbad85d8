"""Code cells of a parsed notebook document, and their Python source as a syntax tree. Nothing is executed.

Documents come from files that people edit: whatever is odd in one is skipped, never an error. Must not know parameters.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARAMETERS = "parameters"
"""The tag of a cell that declares parameters."""
MAX_SOURCE = 1_000_000
"""Characters of a cell that is parsed; no one writes more by hand, and a parse takes some hundred times the memory."""

_PYTHON_BODY = re.compile(r"%%(time|capture|prun)\b")
"""Cell magics whose body is Python that runs in the notebook's own namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A code cell. `index` counts all cells from 0; `number` counts code cells from 1, as people do."""

    index: int
    number: int
    source: str
    is_parameters: bool


@dataclass(frozen=True, slots=True)
class Python:
    """A cell's source that parses; in `text` its magics have become `pass`, on the same lines."""

    tree: ast.Module
    text: str


def code_cells(document: Mapping[str, Any]) -> tuple[Cell, ...]:
    """The code cells of an nbformat 4 document, in order."""
    found: list[Cell] = []
    for index, cell in enumerate(_list(document.get("cells"))):
        if isinstance(cell, Mapping) and cell.get("cell_type") == "code":
            source, number = _source(cell.get("source")), len(found) + 1
            found.append(Cell(index=index, number=number, source=source, is_parameters=is_parameters(cell)))
    return tuple(found)


def is_parameters(cell: Mapping[str, Any]) -> bool:
    """Whether a cell of a document is tagged `parameters`."""
    metadata = cell.get("metadata")
    return isinstance(metadata, Mapping) and PARAMETERS in _list(metadata.get("tags"))


def language_of(document: Mapping[str, Any]) -> str:
    """The notebook's language in lower case; `python` where the document does not say."""
    metadata = document.get("metadata")
    for key, field in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(key) if isinstance(metadata, Mapping) else None
        name = part.get(field) if isinstance(part, Mapping) else None
        if isinstance(name, str) and name.strip():
            plain = name.strip().lower()
            return "python" if plain in {"python2", "python3", "ipython"} else plain
    return "python"


def parse(source: str) -> Python | None:
    """The syntax tree of a cell; None where it is not Python.

    Lines of IPython (`%matplotlib inline`, `!ls`) are left out. Where it is not certain that such a line is a
    statement of its own, the cell counts as not Python: a wrong reading would be worse than none.
    """
    if len(source) > MAX_SOURCE:
        return None
    text = re.sub(r"\r\n?", "\n", source)
    if (tree := parse_module(text)) is not None:
        return Python(tree, text)
    lines = text.split("\n")
    magics = {number for number, line in enumerate(lines, 1) if line.lstrip().startswith(("%", "!"))}
    for number in magics:
        line = lines[number - 1]
        body = line.lstrip()
        if line.endswith("\\") or (body.startswith("%%") and not _PYTHON_BODY.match(body)):
            return None
        lines[number - 1] = line[: len(line) - len(body)] + "pass"
    text = "\n".join(lines)
    tree = parse_module(text) if magics else None
    if tree is None or not magics <= {node.lineno for node in ast.walk(tree) if isinstance(node, ast.Pass)}:
        return None
    return Python(tree, text)


def parse_module(text: str) -> ast.Module | None:
    """`ast.parse` without its errors and without its warnings of style; None for what is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        return None


def read_imports(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the top-level modules that code cells import, in the order of appearance. Python only."""
    found: dict[str, None] = {}
    if language_of(document) == "python":
        for cell in code_cells(document):
            parsed = parse(cell.source)
            for node in ast.walk(parsed.tree) if parsed else ():
                if isinstance(node, ast.Import):
                    found.update((alias.name.partition(".")[0], None) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found[node.module.partition(".")[0]] = None
    return tuple(found)


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _source(value: object) -> str:
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""
