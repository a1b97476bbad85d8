"""How long a run will still take, judged by how long its tasks took before. Pure; a guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remaining:
    """A task that has not ended: the tasks it waits for, and the seconds that it has been running."""

    name: str
    waits_for: tuple[str, ...]
    elapsed: float = 0.0


def remaining(tasks: Iterable[Remaining], past: Mapping[str, float], at_once: int) -> float | None:
    """Seconds until the last of `tasks` has ended; None where one of them has never been timed.

    `tasks` come in topological order, `past` holds seconds by name; that of a declared task stands for copies which are
    new. A run takes at least its longest chain, and at
    least its work shared by `at_once` workers. A task that is over its time is taken to be about to end.
    """
    longest: dict[str, float] = {}
    work = 0.0
    for task in tasks:
        took = past.get(task.name, past.get(task.name.partition("[")[0]))
        if took is None:
            return None
        left = max(took - task.elapsed, 0.0)
        longest[task.name] = left + max((longest.get(up, 0.0) for up in task.waits_for), default=0.0)
        work += left
    return max(max(longest.values(), default=0.0), work / max(at_once, 1))
