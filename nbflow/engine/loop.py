"""The loop that carries out one run: inbox -> react -> append -> perform. Append first, act after.

The engine owns the run by a fencing number that the store checks at every append. It knows its ports only; which
executor, store and archive they are is the composition root's matter. Nothing is decided here.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.decide import next_wakeup, react
from nbflow.core.ports import Clock, Executor, Listener, Store
from nbflow.core.state import RunState
from nbflow.core.views import project
from nbflow.engine.effects import work_order
from nbflow.faultpoints import Point, reach

POLL_SECONDS = 0.5
"""How often the store is asked for requests of other processes (`nbflow cancel`)."""

Seal = Callable[[RunState], None]
"""Completes the archive of a run that has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What an engine works with."""

    store: Store
    executor: Executor
    clock: Clock
    seal: Seal
    listeners: Sequence[Listener] = ()


class Engine:
    """Carries out one run. `post` may be called from any thread or signal handler, the rest from one thread."""

    def __init__(self, state: RunState, fence: int, ports: Ports) -> None:
        self._state = state
        self._fence = fence
        self._ports = ports
        self._inbox: queue.SimpleQueue[msg.Message] = queue.SimpleQueue()
        self._next_poll = 0.0

    @property
    def state(self) -> RunState:
        """The run as far as it has come."""
        return self._state

    def post(self, message: msg.Message) -> None:
        """Leave a message for the loop."""
        self._inbox.put(message)

    def run(self, first: Sequence[msg.Message]) -> RunState:
        """Carry the run out to its end, beginning with the messages `first`.

        Raises ConflictError where another engine has taken the run over, UnreachableError where the store fails;
        in both cases everything of ours is stopped, and the run can be resumed.
        """
        self._ports.executor.open(self.post)
        try:
            self._handle(first)
            reach(Point.RUN_ACKED)
            while self._state.ended_at is None:
                self._handle(self._wait())
            self._ports.store.take(self._state.run)  # what came too late must not meet the run when it is resumed
        finally:
            self._ports.executor.close()
        return self._state

    def _handle(self, messages: Sequence[msg.Message]) -> None:
        events = react(self._state, messages, self._ports.clock.now())
        if not events:
            return
        self._ports.store.append(events, project(self._state), self._fence)
        self._state.touched.clear()
        for stamped in events:
            self._perform(stamped.event)
        for stamped in events:
            for listener in self._ports.listeners:
                listener(stamped)

    def _perform(self, event: ev.Event) -> None:
        """The whole table of effects."""
        match event:
            case ev.AttemptSubmitted():
                self._ports.executor.submit(work_order(self._state, event.task))
            case ev.KillRequested():
                self._ports.executor.cancel(event.task, event.attempt, force=event.force)
            case ev.RunFinished():
                self._ports.seal(self._state)
            case _:
                pass

    def _wait(self) -> list[msg.Message]:
        """Whatever has come in, or the passing of time; now and then also what others left in the store."""
        messages: list[msg.Message] = []
        try:
            messages.append(self._inbox.get(timeout=self._patience(self._ports.clock.now())))
        except queue.Empty:
            messages.append(msg.Tick())
        while not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        return [*messages, *self._requests()]

    def _requests(self) -> list[msg.Cancel]:
        """What others left in the store: asked by the clock, so that a busy inbox does not keep them waiting."""
        now = self._ports.clock.monotonic()
        if now < self._next_poll:
            return []
        self._next_poll = now + POLL_SECONDS
        return self._ports.store.take(self._state.run)

    def _patience(self, now: datetime) -> float:
        due = next_wakeup(self._state)
        return POLL_SECONDS if due is None else min(POLL_SECONDS, max(0.0, (due - now).total_seconds()))
