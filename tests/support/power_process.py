"""An engine and an archive on a disk whose power is cut: like `engine_process`, and each attempt leaves a file.

`python -m support.power_process ROOT LEDGER SIZE SEED [CARELESS]`, from the folder of the tests. It says `begun`, then
each event as soon as the engine tells of it, as a line of JSON. The ledger should lie on another disk.

CARELESS plants a bug: `store` has SQLite sync nothing, `files` has the archive sync nothing.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from nbflow.archive.files import FileArchive
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.events import Stamped
from nbflow.core.messages import Resume, Start
from nbflow.core.state import fold
from nbflow.core.views import event_document
from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import Engine, Ports
from nbflow.engine.owner import is_alive, this_process
from nbflow.engine.recovery import recover
from nbflow.execution import record
from nbflow.store.sql import statements
from nbflow.store.sqlite import SqliteStore
from support.engine_process import RUN, Pretender, make

FOLDER = "sales/run"


class Publisher(Pretender):
    """Attempts that leave a file each, which is published before its attempt is reported."""

    def __init__(self, archive: FileArchive, ledger: Path, seed: int) -> None:
        super().__init__(ledger, seed, faults=True)
        self._archive = archive

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        """Nothing goes on where the power is cut."""
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))

    def _end(self, order: WorkOrder, outcome: Outcome) -> None:
        name = f"{order.task}.{order.attempt}.ipynb"
        file = self._archive.publish(f"{FOLDER}/{name}", content(name))
        super()._end(order, replace(outcome, files=(file,)))


def content(name: str) -> bytes:
    """What a file of that name holds if it is whole."""
    return random.Random(name).randbytes(20_000)


def no_sync_of_the_store() -> None:
    """Have SQLite leave it to the system when anything is written."""
    statements()["sync_each_commit"] = "PRAGMA synchronous = OFF"


def no_sync_of_files() -> None:
    """Have everything but SQLite do the same."""
    os.fsync = lambda _: None


CARELESS: dict[str, Callable[[], None]] = {"store": no_sync_of_the_store, "files": no_sync_of_files}


def tell(stamped: Stamped) -> None:
    """Say what happened: whoever reads this may rely on it."""
    print(json.dumps(event_document(stamped)), flush=True)


def main(root: str, ledger: str, size: str, seed: str, careless: str = "") -> None:
    """Carry the run out, to its end or to that of the power."""
    if careless:
        CARELESS[careless]()
    archive = FileArchive(Path(root, "outputs"))
    archive.check()
    with closing(SqliteStore(Path(root, "outputs/.nbflow/state.db"))) as store:
        is_new = store.run(RUN) is None
        if is_new:
            record(make("mixed", int(size), faults=True), store)
        owner = this_process()
        fence = store.claim(RUN, owner, is_alive)
        state = fold(store.events(RUN))
        executor = Publisher(archive, Path(ledger), int(seed))
        ports = Ports(store=store, executor=executor, clock=SystemClock(), seal=lambda _: None, listeners=[tell])
        print("begun", flush=True)
        again = [] if is_new or state.started_at is None else [Resume()]
        Engine(state, fence, ports).run([*recover(state, executor), *again, Start(owner=owner)])
        store.release(RUN, fence)


if __name__ == "__main__":
    main(*sys.argv[1:])
