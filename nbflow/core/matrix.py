"""Copies of a task: the product of a matrix's axes, and a name and a slug for each copy.

The values may come from outside (`for_each` items), so a slug is made by a white-list and can be no path.
Must not know tasks or plans.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.core.faults import did_you_mean
from nbflow.core.spec import EMPTY, Matrix
from nbflow.core.values import canonical
from nbflow.core.values import text as value_text

MAX_COPIES = 1_000
MAX_PRODUCT = 100_000
"""Combinations before `exclude`: each of them is looked at."""

_MAX_PART = 40
_MAX_SLUG = 120
"""Characters: a file name has 255 bytes, and a slug gets endings such as `.cell-12.stdout.txt.gz`."""
_EXACT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy of a task: `train[ridge,eu]`, `train.ridge-eu` for its files, and its `matrix` values."""

    name: str
    slug: str
    values: Mapping[str, Any]


def expand_matrix(name: str, matrix: Matrix | None) -> tuple[Copy, ...]:
    """The copies of a task in the order of the axes; without a matrix the task itself.

    Raises ValueError for no copy at all, more than 1,000, two of one name, or axes that do not exist.
    """
    if matrix is None:
        return name_copies(name, [EMPTY])
    _check_axes(matrix)
    rows = list(itertools.islice(_rows(matrix), MAX_COPIES + 1))
    if len(rows) > MAX_COPIES:
        raise ValueError(f"the matrix makes more than {MAX_COPIES:,} copies")
    if not rows:
        raise ValueError("the matrix makes no copy: `exclude` leaves none")
    return name_copies(name, rows)


def _check_axes(matrix: Matrix) -> None:
    if not matrix.axes and not matrix.include:
        raise ValueError("the matrix has no axes")
    for axis, values in matrix.axes.items():
        if not values:
            raise ValueError(f"axis {axis!r} of the matrix has no values")
    if (product := math.prod(len(values) for values in matrix.axes.values())) > MAX_PRODUCT:
        raise ValueError(f"the matrix makes {product:,} copies, more than {MAX_COPIES:,}")
    for row in matrix.exclude:
        if unknown := [axis for axis in row if axis not in matrix.axes]:
            hint = did_you_mean(unknown[0], matrix.axes, what="axes")
            raise ValueError(f"exclude names {unknown[0]!r}, which is no axis of the matrix; {hint}")
    wanted = set(matrix.axes or matrix.include[0])
    for row in matrix.include:
        if wrong := sorted(wanted ^ set(row)):
            what = "lacks" if wrong[0] in wanted else "adds"
            raise ValueError(f"an entry of include {what} {wrong[0]!r}; each has a value for every axis")


def _rows(matrix: Matrix) -> Iterator[Mapping[str, Any]]:
    if matrix.axes:
        for combination in itertools.product(*matrix.axes.values()):
            row = dict(zip(matrix.axes, combination, strict=True))
            if not any(_matches(row, pattern) for pattern in matrix.exclude):
                yield row
    for included in matrix.include:
        yield {axis: included[axis] for axis in matrix.axes or matrix.include[0]}


def _matches(row: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    """Whether a row has all values of a pattern; True is not 1 here."""
    return all(
        row[axis] == value and isinstance(row[axis], bool) is isinstance(value, bool) for axis, value in pattern.items()
    )


def name_copies(task: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Copy, ...]:
    """Copies for rows of values, in their order. Raises ValueError where two have one name."""
    names, slugs = [_name(task, row) for row in rows], _slugs(task, rows)
    for what, texts in (("name", names), ("file name", [slug.casefold() for slug in slugs])):
        doubled = [one for one, count in Counter(texts).items() if count > 1]
        if doubled:
            raise ValueError(f"two copies of {task} have the {what} {doubled[0]}")
    return tuple(Copy(name=name, slug=slug, values=row) for name, slug, row in zip(names, slugs, rows, strict=True))


def _name(task: str, row: Mapping[str, Any]) -> str:
    return f"{task}[{','.join(_shown(value) for value in row.values())}]" if row else task


def _shown(value: Any) -> str:
    """A value inside a name: one short line; one that is not all there is told apart by a hash."""
    whole = value_part(value)
    shown = "".join(char if char.isprintable() else " " for char in whole[:_MAX_PART]).strip()
    return whole if shown == whole else f"{shown}~{digest(value)}"


def value_part(value: Any) -> str:
    """The text of a value, of a bool as the file has it: `true`."""
    return str(value).lower() if isinstance(value, bool) else value_text(value)


def _slugs(task: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A file name for each row. One that is not the values' own text, or that could be taken for another (also on
    a file system that ignores case), ends with a hash of the values."""
    plain = [_plain_slug(task, row) for row in rows]
    hashed = [f"{slug[:_MAX_SLUG]}-{digest(dict(row))}" for slug, row in zip(plain, rows, strict=True)]
    exact = [
        len(slug) <= _MAX_SLUG and all(map(exact_part, map(value_part, row.values())))
        for slug, row in zip(plain, rows, strict=True)
    ]
    taken = Counter(slug.casefold() for slug in plain) + Counter(slug.casefold() for slug in hashed)
    return [
        slug if is_exact and taken[slug.casefold()] == 1 else long
        for slug, long, is_exact in zip(plain, hashed, exact, strict=True)
    ]


def _plain_slug(task: str, row: Mapping[str, Any]) -> str:
    parts = [
        one if exact_part(one) else re.sub(r"[^A-Za-z0-9_-]+", "_", one[:_MAX_PART]).strip("_") or "_"
        for one in map(value_part, row.values())
    ]
    return f"{task}.{'-'.join(parts)}" if parts else task


def exact_part(part: str) -> bool:
    """Whether a text can stand in a file name as it is."""
    return len(part) <= _MAX_PART and _EXACT.fullmatch(part) is not None


def digest(value: Any) -> str:
    """A short hash of a value's exact form."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:10]
