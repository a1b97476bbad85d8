"""Documents that people, scripts and stores get of a run: the JSON shapes of interface.md section 4. Pure folds.

Values are shown readably here (`values.plain`); a document is for reading, never read back into a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from nbflow.core import codec
from nbflow.core import events as ev
from nbflow.core.attempt import Outcome
from nbflow.core.plan import Action, Plan, PlannedTask
from nbflow.core.rows import PoolUse, Projection, RunRow
from nbflow.core.state import RunState, TaskRun
from nbflow.core.status import TaskState
from nbflow.core.values import decode, plain

RUN_SCHEMA = "nbflow.run/1"
RUNS_SCHEMA = "nbflow.runs/1"


def instant(at: datetime | None) -> str | None:
    """`2026-01-31T02:00:00.123Z`: UTC, milliseconds."""
    return None if at is None else _text(at.astimezone(UTC), "milliseconds")


def date_instant(at: datetime) -> str:
    """`2026-01-31T05:00:00Z`: UTC, seconds; for logical dates."""
    return _text(at.astimezone(UTC), "seconds")


@lru_cache(maxsize=64)  # documents that are made together have many in common
def _text(at: datetime, timespec: str) -> str:
    """Of an instant in UTC only: in other zones, the two that an hour has which comes twice are equal."""
    return at.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def readable(encoded: Mapping[str, Any]) -> dict[str, Any]:
    """Encoded values as a document shows them."""
    return {name: plain(decode(value)) for name, value in encoded.items()}


def project(state: RunState, pools: tuple[PoolUse, ...] = ()) -> Projection:
    """What the store has to keep after the events since the last call; the caller clears `state.touched`."""
    positions = {state.index[name]: state.tasks[name] for name in state.touched}
    row = RunRow(
        run=state.run,
        pipeline=state.created.pipeline,
        state=state.status.value,
        created=state.created_at,
        document=run_summary(state),
        seq=state.seq,
    )
    return Projection(
        row=row,
        tasks={position: task_document(state, task) for position, task in positions.items()},
        outputs={position: task.outputs for position, task in positions.items() if task.state is TaskState.SUCCEEDED},
        pools=pools,
    )


def run_summary(state: RunState) -> dict[str, Any]:
    """The run document without `tasks`."""
    created = state.created
    return {
        "schema": RUN_SCHEMA,
        "run": state.run,
        "pipeline": created.pipeline,
        "state": state.status.value,
        "logical_date": date_instant(created.logical_date),
        "created": instant(state.created_at),
        "started": instant(state.started_at),
        "ended": instant(state.ended_at),
        "trigger": created.trigger,
        "stopped": state.stop.mode.value if state.stop is not None else None,
        "params": state.shown_params,
    }


def run_document(state: RunState) -> dict[str, Any]:
    """The run document: `nbflow.run/1`."""
    return {**run_summary(state), "tasks": [task_document(state, task) for task in state.tasks.values()]}


def task_document(state: RunState, task: TaskRun) -> dict[str, Any]:
    """One entry of `tasks` in the run document."""
    planned = task.planned
    return {
        "task": planned.name,
        "state": task.state.value,
        "reused_from": task.reused_from,
        "reason": task.reason,
        "attempts": len(task.attempts),
        "started": instant(task.started),
        "ended": instant(task.ended),
        "error": error_document(task),
        "outputs": readable(task.outputs) if task.state is TaskState.SUCCEEDED else {},
        "cells": cells_document(task),
        "notebook": _archived(state, task, ".ipynb"),
        "html": _archived(state, task, ".html"),
        "upstream": list(planned.upstream),
        "params": readable(task.params),
    }


def error_document(task: TaskRun) -> dict[str, Any] | None:
    """The `error` of a task; keys that do not apply are null."""
    error = task.error
    if error is None or task.state is TaskState.SUCCEEDED:
        return None
    return {
        "kind": error.kind.value,
        "message": error.message,
        "cell": error.cell,
        "ename": error.ename,
        "signal": error.signal,
    }


def cells_document(task: TaskRun) -> dict[str, int]:
    """The `cells` of a task."""
    cells = task.cells
    return {
        "total": cells.total,
        "ok": cells.ok,
        "failed": cells.failed,
        "skipped": cells.skipped,
        "not_run": cells.not_run,
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """The document of `plan --json`."""
    return {
        "pipeline": plan.pipeline,
        "tasks": [
            {
                "task": one.name,
                "action": one.action.value,
                "reason": _planned_reason(one),
                "upstream": list(one.upstream),
            }
            for one in plan.tasks
        ],
    }


def _planned_reason(one: PlannedTask) -> str:
    """Why, and of a task with `for_each` also when its copies will be known."""
    if one.action is not Action.RUN or not one.is_list:
        return one.reason
    when = "its upstreams have ended" if one.upstream else "the run begins"
    return f"{one.reason}; a copy for each item, known when {when}"


def event_document(stamped: ev.Stamped) -> dict[str, Any]:
    """The public JSON object of an event: `{"seq", "at", "type", "run", "task", ...}`."""
    event = stamped.event
    body: dict[str, Any]
    if isinstance(event, ev.RunCreated):
        body = {
            "pipeline": event.pipeline,
            "logical_date": date_instant(event.logical_date),
            "trigger": event.trigger,
            "params": readable(event.params),
            "tasks": [planned.name for planned in event.plan.tasks],
        }
    else:
        body = codec.dump(event, full=True)
        if isinstance(event, ev.TaskQueued):
            body["params"] = readable(event.params)
        elif isinstance(event, ev.TaskExpanded):
            body["copies"] = [{"task": one.name, "slug": one.slug, **readable(one.values)} for one in event.copies]
        elif isinstance(event, ev.TaskReused):
            body["outputs"] = readable(event.outputs)
        elif isinstance(event, ev.AttemptEnded):
            body["outcome"] = outcome_document(event.outcome)
        elif isinstance(event, ev.RetryScheduled):
            body["due"] = instant(event.due)
    return {
        "seq": stamped.seq,
        "at": instant(stamped.at),
        "type": ev.type_of(event),
        "run": stamped.run,
        "task": getattr(event, "task", None),
        **body,
    }


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """What an attempt came to, for people."""
    body: dict[str, Any] = codec.dump(outcome, full=True)
    return {**body, "outputs": readable(outcome.outputs)}


def _archived(state: RunState, task: TaskRun, suffix: str) -> str | None:
    """The path of an archived file of a task as users write it, from the project's folder; None while there is none."""
    settings = state.created.settings
    slug = task.planned.slug
    for attempt in reversed(task.attempts):
        if attempt.outcome is not None:
            # One that was adopted may have made way before: for a later attempt that the store does not know.
            names = (f"{settings.folder}/{slug}{suffix}", f"{settings.folder}/attempts/{slug}.{attempt.number}{suffix}")
            found = next((one.path for one in attempt.outcome.files if one.path in names), None)
            return f"{settings.outputs}/{found}" if found is not None else None
    return None
