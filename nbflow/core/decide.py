"""The heart: what follows from a message, and what then follows from the state.

`react(state, message, now)` is what the engine calls: `decide` answers the message, `advance` adds what has become
possible, until nothing more follows. Both only read the state; `evolve` changes it between them. Pure: time comes
with the message, chance is a hash of the attempt's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from typing import assert_never

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.dispatch import next_task
from nbflow.core.ids import attempt_id
from nbflow.core.matrix import Copy
from nbflow.core.plan import Action, PlannedTask
from nbflow.core.pools import ALONE, Turns
from nbflow.core.resolve import Refused, list_copies, resolve_task
from nbflow.core.runstate import counted
from nbflow.core.spec import Backoff, RetryPolicy, RunIf
from nbflow.core.state import RunState, TaskRun, evolve
from nbflow.core.status import TaskState
from nbflow.core.trigger import stands_against

LONGEST_DELAY = 3600.0
"""Seconds that exponential backoff never exceeds, unless `retry_delay` itself is longer."""

JITTER = 0.25
"""A retry comes up to this part of its delay later, never sooner."""

MOST_TOLD = 2_000_000
"""Characters that the history of a run keeps of what an attempt prints while it goes on, about."""

DROPPED = "for_each has this item no more"

FATES = {
    TaskState.SUCCEEDED: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "was skipped",
    TaskState.UPSTREAM_FAILED: "could not run",
    TaskState.CANCELLED: "was cancelled",
}
"""What reasons say of an upstream that has ended."""


def react(state: RunState, messages: Iterable[msg.Message], now: datetime, turns: Turns = ALONE) -> list[ev.Stamped]:
    """All events that follow from some messages that came together; the state has evolved by them when it returns.

    `turns`: what other runs leave of the pools.
    """
    stamped: list[ev.Stamped] = []

    def keep(events: Iterable[ev.Event]) -> bool:
        before = len(stamped)
        for event in events:
            stamped.append(ev.Stamped(run=state.run, seq=state.seq + 1, at=now, event=event))
            evolve(state, stamped[-1])
        return len(stamped) > before

    for message in messages:
        keep(decide(state, message, now))
    while keep(events := advance(state, now, turns)):
        turns = turns.after(state, events, now)
    return stamped


def next_wakeup(state: RunState) -> datetime | None:
    """The instant at which time alone makes something happen: a retry, or the run's time limit."""
    due = [] if _stopping(state) else [entry[0] for entry in state.retrying[:1]]
    if (deadline := _deadline(state)) is not None and state.stop is None:
        due.append(deadline)
    return min(due, default=None)


def decide(state: RunState, message: msg.Message, now: datetime) -> list[ev.Event]:
    """The direct answer to one message. Late and doubled reports of old attempts are answered with nothing."""
    match message:
        case msg.Start():
            return [ev.RunStarted(owner=message.owner)] if state.ended_at is None else []
        case msg.Resume():
            return _resume(state, message)
        case msg.Cancel():
            return _cancel(state, message)
        case msg.Tick():
            return []
        case _:
            return _report(state, message, now) if _is_current(state, message) else []


def _is_current(state: RunState, report: msg.Report) -> bool:
    """Whether a report is of the attempt that counts; the attempt's number is its fence."""
    return report.task in state.live and state.tasks[report.task].attempt == report.attempt


def _report(state: RunState, report: msg.Report, now: datetime) -> list[ev.Event]:
    match report:
        case msg.Started():
            return _started(state, report)
        case msg.CellStart():
            return [
                ev.CellStarted(
                    task=report.task,
                    attempt=report.attempt,
                    cell=report.cell,
                    number=report.number,
                    title=report.title,
                )
            ]
        case msg.CellOutput():
            return _told(state, report)
        case msg.CellDone():
            return [
                ev.CellEnded(
                    task=report.task,
                    attempt=report.attempt,
                    cell=report.cell,
                    number=report.number,
                    state=report.state,
                    duration=report.duration,
                    preview=report.preview,
                )
            ]
        case msg.Finished():
            return _finish(state, report.task, report.outcome, now)
        case msg.Lost():
            error = TaskError(kind=ErrorKind.LOST, message=report.message)
            return _finish(state, report.task, Outcome(verdict=Verdict.FAILED, error=error), now)
        case _:
            assert_never(report)


def _told(state: RunState, report: msg.CellOutput) -> list[ev.Event]:
    """Text for those who watch, until there is enough of it; nothing is decided by it."""
    if state.tasks[report.task].attempts[-1].told > MOST_TOLD:
        return []
    told = ev.CellOutput(
        task=report.task, attempt=report.attempt, cell=report.cell, number=report.number, text=report.text
    )
    return [told]


def _started(state: RunState, report: msg.Started) -> list[ev.Event]:
    if state.tasks[report.task].attempts[-1].started is not None:
        return []
    started = ev.AttemptStarted(
        task=report.task,
        attempt=report.attempt,
        pid=report.pid,
        host=report.host,
        kernel=report.kernel,
        cells=report.cells,
    )
    return [started]


def _finish(state: RunState, name: str, outcome: Outcome, now: datetime) -> list[ev.Event]:
    """An attempt has ended: record it, and settle what becomes of its task."""
    task = state.tasks[name]
    if outcome.verdict is Verdict.CANCELLED and state.stop_error is not None:
        outcome = _failed(outcome, state.stop_error)
    elif outcome.verdict is Verdict.CANCELLED and state.stop is None:
        text = "the worker was stopped from outside of nbflow"
        outcome = _failed(outcome, TaskError(kind=ErrorKind.LOST, message=text))
    ended = ev.AttemptEnded(task=name, attempt=task.attempt, outcome=outcome)
    return [ended, _settle(state, name, task, outcome, now)]


def _failed(outcome: Outcome, error: TaskError) -> Outcome:
    return Outcome(
        verdict=Verdict.FAILED,
        error=error,
        cells=outcome.cells,
        files=outcome.files,
        duration=outcome.duration,
        kernel=outcome.kernel,
        left_behind=outcome.left_behind,
    )


def _settle(state: RunState, name: str, task: TaskRun, outcome: Outcome, now: datetime) -> ev.Event:
    if outcome.verdict is Verdict.SUCCEEDED:
        return ev.TaskSucceeded(task=name)
    if outcome.verdict is Verdict.CANCELLED or _went_down_with(state, outcome):
        return ev.TaskCancelled(task=name, reason=_stop_reason(state))
    error = outcome.error or TaskError(kind=ErrorKind.LOST, message="the attempt failed without saying why")
    policy = task.planned.retry
    if task.tries <= policy.retries and _is_retried(policy, error) and not _stopping(state):
        delay = retry_delay(policy, task.tries, attempt_id(state.run, name, task.attempt))
        return ev.RetryScheduled(
            task=name,
            attempt=task.attempt,
            due=now + timedelta(seconds=delay),
            reason=f"attempt {task.attempt} failed ({error.kind.value}); retry {task.tries} of {policy.retries}",
        )
    reason = f"failed after {task.tries} attempts" if task.tries > 1 else "failed"
    is_named = task.tries > policy.retries or _is_retried(policy, error) or _stopping(state)
    why = error.kind.value if is_named else f"{error.kind.value}, which retry_on does not name"
    return ev.TaskFailed(task=name, reason=f"{reason}: {why}", error=error)


def _went_down_with(state: RunState, outcome: Outcome) -> bool:
    """Whether an attempt was lost in an interrupted run: with its engine, say. Its notebook has failed at nothing."""
    interrupted = state.stop is not None and state.stop.mode is msg.StopMode.INTERRUPT
    return interrupted and outcome.error is not None and outcome.error.kind is ErrorKind.LOST


def _is_retried(policy: RetryPolicy, error: TaskError) -> bool:
    return not policy.on or any(_names(one, error) for one in policy.on)


def _names(wanted: str, error: TaskError) -> bool:
    """Whether a name of `retry_on` is that of an error. Kernels tell a class without its module."""
    kind, _, ename = wanted.partition(":")
    return kind == error.kind.value and (not ename or error.ename in (ename, ename.rpartition(".")[2]))


def retry_delay(policy: RetryPolicy, tries: int, attempt: str) -> float:
    """Seconds to wait after the `tries`-th failure; the jitter is a hash of the attempt's name."""
    delay = policy.delay
    if policy.backoff is Backoff.EXPONENTIAL:
        delay = min(delay * 2.0 ** min(tries - 1, 30), max(LONGEST_DELAY, delay))
    part = int.from_bytes(sha256(attempt.encode()).digest()[:4]) / 2**32
    return delay * (1 + JITTER * part)


def _resume(state: RunState, message: msg.Resume) -> list[ev.Event]:
    """Everything that did not succeed and is not left out, by the plan or by a list, is pending again. Nothing may be
    live.
    """
    if state.live:
        return []
    tasks = tuple(
        name
        for name, task in state.tasks.items()
        if task.state is not TaskState.SUCCEEDED
        and task.planned.action is not Action.SKIP
        and not (task.state is TaskState.SKIPPED and name in state.dropped)
    )
    return [ev.RunResumed(tasks=tasks, reason=message.reason)] if tasks else []


def _cancel(state: RunState, message: msg.Cancel) -> list[ev.Event]:
    """Ask the run to stop, or, once it is stopping, to stop harder; the first mode stays."""
    if state.ended_at is not None:
        return []
    if state.stop is not None and (state.stop.force or not message.force):
        return []
    mode = message.mode if state.stop is None else state.stop.mode
    events: list[ev.Event] = [ev.CancelRequested(mode=mode, by=message.by, force=message.force)]
    return events + _kills(state, force=message.force)


def _kills(state: RunState, *, force: bool) -> list[ev.Event]:
    return [ev.KillRequested(task=name, attempt=state.tasks[name].attempt, force=force) for name in state.live]


def advance(state: RunState, now: datetime, turns: Turns = ALONE) -> list[ev.Event]:
    """What the state itself asks for now; empty once nothing more follows."""
    if state.ended_at is not None or state.started_at is None:
        return []
    if not state.open:
        return [ev.RunFinished(state=state.verdict.value)]
    if planned := [name for name in state.judged if state.tasks[name].planned.action is not Action.RUN]:
        return [_as_planned(state.tasks[name].planned) for name in planned]
    if (deadline := _deadline(state)) is not None and now >= deadline and state.stop is None:
        return _cancel(state, msg.Cancel(mode=msg.StopMode.TIMEOUT, by="the run's time limit"))
    if _stopping(state):
        return list(_cancel_waiting(state))
    if state.judged:
        return _judged(state)
    if state.retrying and state.retrying[0][0] <= now:
        return [_queue_again(state.tasks[state.retrying[0][2]])]
    if (name := next_task(state, turns)) is not None:
        return [ev.AttemptSubmitted(task=name, attempt=state.tasks[name].attempt + 1)]
    return []


def _deadline(state: RunState) -> datetime | None:
    timeout = state.created.settings.timeout
    if timeout is None or state.limit_from is None:
        return None
    return state.limit_from + timedelta(seconds=timeout)


def _stopping(state: RunState) -> bool:
    failing_fast = state.created.settings.fail_fast and state.failing is not None
    return state.stop is not None or failing_fast


def _stop_reason(state: RunState) -> str:
    if state.stop is None:
        return f"fail-fast: '{state.failing}' failed"
    match state.stop.mode:
        case msg.StopMode.CANCEL:
            return f"cancelled by {state.stop.by}"
        case msg.StopMode.INTERRUPT:
            return f"interrupted by {state.stop.by}"
        case msg.StopMode.TIMEOUT:
            return "the run's time limit has passed"
        case _:
            assert_never(state.stop.mode)


def _cancel_waiting(state: RunState) -> Iterator[ev.Event]:
    """Cancel what has not begun. What runs ends by itself: with fail-fast, or as it was told."""
    reason = _stop_reason(state)
    for name in state.open:
        if name not in state.live:
            yield ev.TaskCancelled(task=name, reason=reason)


def _as_planned(planned: PlannedTask) -> ev.Event:
    """Left out, or reused: whatever happens to the run, a stop included."""
    name, reason = planned.name, planned.reason
    if planned.reused_from is None:
        return ev.TaskSkipped(task=name, reason=reason)
    return ev.TaskReused(task=name, reason=reason, reused_from=planned.reused_from, outputs=planned.outputs)


def _judged(state: RunState) -> list[ev.Event]:
    """What becomes of the tasks whose upstreams have decided; with fail-fast nothing more after a failure."""
    events: list[ev.Event] = []
    listed: set[str] = set()
    why = cache(partial(_because, state))  # many wait for the same, and there may be thousands that stand against them
    for name, verdict in state.judged.items():
        base = state.tasks[name].planned.base
        if base in listed:  # what becomes of its copies depends on its new list
            continue
        events.append(_as_judged(state, name, verdict, why))
        if isinstance(events[-1], ev.TaskExpanded):
            listed.add(base)
        if isinstance(events[-1], ev.TaskFailed) and state.created.settings.fail_fast:
            break
    return events


def _as_judged(state: RunState, name: str, verdict: TaskState, why: Callable[[Sequence[str], RunIf], str]) -> ev.Event:
    if verdict is TaskState.QUEUED:
        return _admit(state, name)
    if name in state.dropped:
        return ev.TaskSkipped(task=name, reason=DROPPED)
    planned = state.tasks[name].planned
    reason = why(planned.waits_for, planned.run_if)
    if verdict is TaskState.SKIPPED:
        return ev.TaskSkipped(task=name, reason=reason)
    return ev.TaskBlocked(task=name, reason=reason)


def _admit(state: RunState, name: str) -> ev.Event:
    """Its upstreams allow it; now its list, `when` and the parameters have their say."""
    planned = state.tasks[name].planned
    try:
        if planned.is_list or planned.base in state.stale:
            return _expand(planned, list_copies(state, planned))
        if name in state.dropped:
            return ev.TaskSkipped(task=name, reason=DROPPED)
        params = resolve_task(state, planned)
    except Refused as refused:
        if refused.skip:
            return ev.TaskSkipped(task=name, reason=refused.message)
        error = TaskError(kind=ErrorKind.START_FAILED, message=refused.message)
        return ev.TaskFailed(task=name, reason="it could not begin", error=error)
    return ev.TaskQueued(task=name, reason=planned.reason, params=params)


def _expand(planned: PlannedTask, copies: tuple[Copy, ...]) -> ev.TaskExpanded:
    items = "1 item" if len(copies) == 1 else f"{len(copies):,} items"
    reason = f"for_each has {items}" if copies else "for_each has no items: there is nothing to run"
    return ev.TaskExpanded(task=planned.base, reason=reason, copies=copies)


def _queue_again(task: TaskRun) -> ev.Event:
    return ev.TaskQueued(task=task.planned.name, reason=task.reason, params=task.params)


def _because(state: RunState, waits_for: Sequence[str], rule: RunIf) -> str:
    """Why a task does not run, by its rule and the upstreams that stand against it."""
    culprits = [f"{name} {FATES[one]}" for name, one in counted(state, waits_for).items() if stands_against(rule, one)]
    more = f" and {len(culprits) - 3} more" if len(culprits) > 3 else ""
    condition = "" if rule is RunIf.ALL_SUCCESS else f" ({rule.value})"
    return f"{', '.join(culprits[:3])}{more}{condition}"
