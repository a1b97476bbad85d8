"""What is to be said of the attempts that an engine left behind when it died: to go on, or to end its run.

The reports are those of the executor that looks after them; from there all goes as usual.
"""

from __future__ import annotations

from collections.abc import Iterable

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.messages import Cancel, Finished, Message, Start, StopMode
from nbflow.core.ports import Executor
from nbflow.core.state import RunState
from nbflow.engine.effects import work_order

GONE = "the process that ran it is gone"
END = "the end of its process"


def recover(state: RunState, executor: Executor) -> list[Finished]:
    """A report for each attempt that was going on when the run's engine died: its notebook is saved, then it is lost.

    Called by the one that owns the run now; nothing else can be at these attempts.
    """
    return [
        Finished(task=name, attempt=state.tasks[name].attempt, outcome=executor.recover(work_order(state, name), GONE))
        for name in state.live
    ]


def presumed(state: RunState) -> list[Finished]:
    """The same without a look at what is there: for those who may only read."""
    outcome = Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=GONE))
    return [Finished(task=name, attempt=state.tasks[name].attempt, outcome=outcome) for name in state.live]


def interruption(state: RunState, reports: Iterable[Finished], owner: str) -> list[Message]:
    """What ends the run of a dead engine as interrupted: what was lost with it is cancelled, as all that is open is.

    One that it had not come to begin is begun for that by `owner`.
    """
    begin = [Start(owner=owner)] if state.started_at is None else []
    return [Cancel(mode=StopMode.INTERRUPT, by=END), *reports, *begin]
