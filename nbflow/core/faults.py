"""A fault of a specification, before it has a place in a file; names and the nearest name to a wrong one.

Must not know files, lines or TOML.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from nbflow.core.spec import NAME_PATTERN

KeyPath = tuple[str, ...]
"""Keys from the top, indices of lists as text: ("pipelines", "a", "tasks", "b", "needs", "0")."""

MANY = 300
"""Among more names than these only some are compared with a wrong one: a comparison takes microseconds."""
MAX_LENGTH = 64
NOT_YET = "not supported yet: "
"""What a message begins with whose key is known and not supported in this version."""

_NAME = re.compile(NAME_PATTERN)
_DEVICE = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong at a key. `on_key`: the key itself is wrong, not its value. A warning refuses nothing."""

    key: KeyPath
    message: str
    hint: str | None = None
    warning: bool = False
    on_key: bool = False


def name_fault(name: str) -> str | None:
    """What is wrong with a name of a pipeline, task, pool or tag (interface.md section 2, rule 1); None if nothing."""
    if not _NAME.fullmatch(name):
        return "a name is a letter or _ and then at most 63 letters, digits, _ or -"
    if _DEVICE.fullmatch(name):
        return f'"{name}" names a device on Windows, where no file can have this name'
    return None


def nearest(name: str, names: Collection[str]) -> str | None:
    """The one of `names` that was probably meant: the same but for case and `-`, else one that is spelt alike."""
    from difflib import get_close_matches

    if len(names) > MANY:
        first = name[:1].casefold()
        names = [one for one in names if one[:1].casefold() == first and abs(len(one) - len(name)) < 3]
    plain = {one.casefold().replace("-", "_"): one for one in names}
    wanted = name.casefold().replace("-", "_")
    if wanted in plain:
        return plain[wanted]
    close = get_close_matches(wanted[:MAX_LENGTH], list(plain)[:MANY], n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def also_for(others: int) -> str:
    """What a message ends with that holds for other tasks too."""
    return f" (also for {others:,} other task{'s' if others > 1 else ''})" if others else ""


def did_you_mean(name: str, names: Collection[str], *, what: str) -> str:
    """A hint for a name that is not there: the nearest, else some of those that are."""
    if close := nearest(name, names):
        return f'did you mean "{close}"?'
    if not names:
        return f"there are no {what}"
    listed = sorted(names)[:8] if len(names) <= MANY else list(islice(names, 8))
    return f"{what}: {', '.join(listed)}" + (", ..." if len(names) > 8 else "")
