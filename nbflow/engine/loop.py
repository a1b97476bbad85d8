"""The loop that carries out one run: inbox -> react -> append -> perform. Append first, act after.

The engine owns the run by a lease with a fencing number that the store checks at every append. It knows its ports
only; which executor, store and archive they are is the composition root's matter. Nothing is decided here.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import ErrorKind, TaskError
from nbflow.core.decide import next_wakeup, react
from nbflow.core.dispatch import wanted
from nbflow.core.pools import Overtaken, turns_of
from nbflow.core.ports import Batch, Clock, Executor, Listener, Store
from nbflow.core.rows import PoolUse
from nbflow.core.state import RunState, fold
from nbflow.core.views import project
from nbflow.engine.effects import work_order
from nbflow.engine.lease import Lease
from nbflow.errors import StoppedError, UnreachableError
from nbflow.faultpoints import Point, cross

POLL_SECONDS = 0.5
"""How often the store is asked for requests of other processes (`nbflow cancel`)."""

POOL_SECONDS = 0.1
"""How often the store is asked for slots while a task waits for them."""

RESCUE_SECONDS = 5.0
"""How often it is looked after whether those who keep slots that are waited for still live."""

Seal = Callable[[RunState], None]
"""Completes the archive of a run that has ended."""


Probe = Callable[[str], None]
"""Told why an attempt could not be archived, raises UnreachableError where the archive fails: a full disk, say."""

Rescue = Callable[[Collection[str]], None]
"""Ends those of some runs whose process has died, so that what they hold comes free; others it leaves alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What an engine works with."""

    store: Store
    executor: Executor
    clock: Clock
    seal: Seal
    listeners: Sequence[Listener] = ()
    probe: Probe = field(default=lambda _: None)
    rescue: Rescue = field(default=lambda _: None)


class Engine:
    """Carries out one run. Any thread or signal handler may call `post` and `stop`; the rest is for one thread.

    It begins with the state of the run that the store has.
    """

    def __init__(self, state: RunState, fence: int, ports: Ports) -> None:
        self._state = state
        self._state.touched.clear()
        self._fence = fence
        self._ports = ports
        self._lease = Lease(ports.store, state.run, fence, ports.clock)
        self._turns = turns_of(state.created)
        self._inbox: queue.SimpleQueue[msg.Message] = queue.SimpleQueue()
        self._next_poll = 0.0
        self._next_rescue = 0.0
        self._refusal: UnreachableError | StoppedError | None = None
        self._is_over = self._is_stopped = False

    @property
    def state(self) -> RunState:
        """The run as far as it has come."""
        return self._state

    @property
    def refusal(self) -> UnreachableError | StoppedError | None:
        """What the archive or the store refused, though the run has ended: it was cut short by that, or is not whole.

        A StoppedError where `stop` had been called before.
        """
        return self._refusal

    @property
    def waits(self) -> dict[str, str]:
        """By pool, what the next task of it waits for, in words. Any thread may ask."""
        turns, pools, used = self._turns, self._state.created.settings.pools, self._state.used
        return {pool: turns.reason(pool, pools[pool], used["pool", pool]) for pool in turns.since}

    def post(self, message: msg.Message) -> None:
        """Leave a message for the loop."""
        self._inbox.put(message)

    def stop(self, request: msg.Cancel) -> None:
        """Leave a request to stop, and wait no more for a store that is away: then nothing more can be recorded.

        The store is in a hurry from then on, also to give the run back: who goes on opens their project anew.
        """
        self._is_stopped = True
        self.post(request)
        self._ports.store.hurry()

    def run(self, first: Sequence[msg.Message]) -> RunState:
        """Carry the run out to its end, beginning with the messages `first`.

        Raises ConflictError where another engine has taken the run over, UnreachableError where the store fails before
        the end, which is a StoppedError where `stop` had been called; in all cases everything of ours is stopped, and
        the run can be resumed. What is refused of a run that has an end in the store is its `refusal`.
        """
        self._ports.executor.open(self.post)
        try:
            self._handle(first)
            cross(Point.RUN_ACKED)
            while self._state.ended_at is None:
                self._lease.keep()
                if messages := self._wait():
                    self._handle([*self._stop(messages), *messages])
            self._ports.store.take(self._state.run)  # what came too late must not meet the run when it is resumed
        except UnreachableError as error:
            if self._is_over:
                self._refuse(error)
            elif self._is_stopped:
                raise self._left_open(error) from error
            else:
                raise
        finally:
            self._ports.executor.close()
        return self._state

    def _handle(self, messages: Sequence[msg.Message]) -> None:
        events = self._append(messages)
        if not events:
            return
        self._state.touched.clear()
        self._is_over = self._state.ended_at is not None  # by now the store has it
        self._lease.ensure()
        for stamped in events:
            self._perform(stamped.event)
        for stamped in events:
            for listener in self._ports.listeners:
                listener(stamped)

    def _append(self, messages: Sequence[msg.Message]) -> Sequence[ev.Stamped]:
        """Keep what follows from some messages; where tasks use pools, it depends on what others hold of them."""
        events: Sequence[ev.Stamped] = ()
        begun = self._lease.instant()
        if self._turns.pools:
            events = self._append_pooled(messages)
        elif (batch := self._decide(messages, ())) is not None:
            self._ports.store.append(*batch, self._fence)
            events = batch[0]
        if events:
            self._lease.signed(begun)
        return events

    def _append_pooled(self, messages: Sequence[msg.Message]) -> Sequence[ev.Stamped]:
        """The same; where others have got slots in between, it is decided again, from what is kept of the run."""
        while True:
            turns = self._turns
            try:
                return self._ports.store.append_pooled(self._state.run, partial(self._decide, messages), self._fence)
            except Overtaken:
                self._turns = turns
                self._state = fold(self._ports.store.events(self._state.run))
                self._state.touched.clear()

    def _decide(self, messages: Sequence[msg.Message], others: Sequence[PoolUse]) -> Batch | None:
        now = self._ports.clock.now()
        turns = self._turns.among(others)
        events = react(self._state, messages, now, turns)
        slots = wanted(self._state) if turns.pools else {}
        self._turns = turns.after(self._state, (one.event for one in events), now).waiting(slots, now)
        if not events:
            return None
        return events, project(self._state, self._turns.uses(self._state, slots))

    def _perform(self, event: ev.Event) -> None:
        """The whole table of effects."""
        match event:
            case ev.AttemptSubmitted():
                self._ports.executor.submit(work_order(self._state, event.task))
            case ev.KillRequested():
                self._ports.executor.cancel(event.task, event.attempt, force=event.force, error=self._state.stop_error)
            case ev.RunFinished():
                self._seal()
            case _:
                pass

    def _seal(self) -> None:
        """Complete the archive; where that cannot be done, the end of the run is told all the same."""
        try:
            self._ports.seal(self._state)
        except UnreachableError as error:
            self._refuse(error)

    def _wait(self) -> list[msg.Message]:
        """Whatever has come in, or the passing of time; now and then also what others left in the store."""
        messages: list[msg.Message] = []
        try:
            messages.append(self._inbox.get(timeout=self._patience(self._ports.clock.now())))
        except queue.Empty:
            if self._waits_for_slots or self._patience(self._ports.clock.now()) == 0.0:
                messages.append(msg.Tick())
        while not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        self._look_after_others()
        return [*messages, *self._requests()]

    def _stop(self, messages: Sequence[msg.Message]) -> Sequence[msg.Cancel]:
        """A request to stop, ahead of what would begin the next task, where nothing that it did could be kept."""
        failure = next(filter(None, map(_archive_failure, messages)), None)
        if self._refusal is None and failure is not None:
            try:
                self._ports.probe(failure.message)
            except UnreachableError as error:
                self._refusal = error
                return [msg.Cancel(mode=msg.StopMode.INTERRUPT, by="nbflow: the archive takes nothing more")]
        return []

    def _requests(self) -> list[msg.Cancel]:
        """What others left in the store: asked by the clock, so that a busy inbox does not keep them waiting."""
        now = self._ports.clock.monotonic()
        if now < self._next_poll:
            return []
        self._next_poll = now + POLL_SECONDS
        return self._ports.store.take(self._state.run)

    def _look_after_others(self) -> None:
        """Nobody may be left who gives back the slots that a task waits for."""
        now = self._ports.clock.monotonic()
        if self._waits_for_slots and now >= self._next_rescue:
            self._next_rescue = now + RESCUE_SECONDS
            self._ports.rescue(self._turns.before)

    def _refuse(self, error: UnreachableError) -> None:
        """The first that is in the way is told."""
        if self._refusal is None:
            self._refusal = self._left_open(error) if self._is_stopped else error

    def _left_open(self, error: UnreachableError) -> StoppedError:
        """What to say where a stop that was asked for was not recorded, or its page not made."""
        run = self._state.run
        hint = f"{error.hint or 'see to that'}; then: nbflow resume {run}"
        return StoppedError(f"run {run} was stopped, but not in good order: {error.message}", hint=hint)

    @property
    def _waits_for_slots(self) -> bool:
        return bool(self._turns.since)

    def _patience(self, now: datetime) -> float:
        """Seconds until something is to be done whether a message comes or not."""
        poll = POOL_SECONDS if self._waits_for_slots else POLL_SECONDS
        due = next_wakeup(self._state)
        return poll if due is None else min(poll, max(0.0, (due - now).total_seconds()))


def _archive_failure(message: msg.Message) -> TaskError | None:
    error = message.outcome.error if isinstance(message, msg.Finished) else None
    return error if error is not None and error.kind is ErrorKind.ARCHIVE else None
