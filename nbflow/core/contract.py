"""The contract of a notebook: the parameters that its `parameters` cells declare, read by `ast` where it is in Python.

The user's code is never run to look at it; what cannot be read for certain makes a smaller contract, not a guess.
Must not know files, or values that somebody gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nbflow.core.assignments import LANGUAGES, read_assignments
from nbflow.core.cells import Cell, Python, code_cells, is_parameters, language_of, parse, read_imports
from nbflow.core.declarations import Declarations, Declared
from nbflow.core.names import Names, names_of

__all__ = ["Contract", "Declared", "read_contract", "read_imports"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a notebook declares. `complete` is false where there may be more than could be read: another language,
    or a parameters cell that is not plain Python. `cells` counts code cells."""

    declared: Mapping[str, Declared]
    has_cell: bool
    complete: bool
    language: str
    warnings: tuple[str, ...] = ()
    cells: int = 0


def read_contract(document: Mapping[str, Any]) -> Contract:
    """The contract of a parsed notebook document (nbformat 4). Never raises on odd ones."""
    language, cells = language_of(document), code_cells(document)
    last = max((at for at, cell in enumerate(cells) if cell.is_parameters), default=-1)
    warnings = _misplaced_tags(document)
    declarations = Declarations()
    complete = language == "python" or language in LANGUAGES
    if language in LANGUAGES:
        complete = _read_plainly(declarations, cells, language)
    elif complete and last >= 0:
        parsed = [parse(cell.source) for cell in cells]
        complete, doubts = _declare(declarations, cells[: last + 1], parsed[: last + 1])
        warnings += [*doubts, *declarations.warnings]
        warnings += _overwrites(declarations.declared, cells[last + 1 :], parsed[last + 1 :])
    return Contract(
        declared=MappingProxyType(declarations.declared),
        has_cell=last >= 0,
        complete=complete,
        language=language,
        warnings=tuple(warnings),
        cells=len(cells),
    )


def _read_plainly(declarations: Declarations, cells: Sequence[Cell], language: str) -> bool:
    """Read the parameters cells of a language that has no parser here; whether that is all that they declare."""
    complete = True
    for cell in cells:
        if cell.is_parameters:
            found, is_all = read_assignments(cell.source, language, cell.index)
            declarations.declared.update({one.name: one for one in found})
            complete = complete and is_all
    return complete


def _declare(
    declarations: Declarations, cells: Sequence[Cell], parsed: Sequence[Python | None]
) -> tuple[bool, list[str]]:
    """Read the cells up to the last parameters cell; whether all of those could be read, and warnings."""
    complete, warnings, bound = True, [], set[str]()
    used: list[tuple[int, str]] = []
    for cell, python in zip(cells, parsed, strict=True):
        if cell.is_parameters and python is None:
            complete = False
            warnings.append(f"cell {cell.number} is not plain Python: its parameters are not known")
        elif cell.is_parameters and python:
            declarations.read(python, cell.index)
        elif python:
            names = names_of(python.tree.body)
            used += [(cell.number, name) for name in names.free if name not in bound]
            bound.update(names.assigned)
            declarations.learn(python.tree)
    above = (
        f"cell {number} uses `{name}` above the parameters cell"
        for number, name in used
        if name in declarations.declared
    )
    return complete, [*warnings, *above]


def _overwrites(
    declared: Mapping[str, Declared], cells: Sequence[Cell], parsed: Sequence[Python | None]
) -> Iterator[str]:
    """`region = region.lower()` keeps what was given; `region = "us"` loses it."""
    for cell, python in zip(cells, parsed, strict=True):
        names = names_of(python.tree.body) if python else Names()
        for name in names.assigned:
            if name in declared and name not in names.refined:
                yield f"cell {cell.number} overwrites `{name}`"


def _misplaced_tags(document: Mapping[str, Any]) -> list[str]:
    cells = document.get("cells")
    return [
        f"cell {index + 1} of the notebook is tagged `parameters` and is no code cell"
        for index, cell in enumerate(cells if isinstance(cells, list) else ())
        if isinstance(cell, Mapping) and cell.get("cell_type") != "code" and is_parameters(cell)
    ]
