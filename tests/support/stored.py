"""Runs that are kept in a store, message by message, as an engine keeps them; and what a store should then hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.decide import react
from nbflow.core.plan import PlannedTask
from nbflow.core.ports import Store
from nbflow.core.rows import Projection
from nbflow.core.state import RunState, fold
from nbflow.core.views import project, run_document
from support.build import NOON, RUN, created
from support.notation import parse_message


def dead(_: str) -> bool:
    """Every owner is gone."""
    return False


def alive(_: str) -> bool:
    """Every owner lives."""
    return True


def unknown(_: str) -> None:
    """Nobody can tell whether an owner lives."""


def begun(
    *tasks: PlannedTask, run: str = RUN, pipeline: str = "sales", at: datetime = NOON, **more: Any
) -> tuple[list[ev.Stamped], RunState]:
    """The first event of a run, and its state."""
    first = replace(created(tasks, **more), run=run, pipeline=pipeline)
    history = [ev.Stamped(run=run, seq=1, at=at, event=first)]
    return history, fold(history)


class Kept:
    """A run in a store: created and claimed when it is made, appended to by `send`."""

    def __init__(self, store: Store, *tasks: PlannedTask, owner: str = "engine", **more: Any) -> None:
        self.store = store
        self.history, self.state = begun(*tasks, **more)
        self.run = self.state.run
        store.create(self.history, project(self.state))
        self.state.touched.clear()
        self.fence = store.claim(self.run, owner, dead)

    def batch(self, *messages: msg.Message | str, at: datetime | None = None) -> tuple[list[ev.Stamped], Projection]:
        """What follows from some messages and is not yet kept."""
        parsed = [parse_message(one) if isinstance(one, str) else one for one in messages]
        events = react(self.state, parsed, at or self.history[-1].at)
        return events, project(self.state)

    def send(self, *messages: msg.Message | str, at: datetime | None = None) -> list[ev.Stamped]:
        """Keep what follows from some messages."""
        events, projection = self.batch(*messages, at=at)
        if events:
            self.store.append(events, projection, self.fence)
            self.state.touched.clear()
            self.history += events
        return events

    def play(self, *messages: msg.Message | str, at: datetime | None = None) -> None:
        """Keep what follows from messages that come one after the other."""
        for message in messages:
            self.send(message, at=at)


def cells(run: RunState, count: int, preview: str = "ok") -> tuple[list[ev.Stamped], Projection]:
    """So many further events of a run that change nothing but its sequence number."""
    events = [
        ev.Stamped(
            run=run.run,
            seq=run.seq + place + 1,
            at=NOON,
            event=ev.CellStarted(task="a", attempt=1, cell=place, number=place + 1, title=preview),
        )
        for place in range(count)
    ]
    run.seq += count
    return events, project(run)


def rebuilt(store: Store, run: str) -> dict[str, Any]:
    """The run document as the events tell it."""
    return plain(run_document(fold(store.events(run))))


def projected(store: Store, run: str) -> dict[str, Any]:
    """The run document as the projections tell it."""
    row = store.run(run)
    assert row is not None
    return plain({**row.document, "tasks": list(store.task_rows(run))})


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as it is once it has been JSON."""
    found: dict[str, Any] = json.loads(json.dumps(document, default=dict))
    return found
