"""Several engines on one store, from a seed: they share a pool, crash, sleep through their leases, and are resumed.

The real loop and the memory store, in one thread, on a fake clock. What is looked at is the world, not the log: which
attempts really run, on which slots, and who began them. Kernels outlive their engine until somebody ends them. Attempts
fail and are tried again, runs are cancelled, and some that are over are pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.rows import LEASE_SECONDS, Projection
from nbflow.core.spec import Preload, RetryPolicy
from nbflow.core.state import RunState, fold
from nbflow.engine.loop import Engine, Ports
from nbflow.engine.recovery import recover
from nbflow.errors import ConflictError
from nbflow.rescue import end
from nbflow.runs import Runs
from nbflow.store.memory import MemoryStore
from simulation.oracle import Wrong
from support.build import created, planned
from support.engines import FakeClock, record

MAX_STEPS = 4_000
MAX_CRASHES = 8
MAX_CANCELS = 3

Attempt = tuple[str, str, int]


class Crash(BaseException):
    """An engine is killed."""


class CrashingStore(MemoryStore):
    """A store around whose appends engines may be killed."""

    def __init__(self, clock: FakeClock, may_crash: Callable[[], None]) -> None:
        super().__init__(clock.now)
        self._may_crash = may_crash

    def append(self, events: Sequence[ev.Stamped], projection: Projection, fence: int) -> None:
        self._may_crash()
        super().append(events, projection, fence)
        self._may_crash()


class World:
    """What really runs. A kernel takes the slots of its task as long as it lives."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.slots: dict[Attempt, int] = {}
        self.begun: set[Attempt] = set()

    def begin(self, order: WorkOrder, slots: int) -> None:
        key = (order.run, order.task, order.attempt)
        if key in self.begun:
            raise Wrong(f"{key} is begun twice")
        if any(run == order.run and task == order.task for run, task, _ in self.slots):
            raise Wrong(f"{key} is begun beside an earlier attempt")
        self.begun.add(key)
        self.slots[key] = slots
        if sum(self.slots.values()) > self.size:
            raise Wrong(f"of {self.size} slots {self.slots} are taken")

    def end(self, run: str, task: str, attempt: int) -> bool:
        return self.slots.pop((run, task, attempt), None) is not None


class Hands:
    """Implements `ports.Executor` for one engine."""

    def __init__(self, world: World, slots: Mapping[str, int], run: str) -> None:
        self._world, self._slots, self._run = world, slots, run

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """Nothing to load."""

    def open(self, report: Callable[[msg.Report], None]) -> None:
        """Reports are brought by the simulation."""

    def submit(self, order: WorkOrder) -> None:
        self._world.begin(order, self._slots[order.task])

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        """The simulation ends no attempt early."""

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        self._world.end(order.run, order.task, order.attempt)
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def close(self) -> None:
        """Nothing to give back."""


class Engines:
    """One history of several runs. `play` raises `Wrong`, or whatever breaks, where it is not as it must be."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = FakeClock()
        self.store = CrashingStore(self.clock, self._may_crash)
        size = self.rng.randint(1, 3)
        self.world = World(size)
        self.crashes = self.lives = self.waits = self.thefts = self.cancels = self.pruned = 0
        self.engines: dict[str, Engine] = {}
        self.zombies: list[Engine] = []
        self.owners: set[str] = set()
        self.slots: dict[str, dict[str, int]] = {}
        self.runs = Runs(self.store, self._lives)
        self._powered = False
        for number in range(self.rng.randint(2, 3)):
            self._make(f"run{number}", size)

    def _make(self, run: str, size: int) -> None:
        names = [f"t{place}" for place in range(self.rng.randint(1, 6))]
        slots = {name: self.rng.randint(1, size) for name in names}
        retry = RetryPolicy(retries=self.rng.choice([0, 1, 2]), delay=self.rng.choice([0.0, 2.0]))
        tasks = [
            planned(name, pool="p" if self.rng.random() < 0.8 else None, slots=slots[name], retry=retry)
            for name in names
        ]
        self.slots[run] = {task.name: task.slots if task.pool else 0 for task in tasks}
        record(self.store, replace(created(tasks, jobs=self.rng.randint(1, 4), pools={"p": size}), run=run))

    def play(self) -> None:
        """Until all runs have succeeded."""
        for _ in range(MAX_STEPS):
            rows = self.store.runs()
            open_runs = [row.run for row in rows if row.state != "succeeded" or row.run in self.engines]
            if not open_runs:
                break
            self.clock.go_on(self.rng.random())
            self._step(self.rng.choice(open_runs))
            self._check_pools()
            self._prune()
        else:
            raise Wrong(f"not all runs have ended after {MAX_STEPS} steps: {self.store.pools()}")
        if self.world.slots or self.store.pools():
            raise Wrong(f"{self.world.slots} {self.store.pools()} are left")

    def _step(self, run: str) -> None:
        engine = self.engines.get(run)
        if self.rng.random() < 0.05:
            self._steal(run)
        if engine is None:
            self._boot(run)
        elif self.rng.random() < 0.02 and self.crashes < MAX_CRASHES:
            self._sleep(run)
        elif engine.state.ended_at is not None:
            self._leave(run)
        else:
            self._work(engine)
        if self.zombies and self.rng.random() < 0.1:
            self._wake(self.rng.choice(self.zombies))

    def _check_pools(self) -> None:
        """What the store says that runs hold is what those have that carry them out."""
        for use in self.store.pools():
            engine = self.engines.get(use.run)
            if engine is not None and use.held != engine.state.used["pool", use.pool]:
                raise Wrong(f"{use} is held, but {engine.state.used} is used")

    def _steal(self, run: str) -> None:
        """Somebody wants a run that another one has."""
        if self.runs.is_held(self.runs.find(run)):
            with suppress(ConflictError):
                self.store.claim(run, "thief", self._lives)
                raise Wrong(f"{run} was taken from one who lives")

    def _prune(self) -> None:
        """Somebody takes a run out that is over."""
        over = [row for row in self.store.runs() if row.state == "succeeded" and not self.runs.is_held(row)]
        if over and self.rng.random() < 0.02:
            run = self.rng.choice(over).run
            self.store.removals.remove(run, self.store.claim(run, "prune", self._lives))
            self.pruned += 1

    def _boot(self, run: str) -> None:
        """Somebody takes a run that nobody has: to go on with it, or only because it is dead."""
        row = self.runs.find(run)
        if self.runs.is_held(row):
            return
        hands = Hands(self.world, self.slots[run], run)
        ports = Ports(store=self.store, executor=hands, clock=self.clock, seal=lambda _: None)
        if row.state == "running" and self.rng.random() < 0.4:
            end(row, self.runs, ports)
            return
        self.lives += 1
        owner = f"engine {self.lives}"
        fence = self.store.claim(run, owner, self._lives)
        self.owners.add(owner)
        for other in list(self.engines):  # to look after what is left takes time, and others go on meanwhile
            if self.engines[other].state.ended_at is None:
                self._work(self.engines[other])
        state = fold(self.store.events(run))
        self.engines[run] = Engine(state, fence, ports)
        again = [msg.Resume()] if state.ended_at is not None or state.live else []
        self._handle(run, [*recover(state, hands), *again, msg.Start(owner=owner)])

    def _work(self, engine: Engine) -> None:
        """One look at the inbox: attempts may have ended."""
        run, messages = engine.state.run, list[msg.Message]()
        for name in list(engine.state.live):
            attempt = engine.state.tasks[name].attempt
            if self.rng.random() < 0.3 and self.world.end(run, name, attempt):
                messages.append(msg.Finished(task=name, attempt=attempt, outcome=self._outcome(engine)))
        if self.rng.random() < 0.01 and self.cancels < MAX_CANCELS:
            self.cancels += 1
            messages.append(msg.Cancel(mode=msg.StopMode.CANCEL, by="me"))
        self._handle(run, messages or [msg.Tick()])

    def _outcome(self, engine: Engine) -> Outcome:
        """How an attempt ends; what the executor was told to end is cancelled, if it was heard in time."""
        if engine.state.stop is not None and self.rng.random() < 0.7:
            return Outcome(verdict=Verdict.CANCELLED)
        if self.rng.random() < 0.1:
            return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.EXCEPTION, message="it broke"))
        return Outcome(verdict=Verdict.SUCCEEDED)

    def _handle(self, run: str, messages: Sequence[msg.Message]) -> None:
        engine, self._powered = self.engines[run], True
        try:
            engine._lease.keep()
            engine._handle(messages)
            self.waits += engine._waits_for_slots
        except Crash:
            self.crashes += 1
            self._bury(run)
        except ConflictError:
            self.thefts += 1
            del self.engines[run]
        finally:
            self._powered = False

    def _leave(self, run: str) -> None:
        """An engine whose run has ended goes."""
        engine = self.engines[run]
        row = self.runs.find(run)
        self.store.release(run, engine._fence)
        if row.owner is not None:
            self._bury(run)

    def _sleep(self, run: str) -> None:
        """A machine sleeps for longer than its lease, and nobody can tell whether it lives."""
        self.crashes += 1
        engine = self.engines.pop(run)
        self.owners = {owner for owner in self.owners if owner != self.runs.find(run).owner}
        self.zombies.append(engine)
        self.clock.go_on(LEASE_SECONDS + 1)

    def _wake(self, zombie: Engine) -> None:
        """It goes on as if nothing had been: where its run is another's now, it must write and begin nothing."""
        run = zombie.state.run
        row = self.store.run(run)
        if row is not None and row.fence == zombie._fence and row.owner is not None:
            return
        self.zombies.remove(zombie)
        begun = len(self.world.begun)
        with suppress(ConflictError):
            zombie._lease.keep()
            zombie._handle([msg.Resume(), msg.Start(owner="zombie")])
        if self.store.run(run) != row or len(self.world.begun) != begun:
            raise Wrong(f"an engine that has lost {run} went on")

    def _bury(self, run: str) -> None:
        self.owners.discard(self.runs.find(run).owner or "")
        del self.engines[run]

    def _lives(self, owner: str) -> bool:
        return owner in self.owners

    def _may_crash(self) -> None:
        if self._powered and self.crashes < MAX_CRASHES and self.rng.random() < 0.03:
            raise Crash


def check_states(engines: Engines) -> list[RunState]:
    """The runs as their logs tell them, once all is over."""
    return [fold(engines.store.events(row.run)) for row in engines.store.runs()]
