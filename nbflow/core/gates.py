"""What tasks share that wait for the same others: how far those have come. It opens once they have decided.

Counted once for all of them, a hundred tasks behind a hundred others, or lists of thousands that follow one another,
cost what there are of them, not what there is between them. Must not know tasks, only names, rules and states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from nbflow.core.plan import PlannedTask
from nbflow.core.spec import RunIf
from nbflow.core.status import TaskState
from nbflow.core.trigger import EARLY, Tally, judge


@dataclass(slots=True, kw_only=True)
class Gate:
    """The gate before some tasks (`behind`), which all wait for the tasks of `waits_for`.

    Of these, `waiting` have not ended, `tally` counts the states of those that have. `early` are the tasks that may be
    let through before all have ended, by their rule, as long as they have not been.
    """

    waits_for: tuple[str, ...]
    behind: dict[str, None] = field(default_factory=dict)
    waiting: int = 0
    tally: Counter[TaskState] = field(default_factory=Counter)
    early: dict[RunIf, list[str]] = field(default_factory=dict)

    def count(self, states: Iterable[TaskState], early: Iterable[PlannedTask]) -> None:
        """Count anew: the states of all that is waited for, and the tasks behind that have not been let through."""
        found = Counter(states)
        self.tally = Counter({state: number for state, number in found.items() if state.ended})
        self.waiting = found.total() - self.tally.total()
        self.early = {}
        for planned in early:
            if is_early(planned):
                self.early.setdefault(planned.run_if, []).append(planned.name)

    def ended(self, state: TaskState) -> Sequence[str]:
        """Note how one of them has ended, and give the tasks behind that this may have decided, each once."""
        self.waiting -= 1
        self.tally[state] += 1
        if self.waiting == 0:
            return list(self.behind)
        decided = [rule for rule in self.early if self._verdict(rule) is not None]
        return [name for rule in decided for name in self.early.pop(rule)]

    def verdict(self, planned: PlannedTask) -> TaskState | None:
        """What becomes of a task behind it, as `trigger.judge` says; None while it is open."""
        return self._verdict(planned.run_if) if self.waiting == 0 or is_early(planned) else None

    def _verdict(self, rule: RunIf) -> TaskState | None:
        return judge(rule, Tally.of(self.tally, self.waiting))


@dataclass(slots=True, kw_only=True)
class Gates:
    """All gates of a run: that `before` each task, and those `after` it, which wait for it; copies share the latter."""

    all: list[Gate] = field(default_factory=list)
    before: dict[str, Gate] = field(default_factory=dict)
    after: dict[str, list[Gate]] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Iterable[PlannedTask]) -> Self:
        """Those of a plan, with nothing counted yet."""
        gates = cls()
        made: dict[tuple[str, ...], Gate] = {}
        for planned in tasks:
            gate = made.setdefault(planned.waits_for, Gate(waits_for=planned.waits_for))
            gate.behind[planned.name] = None
            gates.before[planned.name], gates.after[planned.name] = gate, []
        gates.all = list(made.values())
        for gate in gates.all:
            for name in gate.waits_for:
                gates.after[name].append(gate)
        return gates

    def replace(self, mark: str, names: Sequence[str], *, keep: bool) -> list[Gate]:
        """Put tasks in the place of one, or with `keep` behind it, as those do that wait for what it waits for and are
        waited for as it is. Gives the gates after them, which are to be counted anew.
        """
        gate, after = self.before[mark], self.after[mark]
        for name in names:
            gate.behind[name] = None
            self.before[name], self.after[name] = gate, after
        for one in after:
            one.waits_for = put(one.waits_for, mark, names, keep=keep)
        if not keep:
            del gate.behind[mark], self.before[mark], self.after[mark]
        return after


def put(among: tuple[str, ...], mark: str, names: Sequence[str], *, keep: bool) -> tuple[str, ...]:
    """Names in the place of one among others, or with `keep` behind it. Where it is not among them, they stay."""
    if mark not in among:
        return among
    at = among.index(mark)
    return (*among[: at + keep], *names, *among[at + 1 :])


def is_early(planned: PlannedTask) -> bool:
    """Whether its rule may let a task run before all upstreams have ended. A list waits for what it is made of."""
    return planned.run_if in EARLY and planned.for_each is None
