"""What works where somebody looks on, and surprises in a run: found in a notebook's code, for warnings. Pure.

Only lines that are certain to be magics are read; whatever else may do the same makes no warning. Must not know files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nbflow.core.cells import Cell, code_cells, language_of, parse

_BARE = re.compile(r"^([ \t]*)((?:pip|conda|mamba)[ \t]+\w+)", re.MULTILINE)
"""IPython takes `pip install x` for `%pip install x`; Python takes it for nothing."""
_HINT = re.compile(r"^\s*[%!].*(?:matplotlib|install|add|remove|update|upgrade)", re.MULTILINE)
"""What a source has at least; most have none of it, and are not parsed."""
_MATPLOTLIB = re.compile(r"%matplotlib\b\s*([\w:./-]*)\s*(?:#.*)?")
_WITHOUT_SCREEN = frozenset({"inline", "agg", "svg", "pdf", "ps", "cairo", "--list", "-l"})
_INSTALLER = re.compile(
    r"""(?:%|!!?)\s*
    (?:(?:\{\s*sys\.executable\s*\}|\S*python[\d.]*)\s+-m\s+)?
    (?:uv\s+)?
    (?P<tool>pip[\d.]*|conda|mamba|micromamba|uv)\s+
    (?:install|uninstall|add|remove|update|upgrade)\b""",
    re.VERBOSE,
)


def habit_warnings(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Warnings about a notebook's cells, in their order; empty for a language other than Python."""
    if language_of(document) != "python":
        return ()
    return tuple(warning for cell in code_cells(document) for warning in _cell_warnings(cell))


def _cell_warnings(cell: Cell) -> Iterator[str]:
    for magic in _magics(cell.source):
        if (found := _MATPLOTLIB.fullmatch(magic)) and found[1].lower() not in _WITHOUT_SCREEN:
            said = f"%matplotlib {found[1]}".strip()
            yield f"cell {cell.number}: `{said}` needs somebody at a screen; in a run use `%matplotlib inline`"
        elif found := _INSTALLER.match(magic):
            yield (
                f"cell {cell.number} changes installed packages ({found['tool']}): other notebooks see it too, and a "
                "module that is imported already stays as it is; do it before the run"
            )


def _magics(source: str) -> Iterator[str]:
    """Lines of a cell that are magics for certain: those that `parse` takes out."""
    text = _BARE.sub(r"\1%\2", re.sub(r"\r\n?", "\n", source))
    if not _HINT.search(text) or (python := parse(text)) is None:
        return
    lines = text.split("\n")
    for line, plain in zip(lines, python.text.split("\n"), strict=True):
        if line != plain:
            yield line.strip()
