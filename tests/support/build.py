"""Small builders of plans and runs, and `Story`: a run driven by hand, one message after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.decide import react
from nbflow.core.plan import Plan, PlannedTask
from nbflow.core.spec import RunIf
from nbflow.core.state import RunState, fold
from support.notation import line, parse_message

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
RUN = "sales-20260131T120000-k3fa"


def after(seconds: float) -> datetime:
    """The instant `seconds` after the run was made."""
    return NOON + timedelta(seconds=seconds)


def planned(name: str, *needs: str, run_if: str = "all_success", **more: Any) -> PlannedTask:
    """A planned task; `waits_for` is what it needs, unless it is given."""
    values = {
        "base": name.partition("[")[0],
        "slug": name,
        "notebook": f"{name}.ipynb",
        "upstream": needs,
        "waits_for": needs,
        "reason": "after " + ", ".join(needs) if needs else "no upstream",
        "run_if": RunIf(run_if),
        **more,
    }
    return PlannedTask(name=name, **values)


def created(tasks: Iterable[PlannedTask], *, params: Mapping[str, Any] | None = None, **settings: Any) -> ev.RunCreated:
    """The first event of a run of these tasks, two of them at once unless `jobs` says otherwise."""
    place = {"root": "/project", "outputs": "outputs", "folder": f"sales/{RUN}", "journals": "/journals", "jobs": 2}
    return ev.RunCreated(
        run=RUN,
        pipeline="sales",
        logical_date=NOON,
        plan=Plan(pipeline="sales", tasks=tuple(tasks)),
        settings=ev.Settings(**{**place, **settings}),
        params=params or {},
    )


class Story:
    """A run and all its events. `send` takes messages, as objects or as `notation` writes them."""

    def __init__(self, *tasks: PlannedTask, params: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self.history = [
            ev.Stamped(run=RUN, seq=1, at=NOON, event=created(tasks, params=params, **settings)),
        ]
        self.state: RunState = fold(self.history)
        self.now = NOON

    def send(self, *messages: msg.Message | str, at: float | None = None) -> list[str]:
        """The lines of the events that follow from messages that come together, `at` seconds after the beginning."""
        if at is not None:
            self.now = after(at)
        parsed = [parse_message(one) if isinstance(one, str) else one for one in messages]
        stamped = react(self.state, parsed, self.now)
        self.history += stamped
        return [line(one) for one in stamped]

    def states(self) -> dict[str, str]:
        """Task -> state."""
        return {name: task.state.value for name, task in self.state.tasks.items()}

    def lines(self, *kinds: str) -> list[str]:
        """The lines of all events so far, or of those of some types."""
        return [line(one) for one in self.history if not kinds or ev.type_of(one.event) in kinds]


def stamp(events: Sequence[ev.Event], seq: int = 2, at: datetime = NOON) -> list[ev.Stamped]:
    """Events with their places."""
    return [ev.Stamped(run=RUN, seq=seq + index, at=at, event=event) for index, event in enumerate(events)]
