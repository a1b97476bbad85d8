"""Parameters that Python source declares by assigning names, statement by statement.

Must not know notebooks; `contract` says which sources count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.core.annotations import Hint, NotLiteralError, annotation, imported, literal, result_type
from nbflow.core.cells import Python
from nbflow.core.comments import Comments
from nbflow.core.names import names_of
from nbflow.core.params import infer_type
from nbflow.core.spec import ParamType


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One parameter. `default` counts only where `has_default`: a value that depends on code is not known.

    `required` where the source gives it no value at all (`limit: int`). `cell` is the index among all cells, from
    0; `line` the line in it, from 1.
    """

    name: str
    type: ParamType = ParamType.ANY
    default: Any | None = None
    has_default: bool = False
    required: bool = False
    nullable: bool = False
    options: tuple[Any, ...] = ()
    description: str | None = None
    cell: int
    line: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a statement stands, and what its comments say."""

    cell: int
    line: int
    type_comment: str | None
    description: str | None


class Declarations:
    """Reads sources in their order; `declared` and `warnings` grow."""

    def __init__(self) -> None:
        self.declared: dict[str, Declared] = {}
        self.warnings: list[str] = []
        self._aliases: dict[str, str] = {}
        self._hints: dict[str, Hint] = {}

    def learn(self, tree: ast.AST) -> None:
        """Note what names of modules and classes mean, by the imports of a source."""
        for node in ast.walk(tree):
            self._aliases.update(imported(node))

    def read(self, python: Python, cell: int) -> None:
        """Declare what the statements of a parameters cell assign."""
        comments = Comments(python.text)
        for statement in python.tree.body:
            beside = comments.beside(statement.lineno, statement.end_lineno or statement.lineno)
            self._read(statement, _Place(cell, statement.lineno, *beside))

    def _read(self, statement: ast.stmt, place: _Place) -> None:
        match statement:
            case ast.Assign(targets, value):
                for name, part in (pair for target in targets for pair in _pairs(target, value)):
                    self._assign(name, part, place, reads=value)
            case ast.AnnAssign(ast.Name(id=name), said, value):
                self._hints[name] = annotation(said, self._aliases)
                if value is None:
                    self._declare(name, place, (), ParamType.ANY, required=True)
                else:
                    self._assign(name, value, place, reads=value)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                pass
            case _:
                self.learn(statement)
                for name in names_of([statement]).assigned:
                    if name not in self._aliases:
                        self._assign(name, None, place, reads=statement)

    def _assign(self, name: str, value: ast.expr | None, place: _Place, *, reads: ast.AST) -> None:
        """Declare a name with a value, which is None where it is one of several; `reads` is what it comes from."""
        try:
            default = () if value is None else (literal(value, self._aliases),)
        except NotLiteralError:
            default = ()
        if default:
            self._declare(name, place, default, infer_type(default[0]))
            return
        sources = [one for one in names_of([reads]).free if one in self.declared and one != name]
        if sources:
            made = " and ".join(sources)
            self.warnings.append(
                f"{name} is derived from {made} in the parameters cell: it stays at its default; derive it below"
            )
        old = self.declared.get(name)
        kind = ParamType.ANY if value is None else result_type(value, self._aliases)
        self._declare(name, place, (), old.type if old and kind is ParamType.ANY else kind)

    def _declare(
        self, name: str, place: _Place, default: Sequence[Any], inferred: ParamType, *, required: bool = False
    ) -> None:
        if place.type_comment and name not in self._hints:
            self._hints[name] = annotation(ast.Constant(place.type_comment), self._aliases)
        hint, old = self._hints.get(name), self.declared.get(name)
        said = hint or Hint(type=inferred)
        self.declared[name] = Declared(
            name=name,
            type=said.type,
            default=default[0] if default else None,
            has_default=bool(default),
            required=required and old is None,
            nullable=said.nullable or tuple(default) == (None,) or bool(old and old.nullable),
            options=said.options,
            description=said.description or place.description or (old.description if old else None),
            cell=place.cell,
            line=place.line,
        )


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None]]:
    """Names of a target with their values; None where a value cannot be told from the others (`a, b = f()`)."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ((ast.Tuple(names) | ast.List(names)), (ast.Tuple(values) | ast.List(values))) if len(names) == len(
            values
        ) and not any(isinstance(one, ast.Starred) for one in (*names, *values)):
            for one, part in zip(names, values, strict=True):
                yield from _pairs(one, part)
        case _:
            yield from ((name, None) for name in names_of([target]).assigned)
