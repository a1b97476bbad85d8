"""Looking at runs: by id, prefix or `@last`; their documents and events; what they tell a new plan. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nbflow.core.rows import Past
from nbflow.core.status import RunStatus, TaskState
from nbflow.errors import NotFoundError, UnreachableError, UsageError

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.ports import Store
    from nbflow.core.rows import RunRow
    from nbflow.core.selection import Previous
    from nbflow.core.state import RunState
    from nbflow.results import RunResult

ENOUGH_TASKS = 5_000
"""Rows of tasks that are read to know how long tasks take."""

FEW = 4
"""Runs that are kept in mind while a plan asks for what its tasks gave before."""

MANY = 10_000
"""Runs that a look-up by suffix goes through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What two runs have in common if one may take results of the other: the date that they are for, in the project's
    zone, and the values of parameters, as documents show them.
    """

    date: date
    timezone: str
    params: Mapping[str, Any]

    def fits(self, row: RunRow) -> bool:
        """Whether a run is alike."""
        instant = datetime.fromisoformat(row.document["logical_date"])
        there = row.document["params"]
        same_date = instant.astimezone(ZoneInfo(self.timezone)).date() == self.date
        return same_date and all(name in there and there[name] == value for name, value in self.params.items())


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a store. `alive` tells whether the owner of a run still lives (None: nobody here can tell), `mark`
    says in documents what has reached the archive.
    """

    store: Store
    alive: Callable[[str], bool | None]
    mark: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    def find(self, text: str) -> RunRow:
        """A run by its id, a unique beginning or end of it, `@last` or `@last-failed`.

        Raises NotFoundError for none, UsageError for several.
        """
        if text.startswith("@"):
            return self._newest(text)
        if (row := self.store.run(text)) is not None:
            return row
        found = self.store.runs(prefix=text, limit=6) if text else []
        if not found and text:
            found = [row for row in self.store.runs(limit=MANY) if row.run.endswith(text)][:6]
        if not found:
            raise NotFoundError(f"there is no run '{text}'", hint="list them with: nbflow runs")
        if len(found) > 1:
            some = ", ".join(row.run for row in found[:5])
            raise UsageError(f"'{text}' fits more than one run: {some}", hint="type more of the id")
        return found[0]

    def rows(self, pipeline: str | None = None, states: Collection[str] = (), limit: int = 100) -> list[RunRow]:
        """Rows of runs, newest first, by the state that they really have."""
        rows = self.store.runs(pipeline=pipeline, states=self._stored(states), limit=limit)
        return [row for row in rows if not states or self.state_of(row) in states]

    def summary(self, row: RunRow) -> dict[str, Any]:
        """The run document without `tasks`."""
        return self.mark({**row.document, "state": self.state_of(row)})

    def document(self, row: RunRow) -> RunResult:
        """The run document."""
        from nbflow.core.views import run_document
        from nbflow.results import RunResult

        return RunResult(self.mark({**run_document(self.seen(row)), "state": self.state_of(row)}))

    def state(self, row: RunRow) -> RunState:
        """The run, folded from its events. Raises UnreachableError where they make no sense."""
        return _folded(row.run, self.store.events(row.run))

    def seen(self, row: RunRow) -> RunState:
        """The run as it is to be shown: where its process is gone without a word, nothing of it is running."""
        from nbflow.core.decide import react
        from nbflow.engine.recovery import interruption, presumed

        history = list(self.store.events(row.run))
        state = _folded(row.run, history)
        if self._has_died(row):
            react(state, interruption(state, presumed(state), row.owner or ""), history[-1].at)
        return state

    def events(self, row: RunRow, after: int = 0) -> Iterator[Stamped]:
        """Events with a sequence number above `after`."""
        return self.store.events(row.run, after)

    def state_of(self, row: RunRow) -> str:
        """A run's state; one that nobody carries out any more is interrupted."""
        return RunStatus.INTERRUPTED.value if self._has_died(row) else row.state

    def dead(self) -> list[RunRow]:
        """The runs whose process has died: before their end, or before it gave them back with their archive complete.

        They are few, and found at once.
        """
        return [row for row in self.store.going() if not self.is_held(row)]

    def is_held(self, row: RunRow) -> bool:
        """Whether somebody carries a run out. Another host is believed to do so as long as its lease lasts."""
        if row.owner is None:
            return False
        lives = self.alive(row.owner)
        return not row.lapsed if lives is None else lives

    def durations(self, pipeline: str, runs: int = 5) -> dict[str, float]:
        """Seconds that tasks took, by name: the median of their successes in the newest `runs` runs, of large pipelines
        in fewer. Of a task with copies that of each copy, and under its own name that of them all.

        What was tried again counts for nothing: days may lie between an attempt that was lost and the next one.
        """
        found: dict[str, list[float]] = {}
        seen = 0
        for row in self.store.runs(pipeline=pipeline, limit=runs):
            if seen >= ENOUGH_TASKS:
                break
            for task in self.store.task_rows(row.run):
                seen += 1
                if task["state"] == TaskState.SUCCEEDED and task["attempts"] == 1:
                    took = datetime.fromisoformat(task["ended"]) - datetime.fromisoformat(task["started"])
                    for name in {task["task"], task["task"].partition("[")[0]}:
                        found.setdefault(name, []).append(took.total_seconds())
        return {name: sorted(seconds)[len(seconds) // 2] for name, seconds in found.items()}

    def resumed(self, row: RunRow, now: datetime) -> tuple[str, ...]:
        """The tasks that `resume` would give another chance, were it called now. Changes nothing."""
        from nbflow.core.decide import react
        from nbflow.core.events import RunResumed
        from nbflow.core.messages import Lost, Resume

        state = self.state(row)
        lost = [Lost(task=name, attempt=state.tasks[name].attempt, message="") for name in state.live]
        events = react(state, [*lost, Resume()], now)
        return next((one.event.tasks for one in events if isinstance(one.event, RunResumed)), ())

    def past(self, pipeline: str, task: str, like: Likeness | None = None, *, is_list: bool = False) -> Past | None:
        """The newest success of a task; with `like`, in a run of that date and with those parameters.

        With `is_list`, of all copies that `for_each` made of it in one run: their outputs are lists, in their order.
        """
        if like is None and not is_list:
            return self.store.last_success(pipeline, task)
        return pasts(self, pipeline, like)(task)

    def previous(self, pipeline: str) -> Previous | None:
        """The newest run of a pipeline, by declared task."""
        from nbflow.core.selection import Previous

        rows = self.store.runs(pipeline=pipeline, limit=1)
        if not rows:
            return None
        state = self.state(rows[0])
        states: dict[str, set[str]] = {}
        for task in state.tasks.values():
            states.setdefault(task.planned.base, set()).add(task.state.value)
        return Previous(
            states={name: frozenset(found) for name, found in states.items()},
            sources={task.planned.base: task.planned.sha256 for task in state.tasks.values()},
        )

    def _newest(self, text: str) -> RunRow:
        match text:
            case "@last":
                found = self.store.runs(limit=1)
            case "@last-failed":
                found = self.store.runs(states=[RunStatus.FAILED.value], limit=1)
            case _:
                raise UsageError(f"'{text}' is no run", hint="there are @last and @last-failed")
        if not found:
            raise NotFoundError(
                f"there is no run yet that {text} could mean", hint="begin one with: nbflow run PIPELINE"
            )
        return found[0]

    def _stored(self, states: Collection[str]) -> Collection[str]:
        """The states under which the store may have the runs that are looked for."""
        going = {RunStatus.QUEUED.value, RunStatus.RUNNING.value}
        return {*states, *going} if RunStatus.INTERRUPTED in states else states

    def _has_died(self, row: RunRow) -> bool:
        """Whether the process of a run has died, or given it back, before its end. One that never had an owner, whose
        first has the number 1, waits for somebody.
        """
        is_open = row.state == RunStatus.RUNNING or (row.state == RunStatus.QUEUED and row.fence > 0)
        return is_open and not self.is_held(row)


def pasts(runs: Runs, pipeline: str, like: Likeness | None = None) -> Callable[[str], Past | None]:
    """What `Runs.past` says of many tasks, with lists of all copies: runs are not read again for each of them."""

    @cache
    def rows() -> list[str]:
        found = runs.store.runs(pipeline=pipeline, limit=MANY)
        return [row.run for row in found if like is None or like.fits(row)]

    state = lru_cache(FEW)(lambda run: _folded(run, runs.store.events(run)))

    def find(task: str) -> Past | None:
        found = (_success(state(run), task) for run in rows())
        return next((one for one in found if one is not None), None)

    return find


def _success(state: RunState, task: str) -> Past | None:
    """What a task gave in a run, or all copies that `for_each` made of it; None where they did not all do what they had
    to do.
    """
    if (one := state.tasks.get(task)) is not None:
        was_good = one.state is TaskState.SUCCEEDED
        return Past(run=one.reused_from or state.run, outputs=one.outputs) if was_good else None
    found = [state.tasks[name] for name in state.copies.get(task, ())]
    if task not in state.made or not all(one.state in (TaskState.SUCCEEDED, TaskState.SKIPPED) for one in found):
        return None
    keys = dict.fromkeys(key for one in found for key in one.outputs)
    return Past(run=state.run, outputs={key: [one.outputs.get(key) for one in found] for key in keys})


def copies_named(state: RunState, text: str) -> list[str]:
    """The copies that a text means: the one of that name, or all of a declared task. Raises NotFoundError."""
    if text in state.tasks:
        return [text]
    if text in state.copies:
        return list(state.copies[text])
    close = get_close_matches(text, [*state.tasks, *state.copies], 1)
    known = ", ".join(list(state.tasks)[:20])
    raise NotFoundError(
        f"run {state.run} has no task '{text}'", hint=f"did you mean '{close[0]}'?" if close else f"its tasks: {known}"
    )


def _folded(run: str, history: Iterable[Stamped]) -> RunState:
    """A run from its events. Raises UnreachableError where they make no sense: damaged, or another nbflow's."""
    from nbflow.core.state import InvalidTransition, fold

    try:
        return fold(history)
    except (InvalidTransition, LookupError, ValueError, TypeError, AttributeError) as error:
        raise UnreachableError(
            f"run {run}: its history makes no sense to this nbflow: {error!r}",
            hint="upgrade nbflow; if it is the newest, restore the store from a backup",
        ) from error
