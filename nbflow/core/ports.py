"""The walls of the core: what it needs of the world, as protocols. Adapters implement them; nothing here does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from nbflow.core.attempt import ArchivedFile, Outcome, TaskError, WorkOrder
from nbflow.core.events import Stamped
from nbflow.core.messages import Cancel, Report
from nbflow.core.rows import Past, PoolUse, Projection, Removed, RunRow
from nbflow.core.spec import Preload

Batch = tuple[Sequence[Stamped], Projection]
"""Events of one run that follow one another, and what follows from them."""


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def wall(self) -> datetime:
        """What the clock on the wall says, aware, in UTC. It may be set; `now` need not follow it."""
        ...


class Executor(Protocol):
    """Where attempts run. Reports come from any thread, in order per attempt; the last one is Finished or Lost."""

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        """Load ahead what attempts with these kernels need, and return at once. A hint: attempts run without it too.

        May be called before `open`, and again as more is known. `cwd` is the working directory of kernels, `withheld`
        are environment variables that they must not inherit.
        """
        ...

    def open(self, report: Callable[[Report], None]) -> None:
        """Make ready; every report of every attempt goes to `report`."""
        ...

    def submit(self, order: WorkOrder) -> None:
        """Begin an attempt and return at once. A failure to begin is reported, never raised."""
        ...

    def cancel(self, task: str, attempt: int, *, force: bool, error: TaskError | None = None) -> None:
        """Ask an attempt to end (`force`: kill it now), as failed with `error`; without one it is cancelled.

        The first request says which. Unknown attempts are ignored: they may just have ended.
        """
        ...

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        """What is left of an attempt whose engine died: its notebook, built from the journal, and its error."""
        ...

    def close(self) -> None:
        """End whatever still runs and give everything back. May be called again, and without `open`."""
        ...


class Removals(Protocol):
    """What takes runs out of a store for good. All methods raise UnreachableError."""

    def references(self) -> list[tuple[str, str]]:
        """Each run that has taken results over, with the run that they came from; each pair once."""
        ...

    def newest_success(self, pipeline: str, task: str) -> str | None:
        """The newest run of a pipeline in which a declared task, or a copy of it, succeeded."""
        ...

    def remove(self, run: str, fence: int) -> None:
        """Take a run and all that is kept of it out, in one durable transaction, and note that in `removed`.

        Raises ConflictError where the fence is not that of the owner, or another run has taken results of it over.
        """
        ...

    def removed(self) -> list[Removed]:
        """The runs that were taken out and not forgotten, oldest first."""
        ...

    def forget(self, run: str) -> None:
        """Note that no file of a removed run is left; of others there is nothing to forget."""
        ...

    def compact(self) -> int:
        """Give back to the disk what is free, as far as can be done while others work; the bytes that it came to."""
        ...


class History(Protocol):
    """What a store has kept, for those who look. All methods raise UnreachableError."""

    def pools(self, run: str = "") -> list[PoolUse]:
        """What runs but this one hold and want of pools, by run and pool."""
        ...

    def events(self, run: str, after: int = 0) -> Iterator[Stamped]:
        """The events of a run with a sequence number above `after`, in order."""
        ...

    def run(self, run: str) -> RunRow | None:
        """The row of a run by its whole id."""
        ...

    def runs(
        self, *, pipeline: str | None = None, prefix: str = "", states: Collection[str] = (), limit: int = 100
    ) -> list[RunRow]:
        """Rows of runs, newest first."""
        ...

    def going(self) -> list[RunRow]:
        """Rows of the runs that have begun and not ended, and of all that have an owner, newest first."""
        ...

    def task_rows(self, run: str) -> list[Mapping[str, Any]]:
        """The task documents of a run, in the order of its plan."""
        ...

    def last_success(self, pipeline: str, task: str) -> Past | None:
        """The newest success of a task (by copy name) in any run of the pipeline."""
        ...


class Store(History, Protocol):
    """Where events are kept, with the projections that are their fold. All methods raise UnreachableError."""

    removals: Removals

    def create(self, events: Sequence[Stamped], projection: Projection, owner: str | None = None) -> int:
        """Begin a run with its first events, and return the fencing number for what follows.

        With `owner` it has one from its first moment on, as by `claim`; else it waits for somebody. Raises
        ConflictError where the run id exists.
        """
        ...

    def claim(self, run: str, owner: str, alive: Callable[[str], bool | None]) -> int:
        """Own a run and return the fencing number for what follows. Its lease begins, by the clock of the store.

        Raises ConflictError, naming the owner, where another one holds it: one that `alive` does not call dead, or,
        where it cannot tell (None: the owner is on another host), one whose lease has not run out.
        """
        ...

    def renew(self, run: str, fence: int) -> None:
        """Begin the lease anew, `rows.LEASE_SECONDS` long, as `append` does too. Raises ConflictError as `append`."""
        ...

    def release(self, run: str, fence: int) -> None:
        """Give a run back, and its slots; a fence that is not the present one is ignored."""
        ...

    def append(self, events: Sequence[Stamped], projection: Projection, fence: int) -> None:
        """Keep events and what follows from them, in one durable transaction.

        Raises ConflictError where the sequence has a gap or the fence is stale: another engine owns the run.
        """
        ...

    def append_pooled(
        self, run: str, decide: Callable[[Sequence[PoolUse]], Batch | None], fence: int
    ) -> Sequence[Stamped]:
        """`append` what `decide` makes of the pools as they are, and return its events; with None nothing is kept.

        From the look at the pools to the end of the transaction no other run gets or gives back a slot. `decide` is
        called once at most, and must not use the store. Raises `pools.Overtaken` where what it has decided is known not
        to be kept, as nothing would be had this never been called: it may be called again, on the run as it is kept.
        """
        ...

    def post(self, run: str, request: Cancel) -> None:
        """Leave a request for the engine that owns a run."""
        ...

    def take(self, run: str) -> list[Cancel]:
        """Take the requests left for a run, oldest first; each is given once."""
        ...

    def hurry(self) -> None:
        """Until it is closed, wait for nothing any longer than seconds: what cannot be done by then raises
        UnreachableError.

        A call that waits already, in whichever thread, ends as soon. May be called from a signal handler.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Archive(Protocol):
    """Where executed notebooks and pages are published."""

    def check(self) -> None:
        """Raise UnreachableError where nothing can be written."""
        ...

    def publish(self, path: str, data: bytes) -> ArchivedFile:
        """Write a file whole or not at all, durably."""
        ...


class Listener(Protocol):
    """Somebody who watches events once they are kept: the terminal, a log, a caller of the API."""

    def __call__(self, stamped: Stamped) -> None: ...
