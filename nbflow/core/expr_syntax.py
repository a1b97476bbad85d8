"""The syntax of expressions: Python's expression grammar, of which a white-list becomes terms of our own.

What is not lowered to a term cannot be evaluated: there is no term for calls, attributes of objects or `**`.
Must not evaluate anything.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, assert_never

from nbflow.core.faults import did_you_mean, nearest

MAX_LENGTH = 2_000
MAX_DEPTH = 50
MAX_INT_BITS = 256

Reference: TypeAlias = tuple[str, ...]
"""A name outside: ("params", "limit"), ("tasks", "clean", "outputs", "rows"), ("run", "date"), ("env", "HOME")..."""

RUN_FIELDS = ("id", "date", "logical_date", "partition")


class ExprError(ValueError):
    """An expression is wrong, or has no value. `offset` counts characters of the whole text from 0."""

    def __init__(self, message: str, offset: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


class Const(NamedTuple):
    """A constant of the text."""

    at: int
    value: bool | int | float | str | None


class Ref(NamedTuple):
    """The value of a name outside."""

    at: int
    path: Reference


class DaysAgo(NamedTuple):
    """`days_ago(n)`: a date n days before that of the run."""

    at: int
    days: Term


class Items(NamedTuple):
    """A list, or a tuple."""

    at: int
    items: tuple[Term, ...]
    is_list: bool


class Index(NamedTuple):
    """`base[key]`, or `base.key` where `by_dot`: then the key may also be a field of a date."""

    at: int
    base: Term
    key: Term
    by_dot: bool = False


class Unary(NamedTuple):
    """`-x`, `+x`, `not x`."""

    at: int
    operator: str
    operand: Term


class Binary(NamedTuple):
    """A calculation of two values."""

    at: int
    operator: str
    left: Term
    right: Term


class Compare(NamedTuple):
    """A chain: `first` and then pairs of operator and operand."""

    at: int
    first: Term
    rest: tuple[tuple[str, Term], ...]


class Logic(NamedTuple):
    """`and` or `or`; the value is that of the operand that decides, as in Python."""

    at: int
    is_and: bool
    operands: tuple[Term, ...]


class Choice(NamedTuple):
    """`then if test else otherwise`."""

    at: int
    test: Term
    then: Term
    otherwise: Term


Term: TypeAlias = Const | Ref | DaysAgo | Items | Index | Unary | Binary | Compare | Logic | Choice


def operands(term: Term) -> tuple[Term, ...]:
    """The direct operands of a term."""
    match term:
        case Const() | Ref():
            found: tuple[Term, ...] = ()
        case DaysAgo(_, operand) | Unary(_, _, operand):
            found = (operand,)
        case Items(_, parts) | Logic(_, _, parts):
            found = parts
        case Index(_, left, right) | Binary(_, _, left, right):
            found = (left, right)
        case Choice():
            found = (term.test, term.then, term.otherwise)
        case Compare():
            found = (term.first, *(operand for _, operand in term.rest))
        case other:
            assert_never(other)
    return found


def parse(text: str, shift: int = 0) -> Term:
    """Lower a text to terms. Offsets in terms and errors are those in the text plus `shift`. Raises ExprError."""
    if len(text) > MAX_LENGTH:
        raise ExprError(f"an expression may have {MAX_LENGTH:,} characters, this one has {len(text):,}", shift)
    start = len(text) - len(text.lstrip())
    line = re.sub(r"[\r\n\t\f]", " ", text.strip())
    if not line:
        raise ExprError("the expression is empty", shift)
    body = _parse_line(line, shift + start)
    # Only brackets, blanks and a comment can follow an expression; a comment would swallow what stood on later lines.
    tail = line.encode()[body.end_col_offset :].decode(errors="replace")
    if "#" in tail:
        raise ExprError("comments are not possible in an expression", shift + start + line.rindex("#"))
    return _Lowering(line, shift + start).lower(body, 0)


def _parse_line(line: str, shift: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own warnings of style, such as an odd escape in a string
            return ast.parse(line, mode="eval").body
    except SyntaxError as error:
        offset = min(max((error.offset or 1) - 1, 0), len(line))
        raise ExprError(f"not an expression: {error.msg}", shift + offset, _syntax_hint(line)) from None
    except (ValueError, MemoryError, RecursionError, OverflowError):
        raise ExprError("not an expression: it is nested too deeply or holds a NUL character", shift) from None


def _syntax_hint(line: str) -> str | None:
    for pattern, hint in (
        (r"&&", "write `and`"),
        (r"\|\|", "write `or`"),
        (r"!(?!=)", "write `not`"),
        (r"\?", "write `a if test else b`"),
        (r"(?<![=!<>])=(?!=)", "write `==` to compare"),
        (r"\.\w+-\w", 'a name with a dash is written tasks["clean-up"]'),
    ):
        if re.search(pattern, line):
            return hint
    return None


_BINARY: Mapping[type[ast.operator], str] = MappingProxyType(
    {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
)
_UNARY: Mapping[type[ast.unaryop], str] = MappingProxyType({ast.USub: "-", ast.UAdd: "+", ast.Not: "not"})
_COMPARE: Mapping[type[ast.cmpop], str] = MappingProxyType(
    {
        ast.Eq: "==",
        ast.NotEq: "!=",
        ast.Lt: "<",
        ast.LtE: "<=",
        ast.Gt: ">",
        ast.GtE: ">=",
        ast.In: "in",
        ast.NotIn: "not in",
        ast.Is: "is",
        ast.IsNot: "is not",
    }
)
_ROOTS: Mapping[str, str] = MappingProxyType(
    {
        "params": "params.NAME",
        "run": "run.date",
        "matrix": "matrix.NAME",
        "tasks": "tasks.NAME.outputs.NAME",
        "item": "item",
        "env": 'env("NAME")',
        "days_ago": "days_ago(1)",
    }
)
_LINKS: Mapping[str, int] = MappingProxyType({"params": 1, "run": 1, "matrix": 1, "tasks": 3, "item": 0})
"""How many names after the root belong to the reference."""
_OTHER_WORDS: Mapping[str, str] = MappingProxyType(
    {"true": "True", "false": "False", "null": "None", "none": "None", "nil": "None", "TRUE": "True"}
)
_IN_A_NOTEBOOK = "compute it in a notebook"
_REFUSED: Mapping[type[ast.AST], tuple[str, str]] = MappingProxyType(
    {
        ast.Lambda: ("lambda", _IN_A_NOTEBOOK),
        ast.ListComp: ("a comprehension", _IN_A_NOTEBOOK),
        ast.SetComp: ("a comprehension", _IN_A_NOTEBOOK),
        ast.DictComp: ("a comprehension", _IN_A_NOTEBOOK),
        ast.GeneratorExp: ("a comprehension", _IN_A_NOTEBOOK),
        ast.JoinedStr: ("an f-string", "write text around {{ }}"),
        ast.NamedExpr: ("`:=`", "write `==` to compare"),
        ast.Starred: ("`*` before a value", "join lists with +"),
        ast.Set: ("{ }", "write a list, [ ], and no {{ }} inside an expression"),
        ast.Dict: ("{ }", "give the dict as a parameter"),
        ast.Slice: ("a slice", _IN_A_NOTEBOOK),
        ast.Pow: ("`**`", _IN_A_NOTEBOOK),
        ast.BinOp: ("an operator on bits or matrices", "write `and`, `or`, `not`"),
        ast.UnaryOp: ("an operator on bits", "write `not`"),
    }
)

_Link: TypeAlias = ast.Attribute | ast.Subscript


class _Lowering:
    """Python's syntax tree -> terms; counts depth, and turns UTF-8 offsets into offsets of characters."""

    def __init__(self, line: str, shift: int) -> None:
        self._line = line.encode()
        self._shift = shift

    def lower(self, node: ast.expr, depth: int) -> Term:
        if depth > MAX_DEPTH:
            raise self._error(node, f"the expression is nested more than {MAX_DEPTH} levels deep")
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._chain(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.List(elts) | ast.Tuple(elts):
                return Items(self._at(node), self._lower_all(elts, depth), isinstance(node, ast.List))
            case _:
                return self._operator(node, depth)

    def _lower_all(self, nodes: Iterable[ast.expr], depth: int) -> tuple[Term, ...]:
        return tuple(self.lower(node, depth + 1) for node in nodes)

    def _operator(self, node: ast.expr, depth: int) -> Term:
        at = self._at(node)
        match node:
            case ast.BoolOp(operator, operands):
                return Logic(at, isinstance(operator, ast.And), self._lower_all(operands, depth))
            case ast.UnaryOp(operator, operand) if type(operator) in _UNARY:
                return Unary(at, _UNARY[type(operator)], self.lower(operand, depth + 1))
            case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
                return Binary(at, _BINARY[type(operator)], *self._lower_all((left, right), depth))
            case ast.Compare():
                return self._compare(node, depth)
            case ast.IfExp(test, then, otherwise):
                return Choice(at, *self._lower_all((test, then, otherwise), depth))
            case _:
                raise self._refused(node)

    def _at(self, node: ast.expr) -> int:
        return self._shift + len(self._line[: node.col_offset].decode(errors="replace"))

    def _error(self, node: ast.expr, message: str, hint: str | None = None) -> ExprError:
        return ExprError(message, self._at(node), hint)

    def _refused(self, node: ast.expr) -> ExprError:
        kind = type(node.op) if isinstance(node, ast.BinOp) and type(node.op) in _REFUSED else type(node)
        what, hint = _REFUSED.get(kind, (kind.__name__, None))
        return self._error(node, f"{what} is not possible in an expression", hint)

    def _constant(self, node: ast.Constant) -> Term:
        value = node.value
        if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
            raise self._error(node, f"a number may have {MAX_INT_BITS} bits, this one has {value.bit_length():,}")
        if not isinstance(value, int | float | str | None):
            raise self._error(node, f"a value of type {type(value).__name__} is not possible in an expression")
        return Const(self._at(node), value)

    def _compare(self, node: ast.Compare, depth: int) -> Term:
        names = [_COMPARE[type(operator)] for operator in node.ops]
        for name, right in zip(names, node.comparators, strict=True):
            if name in {"is", "is not"} and not (isinstance(right, ast.Constant) and right.value is None):
                raise self._error(node, f"`{name}` is for None only", "write `==` or `!=`")
        first, *rest = self._lower_all((node.left, *node.comparators), depth)
        return Compare(self._at(node), first, tuple(zip(names, rest, strict=True)))

    def _call(self, node: ast.Call, depth: int) -> Term:
        match node:
            case ast.Call(func=ast.Name(id="env"), args=[ast.Constant(value=str(name))], keywords=[]):
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                    raise self._error(node, f"{name!r} is no name of an environment variable")
                return Ref(self._at(node), ("env", name))
            case ast.Call(func=ast.Name(id="days_ago"), args=[argument], keywords=[]):
                return DaysAgo(self._at(node), self.lower(argument, depth + 1))
            case ast.Call(func=ast.Name(id="env" | "days_ago" as function)):
                kind = "one name in quotes" if function == "env" else "one number"
                raise self._error(node, f"{function}() takes {kind}", f"write {_ROOTS[function]}")
            case _:
                raise self._error(node, "only env() and days_ago() can be called", _IN_A_NOTEBOOK)

    def _chain(self, node: ast.expr, depth: int) -> Term:
        """`root.a["b"].c`: the first links belong to a reference, the others look into its value."""
        links: list[_Link] = []
        while isinstance(node, _Link):
            links.append(node)
            node = node.value
        links.reverse()
        if depth + len(links) > MAX_DEPTH:
            raise self._error(node, f"the expression is nested more than {MAX_DEPTH} levels deep")
        lowered: Term
        if isinstance(node, ast.Name):
            lowered = root = self._root(node, links)
            links = links[len(root.path) - 1 :]
        else:
            lowered = self.lower(node, depth + len(links) + 1)
        for link in links:
            lowered = Index(self._at(link), lowered, self._key(link, depth), isinstance(link, ast.Attribute))
        return lowered

    def _root(self, base: ast.Name, links: list[_Link]) -> Ref:
        root = base.id
        if root not in _ROOTS:
            near = _OTHER_WORDS.get(root) or nearest(root, _ROOTS)
            known = f"known are {', '.join(_ROOTS.values())}; text stands in quotes"
            raise self._error(base, f"unknown name {root!r}", f"did you mean {near}?" if near else known)
        if root == "tasks" and len(links) > 1 and (other := self._name(links[1])) != "outputs":
            raise self._error(base, f"tasks.{self._name(links[0])} has no {other!r}", f"write {_ROOTS['tasks']}")
        if len(links) < _LINKS.get(root, MAX_DEPTH):
            dash = '; a name with a dash as in tasks["clean-up"]' if b"-" in self._line else ""
            raise self._error(base, f"{root} is incomplete", f"write {_ROOTS[root]}{dash}")
        names = [self._name(link) for link in links[: _LINKS[root]]]
        if root == "run" and names[0] not in RUN_FIELDS:
            hint = did_you_mean(names[0], RUN_FIELDS, what="fields")
            raise self._error(base, f"run has no {names[0]!r}", hint)
        return Ref(self._at(base), (root, *names))

    def _name(self, link: _Link) -> str:
        match link:
            case ast.Attribute():
                return self._public(link)
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                return name
            case _:
                raise self._error(
                    link, "a name in [ ] stands in quotes here", 'write tasks["clean-up"].outputs["rows"]'
                )

    def _key(self, link: _Link, depth: int) -> Term:
        match link:
            case ast.Attribute():
                return Const(self._at(link), self._public(link))
            case ast.Subscript(slice=ast.Slice()):
                raise self._refused(link.slice)
            case _:
                return self.lower(link.slice, depth + 1)

    def _public(self, link: ast.Attribute) -> str:
        if link.attr.startswith("_"):
            raise self._error(link, f"{link.attr!r} is refused: a name after a dot has no leading underscore")
        return link.attr


Scope: TypeAlias = Mapping[str, Any]
"""What references find: {"params": {...}, "run": {...}, "tasks": {"clean": {"outputs": {...}}}, "matrix": {...},
"item": ..., "env": {...}}; a root that does not apply is left out."""
