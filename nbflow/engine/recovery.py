"""What a new engine has to say of the attempts that an old one left behind, so that the run goes on as usual."""

from __future__ import annotations

from nbflow.core.messages import Finished, Message
from nbflow.core.ports import Executor
from nbflow.core.state import RunState
from nbflow.engine.effects import work_order

GONE = "the process that ran it is gone"


def recover(state: RunState, executor: Executor) -> list[Message]:
    """A report for each attempt that was going on when the run's engine died: its notebook is saved, then it is lost.

    Called by the one that owns the run now; nothing else can be at these attempts.
    """
    return [
        Finished(task=name, attempt=state.tasks[name].attempt, outcome=executor.recover(work_order(state, name), GONE))
        for name in state.live
    ]
