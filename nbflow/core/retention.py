"""Which runs may be taken out for good: those that a rule means, without those that are still needed. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from nbflow.core.rows import RunRow
from nbflow.core.status import RunStatus

ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.INTERRUPTED)
"""States of runs that a rule can mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A rule: it means the runs to which all applies that is given.

    `older_than`: seconds since they have ended. `keep`: they are none of the so many newest of their pipeline, among
    those of the same `states` where these are given. `runs`: these by their whole ids, whatever else; then nothing
    else may be given. With nothing given it means no run.
    """

    older_than: float | None = None
    keep: int | None = None
    states: tuple[str, ...] = ()
    pipeline: str | None = None
    runs: tuple[str, ...] = ()

    @property
    def means_none(self) -> bool:
        """Whether no run can be meant."""
        return self.older_than is None and self.keep is None and not self.states and not self.runs


def ended_at(row: RunRow) -> datetime:
    """When a run has ended; one that never began has done so when it was made."""
    text = row.document.get("ended")
    return row.created if text is None else datetime.fromisoformat(text)


def meant(rows: Sequence[RunRow], rule: Retention, states: Mapping[str, str], now: datetime) -> list[RunRow]:
    """The rows that a rule means, of rows that are sorted from the newest on. `states`: run -> its present state."""
    if rule.means_none:
        return []
    if rule.runs:
        return [row for row in rows if row.run in rule.runs]
    wanted = set(rule.states or ENDED)
    newer: Counter[str] = Counter()
    found = []
    for row in rows:
        if states[row.run] not in wanted or rule.pipeline not in (None, row.pipeline):
            continue
        newer[row.pipeline] += 1
        is_old = rule.older_than is None or (now - ended_at(row)).total_seconds() > rule.older_than
        if is_old and (rule.keep is None or newer[row.pipeline] > rule.keep):
            found.append(row)
    return found


def needed(gone: Iterable[str], references: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of runs that are to go those that are needed by one that stays: run -> the one that has taken its results over.

    `references` are pairs: a run, and one whose results it has. What is needed stays, and with it what it needs.
    """
    left = set(gone)
    origins: dict[str, list[str]] = defaultdict(list)
    for run, origin in references:
        origins[run].append(origin)
    found: dict[str, str] = {}
    stay = [run for run in origins if run not in left]
    while stay:
        run = stay.pop()
        for origin in origins.get(run, ()):
            if origin in left:
                left.remove(origin)
                found[origin] = run
                stay.append(origin)
    return found
