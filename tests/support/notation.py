"""Messages and events as short lines, so that scenarios and tests can be read.

Messages: `start`, `resume`, `tick`, `cancel`, `interrupt`, `cancel force`, `started a/1`, `lost a/1`,
`cell a/1 3`, `said a/1 3 some words` and `celldone a/1 3 ok` (cell 3), `succeeded a/1 rows=10`, `failed a/1`,
`failed a/1 timeout`, `failed a/1 exception:ValueError`, `stopped a/1` (the worker ended because it was told to).
Events: `task_queued a`, `attempt_submitted a/1`, `retry_scheduled a/1 in 30.5 s: why`, ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import CellState, ErrorKind, Outcome, TaskError, Verdict


def parse_message(text: str) -> msg.Message:
    """The message that a line says. Raises ValueError for any other text."""
    word, *rest = text.split(" ")
    match word, rest:
        case "start", []:
            return msg.Start(owner="engine")
        case "resume", []:
            return msg.Resume()
        case "tick", []:
            return msg.Tick()
        case (("cancel" | "interrupt"), ([] | ["force"])):
            return msg.Cancel(mode=msg.StopMode(word), by="somebody", force=bool(rest))
        case _, [attempt, *more] if "/" in attempt:
            task, _, number = attempt.rpartition("/")
            return _report(word, task, int(number), more)
        case _:
            raise ValueError(f"no message: {text}")


def _report(word: str, task: str, attempt: int, rest: list[str]) -> msg.Report:
    match word, rest:
        case "started", []:
            return msg.Started(task=task, attempt=attempt, pid=100 + attempt, host="here", kernel="python3", cells=2)
        case "cell", [cell]:
            return msg.CellStart(task=task, attempt=attempt, cell=int(cell), number=int(cell), title="x = 1")
        case "celldone", [cell, state]:
            return msg.CellDone(
                task=task, attempt=attempt, cell=int(cell), number=int(cell), state=CellState(state), duration=0.5
            )
        case "said", [cell, *words]:
            return msg.CellOutput(task=task, attempt=attempt, cell=int(cell), number=int(cell), text=" ".join(words))
        case "lost", []:
            return msg.Lost(task=task, attempt=attempt, message="the worker is gone")
        case (("succeeded" | "failed" | "stopped"), _):
            return msg.Finished(task=task, attempt=attempt, outcome=_outcome(word, rest))
        case _:
            raise ValueError(f"no report: {word} {rest}")


def _outcome(word: str, rest: list[str]) -> Outcome:
    if word == "succeeded":
        return Outcome(verdict=Verdict.SUCCEEDED, outputs=_values(rest), duration=1.0)
    if word == "stopped":
        return Outcome(verdict=Verdict.CANCELLED, duration=1.0)
    kind, _, ename = (rest[0] if rest else "exception").partition(":")
    error = TaskError(kind=ErrorKind(kind), message="it broke", ename=ename or None)
    return Outcome(verdict=Verdict.FAILED, error=error, duration=1.0)


def _values(pairs: list[str]) -> Mapping[str, Any]:
    return {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def line(stamped: ev.Stamped) -> str:
    """One event as a line."""
    return f"{ev.type_of(stamped.event)} {_rest(stamped)}".rstrip()


def _rest(stamped: ev.Stamped) -> str:  # noqa: C901 - one line a type
    event = stamped.event
    match event:
        case ev.RunCreated():
            return event.run
        case ev.RunStarted():
            return ""
        case ev.RunResumed():
            return " ".join(event.tasks)
        case ev.CancelRequested():
            return event.mode.value + (" force" if event.force else "")
        case ev.RunFinished():
            return event.state
        case ev.TaskQueued():
            return " ".join([event.task, *(f"{key}={_shown(value)}" for key, value in event.params.items())])
        case ev.TaskReused():
            return f"{event.task} from {event.reused_from}"
        case ev.TaskSucceeded():
            return event.task
        case ev.TaskFailed():
            return f"{event.task}: {event.reason} ({event.error.message})"
        case ev.TaskSkipped() | ev.TaskBlocked() | ev.TaskCancelled():
            return f"{event.task}: {event.reason}"
        case ev.TaskExpanded():
            return " ".join([event.task, *(copy.name for copy in event.copies)])
        case ev.AttemptEnded():
            error = event.outcome.error
            return f"{event.task}/{event.attempt} {event.outcome.verdict}" + (f" {error.kind}" if error else "")
        case ev.RetryScheduled():
            wait = (event.due - stamped.at).total_seconds()
            return f"{event.task}/{event.attempt} in {wait:.1f} s: {event.reason}"
        case ev.KillRequested():
            return f"{event.task}/{event.attempt}" + (" force" if event.force else "")
        case ev.CellStarted():
            return f"{event.task}/{event.attempt} {event.cell}"
        case ev.CellOutput():
            return f"{event.task}/{event.attempt} {event.cell} {_shown(event.text)}"
        case ev.CellEnded():
            return f"{event.task}/{event.attempt} {event.cell} {event.state}"
        case ev.AttemptSubmitted() | ev.AttemptStarted():
            return f"{event.task}/{event.attempt}"


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
