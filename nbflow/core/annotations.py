"""What Python source says of a value without being run: the value of a literal, the type of an annotation.

Must not know notebooks or cells.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from nbflow.core.expr_eval import calculate
from nbflow.core.expr_syntax import MAX_INT_BITS
from nbflow.core.params import infer_type
from nbflow.core.spec import ParamType
from nbflow.core.values import decode, encode

Aliases = Mapping[str, str]
"""A local name -> the dotted name that was imported under it: {"dt": "datetime", "Path": "pathlib.Path"}."""


class NotLiteralError(ValueError):
    """The value of an expression is not known without running code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What an annotation says; type ANY where it says nothing that parameters know."""

    type: ParamType = ParamType.ANY
    nullable: bool = False
    options: tuple[Any, ...] = ()
    description: str | None = None


def imported(node: ast.AST) -> dict[str, str]:
    """The aliases that an import statement makes."""
    match node:
        case ast.Import(names):
            return {one.asname or one.name.partition(".")[0]: _imported_name(one) for one in names}
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return {one.asname or one.name: f"{module}.{one.name}" for one in names}
        case _:
            return {}


def _imported_name(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.partition(".")[0]


_BARE: Aliases = MappingProxyType(
    {"date": "datetime.date", "timedelta": "datetime.timedelta", "timezone": "datetime.timezone"}
    | {"Path": "pathlib.Path", "Decimal": "decimal.Decimal", "ZoneInfo": "zoneinfo.ZoneInfo"}
)
"""Names that can only mean one thing where their import is not to be seen."""


def dotted(node: ast.AST, aliases: Aliases) -> str | None:
    """The imported name that `a.b.c` stands for; None where it is no such name."""
    match node:
        case ast.Name(id=name):
            return aliases.get(name) or _BARE.get(name, name)
        case ast.Attribute(value=value, attr=attr):
            base = dotted(value, aliases)
            return None if base is None else f"{base}.{attr}"
        case _:
            return None


_MAKERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "datetime.date": date,
        "datetime.date.fromisoformat": date.fromisoformat,
        "datetime": datetime,
        "datetime.datetime": datetime,
        "datetime.datetime.fromisoformat": datetime.fromisoformat,
        "datetime.time": time,
        "datetime.timedelta": timedelta,
        "datetime.timezone": timezone,
        "zoneinfo.ZoneInfo": ZoneInfo,
        "decimal.Decimal": Decimal,
        "pathlib.Path": PurePosixPath,
        "pathlib.PosixPath": PurePosixPath,
        "pathlib.PurePath": PurePosixPath,
        "pathlib.PurePosixPath": PurePosixPath,
        "float": float,
        "list": list,
        "tuple": tuple,
        "set": set,
        "frozenset": frozenset,
        "dict": dict,
    }
)
_CONSTANTS: Mapping[str, Any] = MappingProxyType({"datetime.timezone.utc": UTC, "datetime.UTC": UTC})


def literal(node: ast.AST, aliases: Aliases) -> Any:
    """The value of an expression of constants, containers and constructors. Raises NotLiteralError for any other."""
    try:
        return decode(encode(_literal(node, aliases)))
    except (TypeError, ValueError, ArithmeticError, LookupError, OSError, RecursionError) as error:
        raise NotLiteralError(str(error)) from error


def _literal(node: ast.AST, aliases: Aliases) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
            number = _literal(operand, aliases)
            return -number if isinstance(sign, ast.USub) else +number
        case ast.BinOp(left, operator, right):
            return _calculated(_literal(left, aliases), operator, _literal(right, aliases))
        case ast.Attribute():
            return _CONSTANTS[dotted(node, aliases) or ""]
        case ast.Call(func, arguments, keywords):
            given = {word.arg or "**": _literal(word.value, aliases) for word in keywords}
            return _MAKERS[dotted(func, aliases) or ""](*(_literal(one, aliases) for one in arguments), **given)
        case _:
            return _container(node, aliases)


def _container(node: ast.AST, aliases: Aliases) -> Any:
    match node:
        case ast.List(items):
            return [_literal(item, aliases) for item in items]
        case ast.Tuple(items):
            return tuple(_literal(item, aliases) for item in items)
        case ast.Set(items):
            return {_literal(item, aliases) for item in items}
        case ast.Dict(keys, values):
            if None in keys:
                raise NotLiteralError("`**` in a dict")
            pairs = zip(keys, values, strict=True)
            return {_literal(key, aliases): _literal(value, aliases) for key, value in pairs if key is not None}
        case _:
            raise NotLiteralError(type(node).__name__)


_SYMBOLS: Mapping[type[ast.operator], str] = MappingProxyType(
    {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
)


def _calculated(left: Any, operator: ast.operator, right: Any) -> Any:
    """`60 * 60`, `10**6`, `Path("data") / "raw"`: what people write for a constant, and nothing that grows large."""
    if isinstance(left, PurePosixPath) and isinstance(operator, ast.Div) and isinstance(right, str | PurePosixPath):
        return left / right
    if isinstance(operator, ast.Pow):
        is_small = isinstance(left, int) and isinstance(right, int) and 0 <= right <= MAX_INT_BITS
        if not is_small or left.bit_length() * right > MAX_INT_BITS:
            raise NotLiteralError("a power that is not small")
        return left**right
    return calculate(_SYMBOLS[type(operator)], left, right)


_RESULTS: Mapping[str, ParamType] = MappingProxyType(
    {
        "datetime.date": ParamType.DATE,
        "datetime.date.today": ParamType.DATE,
        "datetime.date.fromisoformat": ParamType.DATE,
        "datetime": ParamType.DATETIME,
        "datetime.datetime": ParamType.DATETIME,
        "datetime.datetime.now": ParamType.DATETIME,
        "datetime.datetime.today": ParamType.DATETIME,
        "datetime.datetime.utcnow": ParamType.DATETIME,
        "datetime.datetime.fromisoformat": ParamType.DATETIME,
        "pathlib.Path": ParamType.PATH,
        "pathlib.Path.cwd": ParamType.PATH,
        "pathlib.Path.home": ParamType.PATH,
        "str": ParamType.STR,
        "int": ParamType.INT,
        "float": ParamType.FLOAT,
        "bool": ParamType.BOOL,
        "list": ParamType.LIST,
        "dict": ParamType.DICT,
    }
)


def result_type(node: ast.AST, aliases: Aliases) -> ParamType:
    """The type of a value that is not known: what a constructor makes, the kind of a container. Else ANY."""
    match node:
        case ast.Call(func=func):
            return _RESULTS.get(dotted(func, aliases) or "", ParamType.ANY)
        case ast.List() | ast.ListComp():
            return ParamType.LIST
        case ast.Dict() | ast.DictComp():
            return ParamType.DICT
        case ast.JoinedStr():
            return ParamType.STR
        case _:
            return ParamType.ANY


_NAMED: Mapping[str, ParamType] = MappingProxyType(
    {
        "str": ParamType.STR,
        "int": ParamType.INT,
        "float": ParamType.FLOAT,
        "bool": ParamType.BOOL,
        "list": ParamType.LIST,
        "List": ParamType.LIST,
        "dict": ParamType.DICT,
        "Dict": ParamType.DICT,
        "datetime.date": ParamType.DATE,
        "datetime.datetime": ParamType.DATETIME,
        "datetime": ParamType.DATETIME,
        "pathlib.Path": ParamType.PATH,
        "pathlib.PosixPath": ParamType.PATH,
        "pathlib.PurePath": ParamType.PATH,
        "pathlib.PurePosixPath": ParamType.PATH,
    }
)


def annotation(node: ast.AST, aliases: Aliases) -> Hint:
    """What an annotation says; `Literal` gives options, `Annotated` the first text in it as description."""
    match node:
        case ast.Constant(value=None):
            return Hint(nullable=True)
        case ast.Constant(value=str(text)):
            return _quoted(text, aliases)
        case ast.Name() | ast.Attribute():
            return Hint(type=_NAMED.get(_typing_name(node, aliases), ParamType.ANY))
        case ast.BinOp(left, ast.BitOr(), right):
            return _union([annotation(left, aliases), annotation(right, aliases)])
        case ast.Subscript(head, inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _subscript(_typing_name(head, aliases), parts, aliases)
        case _:
            return Hint()


def _typing_name(node: ast.AST, aliases: Aliases) -> str:
    name = dotted(node, aliases) or ""
    return name.removeprefix("typing.").removeprefix("typing_extensions.")


def _quoted(text: str, aliases: Aliases) -> Hint:
    try:
        return annotation(ast.parse(text.strip(), mode="eval").body, aliases)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return Hint()


def _subscript(head: str, parts: Sequence[ast.expr], aliases: Aliases) -> Hint:
    match head, parts:
        case "Optional", [inner]:
            return replace(annotation(inner, aliases), nullable=True)
        case "Union", _:
            return _union([annotation(part, aliases) for part in parts])
        case "Final" | "ClassVar", [inner]:
            return annotation(inner, aliases)
        case "Annotated", [inner, *notes]:
            texts = [note.value for note in notes if isinstance(note, ast.Constant) and isinstance(note.value, str)]
            hint = annotation(inner, aliases)
            return replace(hint, description=texts[0].strip()) if texts else hint
        case "Literal", _:
            return _choices(parts, aliases)
        case _:
            return Hint(type=_NAMED.get(head, ParamType.ANY))


def _choices(parts: Sequence[ast.expr], aliases: Aliases) -> Hint:
    try:
        values = [literal(part, aliases) for part in parts]
    except NotLiteralError:
        return Hint()
    options = tuple(value for value in values if value is not None)
    types = {infer_type(value) for value in options}
    one = types.pop() if len(types) == 1 else ParamType.ANY
    return Hint(type=one, nullable=None in values, options=options)


def _union(hints: Sequence[Hint]) -> Hint:
    """One type for several: that of those which are not None, float for int and float, else any."""
    nullable = any(hint.nullable for hint in hints)
    said = [hint for hint in hints if hint != Hint(nullable=True)]
    types = {hint.type for hint in said}
    if types == {ParamType.INT, ParamType.FLOAT}:
        types = {ParamType.FLOAT}
    if len(types) != 1:
        return Hint(nullable=nullable)
    options = tuple(option for hint in said for option in hint.options) if all(h.options for h in said) else ()
    described = next((hint.description for hint in said if hint.description), None)
    return Hint(type=types.pop(), nullable=nullable, options=options, description=described)
