"""The source of the injected cell: parameters as exact literals of the notebook's language.

Everything is written by a function for its type; there is no fall-back to `str(value)`. What a language cannot
write exactly is refused. Must not know notebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nbflow.core import literals_bash, literals_julia, literals_python, literals_r
from nbflow.core.params import is_name
from nbflow.core.values import decode, encode

HEADING = "# Parameters"
"""The first line, as papermill writes it; a comment in all languages here."""

_WRITERS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = MappingProxyType(
    {
        "python": literals_python.assignments,
        "r": literals_r.assignments,
        "julia": literals_julia.assignments,
        "bash": literals_bash.assignments,
    }
)


class LiteralError(ValueError):
    """A parameter has no exact literal in a language, or a name that cannot be assigned to."""


def injected_source(params: Mapping[str, Any], language: str) -> str:
    """The lines of the injected cell, in the order of `params`; the same bytes for the same values.

    Raises LiteralError, which names the place inside the value, for what the language cannot write.
    """
    write = _WRITERS.get(language.lower())
    if write is None:
        known = ", ".join(_WRITERS)
        raise LiteralError(f"parameters cannot be written in {language!r}; languages that can take them: {known}")
    for name in params:
        if problem := is_name(name):
            raise LiteralError(f"{name!r} is no name of a parameter: {problem}")
    try:
        plain = {name: decode(encode(value, name=name)) for name, value in params.items()}
        return "\n".join([HEADING, *write(plain)])
    except ValueError as error:
        raise LiteralError(str(error)) from error


def unsupported(value: object, language: str, *, name: str = "value") -> str | None:
    """Why a value has no exact literal in a language; None where it has one."""
    try:
        injected_source({name: value}, language)
    except LiteralError as error:
        return str(error)
    return None
