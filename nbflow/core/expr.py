"""The language of `{{ }}` and `when`: parse, render, and check names before anything runs.

Python's expression syntax by a white-list (expr_syntax), evaluated over the caller's own mappings (expr_eval).
Rendered values are never rendered again: what came from outside stays data. Must not know tasks or runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbflow.core.expr_eval import MAX_SIZE, evaluate
from nbflow.core.expr_syntax import (
    DaysAgo,
    ExprError,
    Ref,
    Reference,
    Scope,
    Term,
    operands,
    parse,
)
from nbflow.core.faults import did_you_mean
from nbflow.core.values import text as value_text

__all__ = [
    "Allowed",
    "ExprError",
    "Expression",
    "Reference",
    "Scope",
    "Template",
    "check_references",
    "is_template",
    "parse_expression",
    "parse_template",
    "references",
    "render",
]


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression."""

    text: str
    root: Term

    def evaluate(self, scope: Scope) -> Any:
        """Its value. Raises ExprError where it has none."""
        return evaluate(self.root, scope)

    @property
    def references(self) -> frozenset[Reference]:
        """All names that it reads."""
        return frozenset(_references(self.root))


@dataclass(frozen=True, slots=True)
class Template:
    """Text with expressions in `{{ }}`. One that is nothing but one `{{ }}` keeps the type of the value."""

    text: str
    parts: tuple[str | Expression, ...]

    def render(self, scope: Scope) -> Any:
        """Its value. Raises ExprError where a part has none, or where the text would be too long."""
        match self.parts:
            case (Expression() as whole,):
                return whole.evaluate(scope)
            case parts:
                made = "".join(part if isinstance(part, str) else value_text(part.evaluate(scope)) for part in parts)
                if len(made) > MAX_SIZE:
                    raise ExprError(f"the text would have more than {MAX_SIZE:,} characters")
                return made

    @property
    def references(self) -> frozenset[Reference]:
        """All names that it reads."""
        return frozenset().union(*(part.references for part in self.parts if isinstance(part, Expression)))


def parse_expression(text: str) -> Expression:
    """An expression as in `when`. Raises ExprError."""
    if text.lstrip().startswith("{{"):
        raise ExprError("an expression stands here without {{ }}", 0, "leave {{ and }} out")
    return _parse_expression(text, 0)


@lru_cache(maxsize=4096)
def _parse_expression(text: str, shift: int) -> Expression:
    root = parse(text, shift)
    _check_constants(root)
    return Expression(text, root)


_BODY = re.compile(r"""(?:[^"'}\\]++|\\.|}(?!})|"(?:[^"\\]++|\\.)*"|'(?:[^'\\]++|\\.)*')*""", re.DOTALL)
"""What stands between `{{` and `}}`: a `}}` inside quotes does not end it."""


@lru_cache(maxsize=4096)
def parse_template(text: str) -> Template:
    """Text in which `{{ expression }}` are replaced; single braces are plain text. Raises ExprError."""
    parts: list[str | Expression] = []
    done = 0
    while (opening := text.find("{{", done)) >= 0:
        body = _BODY.match(text, opening + 2)
        end = body.end() if body else opening + 2
        if not text.startswith("}}", end):
            raise ExprError("`{{` without `}}`, or a quote inside it that is not closed", opening)
        if opening > done:
            parts.append(text[done:opening])
        parts.append(_parse_expression(text[opening + 2 : end], opening + 2))
        done = end + 2
    if done < len(text) or not parts:
        parts.append(text[done:])
    return Template(text, tuple(parts))


def is_template(value: object) -> bool:
    """Whether a value holds `{{`, in lists and in the values of dicts too."""
    return any("{{" in text for text in _texts(value))


def render(value: Any, scope: Scope) -> Any:
    """The value with every template replaced, in lists and in the values of dicts too. Raises ExprError."""
    match value:
        case str():
            return parse_template(value).render(scope) if "{{" in value else value
        case list():
            return [render(item, scope) for item in value]
        case tuple():
            return tuple(render(item, scope) for item in value)
        case dict():
            return {key: render(item, scope) for key, item in value.items()}
        case _:
            return value


def references(value: object) -> frozenset[Reference]:
    """All names that an expression, a template, or the templates inside a value read. Raises ExprError."""
    if isinstance(value, Expression | Template):
        return value.references
    return frozenset().union(*(parse_template(text).references for text in _texts(value) if "{{" in text))


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case _:
            pass


def _references(term: Term) -> Iterator[Reference]:
    if isinstance(term, Ref):
        yield term.path
    if isinstance(term, DaysAgo):
        yield ("run", "date")
    for operand in operands(term):
        yield from _references(operand)


def _check_constants(term: Term) -> None:
    """Evaluate the parts that depend on nothing, so that `"a" * 1000000000` or `1 / 0` is refused where it is read."""
    if not frozenset(_references(term)):
        evaluate(term, {})
        return
    for operand in operands(term):
        _check_constants(operand)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The names that an expression may read where it stands.

    `tasks` are all tasks of the pipeline, `upstreams` those whose outputs are there. `secret_env` are environment
    variables that some secret refers to: expressions never see those.
    """

    params: frozenset[str] = frozenset()
    upstreams: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    matrix: frozenset[str] = frozenset()
    item: bool = False
    run: bool = True
    secret_env: frozenset[str] = frozenset()


def check_references(refs: frozenset[Reference], allowed: Allowed) -> list[tuple[str, str | None]]:
    """A message and a hint for each name that has no value here, in the order of the names."""
    found = (_check_reference(reference, allowed) for reference in sorted(refs))
    return [problem for problem in found if problem is not None]


def _check_reference(reference: Reference, allowed: Allowed) -> tuple[str, str | None] | None:
    match reference:
        case ("params", name) if name not in allowed.params:
            return f"params.{name}: there is no parameter {name!r}", did_you_mean(
                name, allowed.params, what="parameters"
            )
        case ("matrix", name) if name not in allowed.matrix:
            return f"matrix.{name}: there is no axis {name!r}", did_you_mean(name, allowed.matrix, what="axes")
        case ("tasks", name, *_) if name not in allowed.upstreams:
            return _check_task(name, allowed)
        case ("item",) if not allowed.item:
            return "item has a value only in `params` and `when` of a task with for_each", None
        case ("run", name) if not allowed.run:
            return f"run.{name} has no value here", None
        case ("env", name) if name in allowed.secret_env:
            return f"env({name!r}) is a secret, which expressions never see", "pass it with secrets = { ... }"
        case _:
            return None


def _check_task(name: str, allowed: Allowed) -> tuple[str, str | None]:
    if name in allowed.tasks:
        return f"tasks.{name} is not upstream of this task", f'add "{name}" to needs'
    return f"tasks.{name}: there is no task {name!r}", did_you_mean(name, allowed.tasks, what="tasks")
