"""Runs whose process has died: brought to their end as interrupted, with the notebooks as far as they came. Those that
had ended get what is missing of their archive.

Done by whoever comes next, so that nothing of them keeps running, no slot stays taken and no task is shown as running;
`nbflow resume` goes on with them. Must not know projects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nbflow.archive import layout
from nbflow.core.rows import RunRow
from nbflow.core.state import RunState
from nbflow.engine.effects import journal_path
from nbflow.engine.loop import Ports
from nbflow.engine.owner import this_process
from nbflow.engine.recovery import interruption, recover
from nbflow.errors import NbflowError, UnreachableError
from nbflow.execution import carry_out, released
from nbflow.runs import Runs
from nbflow.worker.journal import is_in_use

MOST_EVENTS = 20_000
"""The end of a longer run takes seconds: it is left to those who mean it."""


def end_dead(
    rows: Iterable[RunRow],
    runs: Runs,
    ports: Callable[[], Ports],
    check_archive: Callable[[str], None],
    failed: dict[str, UnreachableError],
) -> list[str]:
    """End dead runs in passing, and tell which; `ports` gives what an engine needs for one of them.

    Of those that had ended, only the archive is completed; they are not told.

    Left as they are, and only shown: those whose workers are still saving their notebooks, unless they have been at it
    for longer than a lease lasts and so hang; those at which somebody else is already; those that are long; and all
    where nothing can be written: why is then in `failed`, by their ids.
    """
    ended = []
    for row in rows:
        try:
            if row.seq <= MOST_EVENTS:
                check_archive(layout.run_folder(row.pipeline, row.run))
                if (row.lapsed or not _is_being_saved(runs.state(row))) and end(row, runs, ports()):
                    ended.append(row.run)
            failed.pop(row.run, None)
        except UnreachableError as error:
            failed[row.run] = error
        except NbflowError:
            continue
    return ended


def cause(row: RunRow) -> str:
    """Why nobody carries out a run that has begun: an owner that ends itself gives it back."""
    return "its process had given it up" if row.owner is None else "its process had died"


def end(row: RunRow, runs: Runs, ports: Ports) -> bool:
    """End a dead run, and say whether it had not ended. Workers that still live get time to save their notebooks first.

    Raises ConflictError where somebody has it after all, UnreachableError where it cannot be written.
    """
    try:
        owner = this_process()
        fence = runs.store.claim(row.run, owner, runs.alive)
        with released(runs.store, row.run, fence):
            state = runs.state(row)
            if state.ended_at is not None:  # what its process did not come to after the last event
                ports.seal(state)
                return False
            carry_out(state, fence, interruption(state, recover(state, ports.executor), owner), ports, None)
            return True
    finally:
        ports.executor.close()


def _is_being_saved(state: RunState) -> bool:
    """Whether a worker of a run is at its notebook: it has lost its engine, and will be gone in a moment."""
    return any(is_in_use(journal_path(state, name, state.tasks[name].attempt)) for name in state.live)
