"""One history of a run, from a seed: the real loop, core and memory store on a fake clock and a fake executor.

Everything happens in one thread. Reports come late, doubled, never, or from attempts that nobody knows; the machine
crashes before and after an append and between two effects; the store fails, the archive's disk is full; a new engine
then knows what the store knows, and its clock may have been set. After every step the oracle judges the events, and
what the log adds up to is compared with the live state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import ErrorKind, Outcome, TaskError
from nbflow.core.decide import next_wakeup
from nbflow.core.rows import Projection
from nbflow.core.state import RunState, fold
from nbflow.core.views import run_summary, task_document
from nbflow.engine.loop import Engine, Ports
from nbflow.engine.recovery import recover
from nbflow.errors import ConflictError, UnreachableError
from nbflow.store.memory import MemoryStore
from simulation.oracle import Oracle, Wrong
from simulation.workers import Mail, Worker
from simulation.worlds import make_world
from support.build import NOON, RUN
from support.engines import FakeClock, record
from support.notation import line
from support.scenarios import Scenario, Step

MAX_STEPS = 3_000
MAX_CRASHES = 6
MAX_RESUMES = 3
MAX_STOPS = 6
REPLAYS = 0.04
"""Part of the steps after which the whole history is folded again; after a crash and at the end it always is."""


class Crash(BaseException):
    """The power has gone: nothing catches this but the simulation."""


class CrashingStore(MemoryStore):
    """A store around whose appends the machine may crash, and which may fail; it tells what it kept."""

    def __init__(
        self,
        may_crash: Callable[[], None],
        may_fail: Callable[[], None],
        kept: Callable[[Sequence[ev.Stamped]], None],
    ) -> None:
        super().__init__()
        self._may_crash, self._may_fail, self._on_kept = may_crash, may_fail, kept

    def append(self, events: Sequence[ev.Stamped], projection: Projection, fence: int) -> None:
        self._may_crash()
        self._may_fail()
        super().append(events, projection, fence)
        self._on_kept(events)
        self._may_crash()


class Simulation:
    """One history. `run` raises `Wrong`, or whatever breaks, where it is not as it must be."""

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, Random(seed)
        self.world = make_world(self.rng)
        self.temper = self.world.temper
        self.clock = FakeClock()
        self.mail = Mail(self.clock)
        self.store = CrashingStore(self._may_crash, self._may_fail, self._kept)
        self.created = self.world.case.created()
        self.oracle = Oracle(self.created, self.world.case.seconds)
        self.steps: list[Step] = []
        self.crashes = self.resumes = self.stops = self.lives = self.failures = self.refusals = 0
        self.worker = self._hire()
        self.engine: Engine | None = None
        self.zombie: Engine | None = None
        self._submitted: set[tuple[str, int]] = set()
        self._log: list[ev.Stamped] = []
        self._messages: list[msg.Message] = []
        self._batch: Sequence[ev.Stamped] | None = None
        self._powered = False
        self._is_full = self._refused = False
        record(self.store, self.created)

    def run(self) -> RunState:
        """The whole history, to a run that has ended and that nobody resumes."""
        self._boot(resume=False)
        for _ in range(MAX_STEPS):
            if self.engine is None:
                self._boot(resume=self.rng.random() < 0.3)
            elif self.engine.state.ended_at is None:
                self._step(self.engine)
            elif self.resumes < MAX_RESUMES and self.rng.random() < self.temper.resume:
                self.resumes += 1
                self.clock.go_on(self.rng.choice([0.0, 60.0, 1000.0]))
                self._boot(resume=True)
            else:
                self._check_the_end(self.engine.state)
                return self.engine.state
        raise Wrong(f"the run has not ended after {MAX_STEPS} steps")

    # What happens

    def _boot(self, *, resume: bool) -> None:
        """A new engine takes the run over, and knows what the store knows."""
        self.lives += 1
        self._refused = False
        if self.rng.random() < self.temper.put:
            self.clock.put(self.rng.choice([-86_400.0, -60.0, 3600.0, 31_536_000.0]))
        old, state = self.zombie or self.engine, fold(self._recorded())
        self.worker = self._hire()
        fence = self.store.claim(RUN, f"engine {self.lives}", lambda _: False)
        ports = Ports(
            store=self.store,
            executor=self.worker,
            clock=self.clock,
            seal=lambda _: self._may_crash(),
            probe=self._probe,
        )
        self.engine = Engine(state, fence, ports)
        again: list[msg.Message] = [msg.Resume()] if resume else []
        start = msg.Start(owner=f"engine {self.lives}")
        self._deliver(self._ordered([*recover(state, self.worker), *again, start]), recovered=True)
        if old is not None:
            self._refuse(old)

    def _hire(self) -> Worker:
        return Worker(self.rng, self.temper, self.mail, self._may_crash, self.oracle.is_running)

    def _refuse(self, old: Engine) -> None:
        """An engine that was not quite dead must not write any more."""
        kept = len(list(self.store.events(RUN)))
        with suppress(ConflictError):
            old._handle([msg.Resume(), msg.Start(owner="zombie")])
        if len(list(self.store.events(RUN))) != kept:
            raise Wrong("an engine that has lost its run went on")

    def _step(self, engine: Engine) -> None:
        """The next thing that happens: reports come in, time passes, somebody asks the run to stop."""
        due, arrival = next_wakeup(engine.state), self.mail.next_at()
        if due != self.oracle.wakeup:
            raise Wrong(f"the engine sleeps until {due}, but something is due at {self.oracle.wakeup}")
        if due is None and arrival is None:
            raise Wrong("nothing will ever happen: no report is on its way, and no time is waited for")
        at = min(one for one in (due, arrival) if one is not None)
        self.clock.go_on(max(0.0, (at - self.clock.at).total_seconds()))
        if self.rng.random() < self.temper.jump:
            self.clock.go_on(self.rng.choice([30.0, 3600.0]))
        messages = self._ordered(self.mail.arrived(self.rng))
        before = engine.state.seq
        self._deliver(messages or [msg.Tick()])
        if not messages and engine.state.seq == before:
            raise Wrong(f"woken at {at} for nothing: the engine would spin")

    def _ordered(self, messages: list[msg.Message]) -> list[msg.Message]:
        """The messages, among which somebody may ask the run to stop."""
        if self.stops < MAX_STOPS and self.rng.random() < self.temper.stop:
            self.stops += 1
            mode = self.rng.choice([msg.StopMode.CANCEL, msg.StopMode.INTERRUPT])
            stop = msg.Cancel(mode=mode, by="me", force=self.rng.random() < 0.3)
            messages.insert(self.rng.randint(0, len(messages)), stop)
        return messages

    def _may_crash(self) -> None:
        if self._powered and self.crashes < MAX_CRASHES and self.rng.random() < self.temper.crash:
            self.crashes += 1
            raise Crash

    def _may_fail(self) -> None:
        if self._powered and self.failures < MAX_CRASHES and self.rng.random() < self.temper.broken:
            self.failures += 1
            raise UnreachableError("the store's disk gives errors")

    def _probe(self, _: str) -> None:
        if self._is_full:
            raise UnreachableError("the archive's disk is full")

    # One call of the loop, and what must be true after it

    def _deliver(self, messages: list[msg.Message], *, recovered: bool = False) -> None:
        engine = self.engine
        if engine is None:
            return
        self._is_full = self.rng.random() < self.temper.full
        messages = [*engine._stop(messages), *messages]
        self.steps.append(Step(at=(self.clock.at - NOON).total_seconds(), send=messages, crash=recovered))
        self._messages, self._batch, self._powered = messages, None, True
        try:
            engine._handle(messages)
        except (Crash, UnreachableError):
            self._go_down(engine)
        finally:
            self._powered = False
        if self.engine is None and self._batch is None:
            self.steps.pop()
            return
        if self._batch is None:
            self.oracle.batch([], self.clock.at, messages)
        if self.engine is not None:
            self._check(engine.state)

    def _go_down(self, engine: Engine) -> None:
        self.mail.lose_some(self.rng, self.temper.zombie)
        self.engine, self.zombie = None, engine
        if self._batch is not None:
            self._same(engine.state, fold(self._recorded()))

    def _kept(self, events: Sequence[ev.Stamped]) -> None:
        self._batch = events
        self.oracle.batch(events, self.clock.at, self._messages)
        self._check_refusal(events)

    def _check(self, state: RunState) -> None:
        """After a call that went through: effects are done once each, and the live state is what the log says."""
        for stamped in self._batch or ():
            self._check_effect(stamped.event)
        if self.worker.orders or self.worker.killed:
            raise Wrong(f"nobody decided on {self.worker.orders} {self.worker.killed}")
        live = {name: task.state.value for name, task in state.tasks.items()}
        if live != self.oracle.states() or set(state.live) != set(self.oracle.running):
            raise Wrong(f"the state is {live}, but the log says {self.oracle.states()}")
        if self.rng.random() < REPLAYS:
            self._same(state, fold(self._recorded()))

    def _check_effect(self, event: ev.Event) -> None:
        if isinstance(event, ev.KillRequested):
            kill = (event.task, event.attempt, event.force)
            if kill not in self.worker.killed:
                raise Wrong(f"{kill} was not carried out")
            self.worker.killed.remove(kill)
        if isinstance(event, ev.AttemptSubmitted):
            key = (event.task, event.attempt)
            order = next((one for one in self.worker.orders if (one.task, one.attempt) == key), None)
            if order is None or key in self._submitted:
                raise Wrong(f"{key} was submitted {'twice' if order else 'never'}")
            if order.params != self.oracle.tasks[event.task].params:
                raise Wrong(f"{key} got the parameters {order.params}")
            self._submitted.add(key)
            self.worker.orders.remove(order)

    def _check_refusal(self, events: Sequence[ev.Stamped]) -> None:
        """Once an attempt could not be archived, because nothing can be, its engine begins no other."""
        for stamped in events:
            match stamped.event:
                case ev.AttemptEnded(outcome=Outcome(error=TaskError(kind=ErrorKind.ARCHIVE))) if self._is_full:
                    self._refused = True
                    self.refusals += 1
                case ev.AttemptSubmitted(task=name) if self._refused:
                    raise Wrong(f"{name} has begun, which cannot be archived")
                case _:
                    pass

    def _check_the_end(self, state: RunState) -> None:
        replayed = fold(self._recorded())
        self._same(state, replayed)
        row = self.store.run(RUN)
        if row is None or row.document != run_summary(replayed) or row.seq != replayed.seq:
            raise Wrong(f"the run's row is {row}")
        if self.store.task_rows(RUN) != [task_document(replayed, task) for task in replayed.tasks.values()]:
            raise Wrong("the task documents in the store are not those of the fold")
        for document in self.store.task_rows(RUN):
            if document["upstream"] != self.oracle.needed(document["task"]):
                raise Wrong(f"{document['task']} needs {document['upstream']}")

    def _recorded(self) -> list[ev.Stamped]:
        """The history as a store on disk gives it back: through JSON."""
        self._log += [through_json(one) for one in self.store.events(RUN, after=len(self._log))]
        return self._log

    def _same(self, live: RunState, replayed: RunState) -> None:
        for name, value in snapshot(live).items():
            if value != snapshot(replayed)[name]:
                raise Wrong(f"{name} is {value}, but a replay gives {snapshot(replayed)[name]}")

    def lines(self) -> list[str]:
        """The events so far, as lines."""
        return [line(one) for one in self.store.events(RUN)]

    def scenario(self, title: str) -> Scenario:
        """The script of this history so far, as a scenario that needs no simulator."""
        return Scenario(title=title, case=self.world.case, steps=self.steps)


def through_json(stamped: ev.Stamped) -> ev.Stamped:
    """An event as it comes back from a disk."""
    body = json.loads(json.dumps(ev.dump(stamped.event)))
    return replace(stamped, event=ev.load(ev.type_of(stamped.event), body))


def snapshot(state: RunState) -> dict[str, Any]:
    """All that a state holds, but for what is still to be written and what is only kept ready."""
    return {name: value for name, value in vars(state).items() if name not in ("touched", "shown_params")}
