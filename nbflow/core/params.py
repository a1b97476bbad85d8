"""Parameters: their names and types, what the command line's text means, and the effective values of a run or task.

Must not know notebooks, files or where a request came from.
"""

from __future__ import annotations

import json
import keyword
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from nbflow.core.expr import ExprError, Scope, parse_template, references, render
from nbflow.core.faults import did_you_mean
from nbflow.core.matrix import Copy, expand_matrix
from nbflow.core.spec import Param, ParamType
from nbflow.core.values import MAX_SIZE, check_size, decode, encode
from nbflow.errors import UsageError

__all__ = [
    "Copy",
    "check_value",
    "expand_matrix",
    "infer_type",
    "is_name",
    "parse_text",
    "resolve",
    "task_params",
]

MAX_NAME = 64
_MAX_FAULTS = 4
_MAX_DIGITS = 1_000

_TYPES: Mapping[type, ParamType] = MappingProxyType(
    {
        str: ParamType.STR,
        bool: ParamType.BOOL,
        int: ParamType.INT,
        float: ParamType.FLOAT,
        date: ParamType.DATE,
        datetime: ParamType.DATETIME,
        list: ParamType.LIST,
        dict: ParamType.DICT,
        PurePosixPath: ParamType.PATH,
    }
)


def is_name(text: str) -> str | None:
    """What is wrong with the name of a parameter; None where it can be assigned to in every language we write."""
    if not (text.isascii() and text.isidentifier()):
        return "a parameter's name is a letter or _ and then letters, digits or _ (ASCII only)"
    if keyword.iskeyword(text):
        return f"{text!r} is a keyword of Python"
    if len(text) > MAX_NAME:
        return f"a parameter's name has at most {MAX_NAME} characters"
    if text.startswith("__") and text.endswith("__"):
        return f"{text!r} belongs to Python itself"
    return None


def infer_type(value: object) -> ParamType:
    """The type of a plain value; that of a template is known only where it is text around `{{ }}`."""
    try:
        plain = decode(encode(value))
        if isinstance(plain, str) and "{{" in plain and len(parse_template(plain).parts) == 1:
            return ParamType.ANY
    except ValueError:
        return ParamType.ANY
    return _TYPES.get(type(plain), ParamType.ANY)


def parse_text(text: str, type: ParamType) -> Any:  # noqa: A002 - the word of the contract
    """The value that a text of the command line means. Raises ValueError with a message for users.

    Nothing is guessed: a text that is not exactly one of the type's own spellings is refused; `any` is text.
    """
    if len(text) > MAX_SIZE:
        raise ValueError("the text is above the limit of 1.0 MB; write a file and pass its path")
    reader = _READERS.get(type)
    return encode(text) if reader is None else reader(text)


_INT = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE)
_BOOLS = MappingProxyType({"true": True, "1": True, "false": False, "0": False})


def _read_int(text: str) -> int:
    if not _INT.fullmatch(text) or len(text) > _MAX_DIGITS:
        raise ValueError(f"{_quoted(text)} is no int; write digits only, as in 1000 (no 01000, 1_000 or 1e3)")
    return int(text)


def _read_float(text: str) -> float:
    if not _FLOAT.fullmatch(text) or len(text) > _MAX_DIGITS:
        raise ValueError(f"{_quoted(text)} is no float; write it as in 0.5, 10, 1e-3, inf or nan")
    return float(text)


def _read_bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError(f"{_quoted(text)} is no bool; write true or false (or 1 or 0)")
    return _BOOLS[text.lower()]


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        raise ValueError(f"{_quoted(text)} is no date; write it as in 2026-01-31") from None


def _read_datetime(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text if _DATETIME.fullmatch(text) else "")
    except ValueError:
        advice = "write it as in 2026-01-31T06:00 or 2026-01-31T06:00:00+01:00"
        raise ValueError(f"{_quoted(text)} is no datetime; {advice}") from None


def _read_path(text: str) -> PurePosixPath:
    if not text or "\0" in text:
        raise ValueError("a path has at least one character, and no NUL")
    return decode(encode(PurePosixPath(text)))  # type: ignore[no-any-return]


def _read_container(kind: type, example: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = _read_json_or_toml(text)
        if not isinstance(value, kind):
            raise ValueError(f"{_quoted(text)} is no {kind.__name__}; write it as JSON, as in {example}")
        return value

    return read


def _read_json_or_toml(text: str) -> Any:
    """JSON, or else a value of TOML (which has dates, and lets keys be bare); None where it is neither."""
    for read in (_read_json, _read_toml):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return None


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _read_toml(text: str) -> Any:
    found = tomllib.loads(f"value = {text}")
    if len(found) != 1:
        raise ValueError("more than one value")
    return found["value"]


_READERS: Mapping[ParamType, Callable[[str], Any]] = MappingProxyType(
    {
        ParamType.INT: _read_int,
        ParamType.FLOAT: _read_float,
        ParamType.BOOL: _read_bool,
        ParamType.DATE: _read_date,
        ParamType.DATETIME: _read_datetime,
        ParamType.PATH: _read_path,
        ParamType.LIST: _read_container(list, """'["a", "b"]'"""),
        ParamType.DICT: _read_container(dict, """'{"a": 1}'"""),
    }
)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def check_value(
    value: Any,
    type: ParamType,  # noqa: A002 - the word of the contract
    *,
    nullable: bool = False,
    options: Collection[Any] = (),
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
    from_json: bool = False,
) -> Any:
    """The value as the type has it: an int for a float becomes one, text for a path too. Raises ValueError.

    `from_json`: text in ISO form is accepted for dates and datetimes, which JSON has no other form for.
    """
    check_size(value)
    plain = decode(encode(value))
    if plain is None and (nullable or type is ParamType.ANY):
        return None
    fitting = _fit(plain, type, from_json=from_json)
    if options and not any(_same(fitting, _fit(option, type, from_json=True)) for option in options):
        raise ValueError(f"{_shown(fitting)} is none of the options: {', '.join(map(_shown, options))}")
    if isinstance(fitting, int | float):
        if min is not None and not fitting >= min:
            raise ValueError(f"{_shown(fitting)} is below the minimum of {min:g}")
        if max is not None and not fitting <= max:
            raise ValueError(f"{_shown(fitting)} is above the maximum of {max:g}")
    return fitting


def _fit(value: Any, kind: ParamType, *, from_json: bool) -> Any:
    """The value, or the nearest of the wanted type that means the same. Raises ValueError."""
    if kind is ParamType.ANY or _TYPES.get(type(value)) is kind:
        return value
    if kind is ParamType.FLOAT and type(value) is int:
        return _exact_float(value)
    if isinstance(value, str) and (kind is ParamType.PATH or (from_json and kind in _ISO)):
        return _READERS[kind](value)
    article = "None" if value is None else f"{_shown(value)}, of type {type(value).__name__},"
    raise ValueError(f"{article} is no {kind.value}")


_ISO = (ParamType.DATE, ParamType.DATETIME)


def _exact_float(value: int) -> float:
    try:
        if float(value) == value:
            return float(value)
    except OverflowError:
        pass
    raise ValueError(f"{_shown(value)} has no exact float")


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _shown(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else _quoted(str(value))[1:-1]


def resolve(
    declared: Mapping[str, Param], given: Mapping[str, Any], scope: Scope, *, from_json: bool = False
) -> dict[str, Any]:
    """The effective parameters of a run, in the order of declaration. All faults at once as UsageError.

    A default may be a template over `scope` and over other parameters; what was given never is one.
    """
    faults = [
        f"there is no parameter {name!r}; {did_you_mean(name, declared, what='parameters')}"
        for name in given
        if name not in declared
    ]
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    needs = {name: _needs(param, declared) for name, param in declared.items() if name not in given}
    for name in _ordered(declared, needs):
        if needs.get(name, set()) <= found.keys():  # else a parameter that it needs is at fault, which is said already
            try:
                found[name] = _settle(declared[name], given, {**scope, "params": found}, from_json=from_json)
            except ValueError as error:
                wrong[name] = f"parameter {name!r}: {error}"
    faults += [wrong[name] for name in declared if name in wrong]
    if len(faults) > _MAX_FAULTS + 1:
        faults[_MAX_FAULTS:] = [f"and {len(faults) - _MAX_FAULTS} more"]
    if faults:
        raise UsageError("\n".join(faults))
    return {name: found[name] for name in declared}


def _needs(param: Param, declared: Mapping[str, Param]) -> set[str]:
    """The other parameters that a default reads; none where it is no template, or a wrong one."""
    try:
        return {path[1] for path in references(param.default) if path[0] == "params" and path[1] in declared}
    except ExprError:
        return set()


def _ordered(declared: Mapping[str, Param], needs: Mapping[str, set[str]]) -> list[str]:
    try:
        return list(TopologicalSorter({name: needs.get(name, set()) for name in declared}).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise UsageError(
            f"defaults of parameters read each other: {cycle}", hint="give one of them a plain default"
        ) from None


def _settle(param: Param, given: Mapping[str, Any], scope: Scope, *, from_json: bool) -> Any:
    if param.name not in given and param.required:
        raise ValueError(f"a value is needed; give it with -p {param.name}=...")
    value = given[param.name] if param.name in given else render(param.default, scope)
    return check_value(
        value,
        param.type,
        nullable=not param.required and param.default is None,
        options=param.options,
        min=param.min,
        max=param.max,
        from_json=from_json and param.name in given,
    )


def task_params(
    names: Collection[str], run_params: Mapping[str, Any], own: Mapping[str, Any], scope: Scope
) -> dict[str, Any]:
    """What a task's notebook gets: the run's parameters that it declares (`names`), then the task's own, rendered.

    Raises ExprError, whose message begins with the parameter's name, for a template that has no value.
    """
    found = {name: value for name, value in run_params.items() if name in names}
    for name, value in own.items():
        try:
            found[name] = render(value, scope)
        except ExprError as error:
            raise ExprError(f"params.{name}: {error.message}", error.offset, error.hint) from error
    return found
