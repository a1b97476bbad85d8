"""The parameters of a task once its upstreams have ended, and its `when`: expressions meet their values.

Pure. Must not decide what becomes of the task; a refusal says why and whether it is a skip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from nbflow.core.expr import ExprError, parse_expression, references
from nbflow.core.params import task_params
from nbflow.core.plan import PlannedTask
from nbflow.core.state import RunState
from nbflow.core.status import TaskState
from nbflow.core.values import InexactValueError, decode, encode


class Refused(Exception):
    """A task may not run: its `when` is false (`skip`), or an expression has no value."""

    def __init__(self, message: str, *, skip: bool) -> None:
        super().__init__(message)
        self.message = message
        self.skip = skip


def run_scope(run: str, logical_date: datetime, timezone: str) -> dict[str, Any]:
    """What expressions see as `run`: its date is that of the logical date in the project's zone."""
    local = logical_date.astimezone(ZoneInfo(timezone))
    return {"id": run, "date": local.date(), "logical_date": logical_date.astimezone(UTC), "partition": None}


def resolve_task(state: RunState, planned: PlannedTask) -> dict[str, Any]:
    """The final parameters of a task, encoded. Raises Refused.

    The notebook gets what it declares of the run's parameters, over them the values of its copy's axes, over both the
    task's own parameters.
    """
    own = {name: decode(value) for name, value in planned.params.items()}
    if planned.when is None and not own:
        accepted = set(planned.accepts)
        given = {**state.created.params, **planned.matrix}
        return {name: value for name, value in given.items() if name in accepted}
    try:
        _check_when(state, planned)
        scope = _scope(state, planned, references(own))
        values = task_params(planned.accepts, {**scope["params"], **scope["matrix"]}, own, scope)
        return {name: encode(value, name=name) for name, value in values.items()}
    except (ExprError, InexactValueError) as error:
        raise Refused(str(error), skip=False) from error


def _check_when(state: RunState, planned: PlannedTask) -> None:
    """Raises Refused where `when` is false, or has no value."""
    if planned.when is None:
        return
    try:
        condition = parse_expression(planned.when)
        holds = condition.evaluate(_scope(state, planned, references(condition)))
    except ExprError as error:
        raise Refused(f"when: {error}", skip=False) from error
    if not holds:
        raise Refused(f"when is false: {planned.when}", skip=True)


def _scope(state: RunState, planned: PlannedTask, names: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    created = state.created
    return {
        "params": {name: decode(value) for name, value in created.params.items()},
        "run": run_scope(created.run, created.logical_date, created.settings.timezone),
        "tasks": {
            name[1]: {"outputs": _outputs(state, name[1])}
            for name in names
            if name[0] == "tasks" and name[1] in state.copies
        },
        "matrix": {name: decode(value) for name, value in planned.matrix.items()},
        "env": dict(created.settings.env),
    }


def _outputs(state: RunState, base: str) -> Mapping[str, Any]:
    """The outputs of a task by name; of one with copies, lists in the order of the copies (None where one has none)."""
    copies = [state.tasks[name] for name in state.copies[base]]
    given = [
        {key: decode(value) for key, value in task.outputs.items()} if task.state is TaskState.SUCCEEDED else {}
        for task in copies
    ]
    if not copies[0].planned.matrix:
        return given[0]
    keys = dict.fromkeys(key for one in given for key in one)
    return {key: [one.get(key) for one in given] for key in keys}
