"""The value of an expression's terms in a scope. Bounded: no result is computed that could be too large.

Must not know text or syntax.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, assert_never

from nbflow.core.expr_syntax import (
    MAX_INT_BITS,
    Binary,
    Choice,
    Compare,
    Const,
    DaysAgo,
    ExprError,
    Index,
    Items,
    Logic,
    Ref,
    Scope,
    Term,
    Unary,
)
from nbflow.core.faults import did_you_mean

MAX_SIZE = 200_000
"""Characters and items, nested ones included, that a list or a text may have which an expression makes."""

_NUMBER = (int, float, Decimal)
_FIELDS: Mapping[type, tuple[str, ...]] = MappingProxyType(
    {
        date: ("year", "month", "day"),
        datetime: ("year", "month", "day", "hour", "minute", "second"),
        timedelta: ("days",),
    }
)


def evaluate(term: Term, scope: Scope) -> Any:
    """The value of a term. Raises ExprError, with the offset of the part that has none."""
    match term:
        case Const(_, value):
            return value
        case Ref():
            return _look_up(term, scope)
        case DaysAgo() | Unary() | Binary():
            return _operation(term, scope)
        case Items(at, items, is_list):
            made = [evaluate(item, scope) for item in items]
            _check_size(made, at)
            return made if is_list else tuple(made)
        case Index(at, base, key, by_dot):
            return (_field if by_dot else _item)(evaluate(base, scope), evaluate(key, scope), at)
        case Compare() | Logic() | Choice():
            return _decision(term, scope)
        case other:
            assert_never(other)


def _operation(term: DaysAgo | Unary | Binary, scope: Scope) -> Any:
    match term:
        case DaysAgo():
            return _days_ago(term, scope)
        case Unary(at, symbol, operand):
            return _unary(symbol, evaluate(operand, scope), at)
        case Binary(at, symbol, left, right):
            return calculate(symbol, evaluate(left, scope), evaluate(right, scope), at)


def _decision(term: Compare | Logic | Choice, scope: Scope) -> Any:
    match term:
        case Compare():
            return _compare(term, scope)
        case Logic():
            return _logic(term, scope)
        case Choice(_, test, then, otherwise):
            return evaluate(then if evaluate(test, scope) else otherwise, scope)


def _look_up(term: Ref, scope: Scope) -> Any:
    root, names = term.path[0], term.path[1:]
    if root == "item":
        if "item" not in scope:
            raise ExprError("item has a value only in `params` and `when` of a task with for_each", term.at)
        return scope["item"]
    found: Any = scope.get(root, {})
    for depth, name in enumerate(names):
        if not isinstance(found, Mapping) or name not in found:
            known = [key for key in found if isinstance(key, str)] if isinstance(found, Mapping) else []
            raise ExprError(_missing(term.path, depth), term.at, did_you_mean(name, known, what="names"))
        found = found[name]
    return found


def _missing(path: tuple[str, ...], depth: int) -> str:
    match path:
        case ("tasks", task, _, output):
            return f"task {task!r} gave no output {output!r}" if depth == 2 else f"task {task!r} is not known here"
        case ("env", name):
            return f"the environment variable {name} is not set"
        case ("params", name):
            return f"there is no parameter {name!r}"
        case _:
            return f"{'.'.join(path)} is not known here"


def _days_ago(term: DaysAgo, scope: Scope) -> date:
    days = evaluate(term.days, scope)
    if not isinstance(days, int) or isinstance(days, bool):
        raise ExprError(f"days_ago() takes a whole number, not {_kind(days)}", term.at)
    today: date = _look_up(Ref(term.at, ("run", "date")), scope)
    try:
        return today - timedelta(days=days)
    except OverflowError:
        raise ExprError("days_ago() leaves the calendar, which has the years 1 to 9999", term.at) from None


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _field(base: Any, name: str, at: int) -> Any:
    if isinstance(base, Mapping):
        return _item(base, name, at)
    known = _FIELDS.get(type(base), ())
    if name not in known:
        hint = did_you_mean(name, known, what="fields") if known else None
        raise ExprError(f"a value of type {_kind(base)} has no field {name!r}", at, hint)
    return getattr(base, name)


def _item(base: Any, index: Any, at: int) -> Any:
    if not isinstance(base, Mapping | list | tuple | str):
        raise ExprError(f"a value of type {_kind(base)} has no items", at)
    try:
        return base[index]
    except KeyError:
        known = [key for key in base if isinstance(key, str)]
        raise ExprError(f"there is no key {index!r}", at, did_you_mean(str(index), known, what="keys")) from None
    except IndexError:
        raise ExprError(f"index {index} is out of range: there are {len(base)} items", at) from None
    except TypeError:
        raise ExprError(f"a value of type {_kind(base)} has no item {_kind(index)}", at) from None


def _unary(symbol: str, value: Any, at: int) -> Any:
    if symbol == "not":
        return not value
    if not isinstance(value, _NUMBER):
        raise ExprError(f"`{symbol}` needs a number, not {_kind(value)}", at)
    return -value if symbol == "-" else +value


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "is": operator.is_,
        "is not": operator.is_not,
        "in": lambda left, right: left in right,
        "not in": lambda left, right: left not in right,
    }
)


def _compare(term: Compare, scope: Scope) -> bool:
    left = evaluate(term.first, scope)
    for symbol, operand in term.rest:
        right = evaluate(operand, scope)
        try:
            holds = bool(_COMPARE[symbol](left, right))
        except (TypeError, ArithmeticError, RecursionError):
            raise ExprError(f"`{symbol}` does not compare {_kind(left)} and {_kind(right)}", term.at) from None
        if not holds:
            return False
        left = right
    return True


def _logic(term: Logic, scope: Scope) -> Any:
    value: Any = None
    for operand in term.operands:
        value = evaluate(operand, scope)
        if bool(value) is not term.is_and:
            break
    return value


_CALCULATE: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
        "%": operator.mod,
    }
)


def calculate(symbol: str, left: Any, right: Any, at: int = 0) -> Any:
    """`left symbol right` for numbers, text, lists and dates. Raises ExprError before a large result is made."""
    if not _fits(symbol, left, right):
        hint = _advice(type(left), type(right))
        raise ExprError(f"`{symbol}` does not take {_kind(left)} and {_kind(right)}", at, hint)
    if symbol == "*":
        _check_product(left, right, at)
    try:
        result = _CALCULATE[symbol](left, right)
    except ZeroDivisionError:
        raise ExprError("division by zero", at) from None
    except (TypeError, ArithmeticError) as error:
        raise ExprError(f"`{symbol}` has no result: {error}", at) from None
    _check_size(result, at)
    return result


def _advice(*kinds: type) -> str | None:
    if str in kinds:
        return "write text around {{ }} to join text and values"
    return "days_ago(n) is a date n days before run.date" if date in kinds or datetime in kinds else None


def _fits(symbol: str, left: Any, right: Any) -> bool:
    """Whether an operator is one of numbers, or one of the few others that the language has."""
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        return True
    match symbol:
        case "+":
            joined = type(left) is type(right) and isinstance(left, str | list | tuple)
            return joined or (isinstance(left, date | timedelta) and isinstance(right, timedelta))
        case "-":
            return isinstance(left, date | timedelta) and isinstance(right, date | timedelta)
        case "*":
            return any(
                isinstance(a, str | list | tuple) and isinstance(b, int) for a, b in ((left, right), (right, left))
            )
        case _:
            return False


def _check_product(left: Any, right: Any, at: int) -> None:
    """Refuse a product by the size of its operands: the product itself may not fit in memory."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and _size(one) * max(other, 0) > MAX_SIZE:
            raise ExprError(f"the result would have more than {MAX_SIZE:,} characters or items", at)
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MAX_INT_BITS:
        raise ExprError(f"the result would have more than {MAX_INT_BITS} bits", at)


def _check_size(value: Any, at: int) -> None:
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        raise ExprError(f"the result would have more than {MAX_INT_BITS} bits", at)
    if isinstance(value, str | list | tuple) and _size(value) > MAX_SIZE:
        raise ExprError(f"the result would have more than {MAX_SIZE:,} characters or items", at)


def _size(value: Any) -> int:
    """Characters and items, nested ones too; counting stops above the limit, since parts may be shared without end."""
    total, pending = 0, [iter((value,))]
    while pending and total <= MAX_SIZE:
        item = next(pending[-1], pending)
        if item is pending:
            pending.pop()
            continue
        total += 1
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, Mapping | list | tuple | set | frozenset):
            pending.append(iter(_parts(item)))
    return total


def _parts(container: Any) -> Iterable[Any]:
    return (part for pair in container.items() for part in pair) if isinstance(container, Mapping) else container
