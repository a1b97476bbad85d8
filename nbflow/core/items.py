"""Copies that `for_each` makes: a name and a slug for each item of a list. Pure; must not know tasks or plans.

The items come from notebooks, so a name is one short printable line and a slug is made by a white-list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nbflow.core.matrix import Copy, digest, exact_part, value_part
from nbflow.core.values import canonical, decode, encode

ITEM = "item"
"""What an item is called in `Copy.values`, in expressions, and in a notebook that declares a parameter of this name."""

_MAX_SHOWN = 40
_CONTAINERS = (list, tuple, dict, set, frozenset)


def name_items(task: str, items: Sequence[Any], known: Sequence[Copy] = ()) -> tuple[Copy, ...]:
    """A copy for each item, in their order: `score[a.csv]`, with the slug `score.a_csv` or the like for its files.

    An item is shown by its text where it is a short plain value, else by its place in the list; what could be taken
    for another one ends with a hash, and an item that stands in the list again with `#2`. `known` are copies that were
    made before (of an earlier list): the same item, at its same occurrence, is the same copy, and no other gets its
    name. `Copy.values` holds the item, encoded. Raises InexactValueError for an item that has no exact form.
    """
    names = {copy.name for copy in known}
    slugs = {copy.slug.casefold() for copy in known}
    earlier = dict(zip(_occurrences(decode(copy.values[ITEM]) for copy in known), known, strict=True))
    found = []
    for place, (item, identity) in enumerate(zip(items, _occurrences(items), strict=True)):
        if (copy := earlier.get(identity)) is None:
            label = next(one for one in _labels(item, place, identity[1]) if f"{task}[{one}]" not in names)
            name = f"{task}[{label}]"
            copy = Copy(name=name, slug=_slug(task, name, label, slugs), values={ITEM: encode(item, name=ITEM)})
            names.add(name)
            slugs.add(copy.slug.casefold())
        found.append(copy)
    return tuple(found)


def _occurrences(items: Iterable[Any]) -> Iterator[tuple[str, int]]:
    """What tells each item from all others: its exact form, and how often that has come up to here."""
    seen: Counter[str] = Counter()
    for item in items:
        form = canonical(item)
        seen[form] += 1
        yield form, seen[form]


def _labels(item: Any, place: int, occurrence: int) -> Iterator[str]:
    """What may stand in the brackets, the nicest first; without end, so that one of them is free."""
    label = _shown(item, place)
    if occurrence == 1:
        yield label
        yield f"{label}~{digest(item)}"
    number = max(occurrence, 2)
    while True:
        yield f"{label}#{number}"
        yield f"{label}~{digest(item)}#{number}"
        number += 1


def _shown(item: Any, place: int) -> str:
    """A short line for an item. Of a long text the beginning is shown; of a path, which is told by its end, the end."""
    if isinstance(item, _CONTAINERS):
        return str(place)
    whole = value_part(item)
    if len(whole) <= _MAX_SHOWN:
        part = whole
    elif "/" in whole:
        part = whole[-_MAX_SHOWN:]
        part = part.partition("/")[2] or part
    else:
        part = whole[:_MAX_SHOWN]
    shown = "".join(char if char.isprintable() else " " for char in part).strip()
    if not shown:
        return str(place)
    return shown if shown == whole else f"{shown}~{digest(item)}"


def _slug(task: str, name: str, label: str, taken: set[str]) -> str:
    """A file name that no other copy has, also on a file system that ignores case; names differ, so their hashes do."""
    plain = label if exact_part(label) else re.sub(r"[^A-Za-z0-9_-]+", "_", label[:_MAX_SHOWN]).strip("_") or "_"
    slug = f"{task}.{plain}"
    if plain == label and slug.casefold() not in taken:
        return slug
    while (hashed := f"{slug}-{digest(name)}").casefold() in taken:
        name += "'"
    return hashed
