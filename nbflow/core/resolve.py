"""The parameters of a task once its upstreams have ended, its `when` and its list: expressions meet their values.

Pure. Must not decide what becomes of the task; a refusal says why and whether it is a skip.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from nbflow.core.expr import ExprError, parse_expression, references, render
from nbflow.core.items import ITEM, name_items
from nbflow.core.matrix import Copy
from nbflow.core.params import task_params
from nbflow.core.plan import PlannedTask
from nbflow.core.runstate import PLACES, RunState
from nbflow.core.status import TaskState
from nbflow.core.values import InexactValueError, decode, encode


class Refused(Exception):
    """A task may not run: its `when` is false (`skip`), or an expression has no value that it could run with."""

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

    The notebook gets what it declares of the run's parameters, over them the values of its copy's axes, or its item,
    over both the task's own parameters.
    """
    own = {name: decode(value) for name, value in planned.params.items()}
    if planned.when is None and not own:
        accepted = set(planned.accepts)
        given = {**state.created.params, **planned.matrix, **planned.item}
        return {name: value for name, value in given.items() if name in accepted}
    try:
        _check_when(state, planned)
        scope = _scope(state, planned, references(own))
        item = {ITEM: scope[ITEM]} if ITEM in scope else {}
        values = task_params(planned.accepts, {**scope["params"], **scope["matrix"], **item}, own, scope)
        return {name: encode(value, name=name) for name, value in values.items()}
    except (ExprError, InexactValueError) as error:
        raise Refused(str(error), skip=False) from error


def list_copies(state: RunState, planned: PlannedTask) -> tuple[Copy, ...]:
    """The copies of a task with `for_each`, now that its upstreams have ended. Raises Refused.

    A `when` that does not read `item` is asked before the list is made, one that does for each copy. Copies that there
    were before the list had to be made anew keep their names.
    """
    if planned.when is not None and not _reads_item(planned.when):
        _check_when(state, planned)
    made = [state.tasks[name].planned for name in state.made.get(planned.base, ())]
    known = [Copy(name=one.name, slug=one.slug, values=one.item) for one in made]
    try:
        copies = name_items(planned.base, _items(state, planned), known)
    except (ExprError, InexactValueError) as error:
        raise Refused(f"for_each: {error}", skip=False) from error
    if planned.only is not None:
        return _only(planned.only, copies)
    if len({copy.name for copy in (*known, *copies)}) > PLACES:
        raise Refused(f"for_each: its lists have made more than {PLACES:,} copies in this run", skip=False)
    return copies


def _items(state: RunState, planned: PlannedTask) -> list[Any] | tuple[Any, ...]:
    """The list itself. Raises Refused for what is none, or too long, and ExprError."""
    source = decode(planned.for_each)
    items = render(source, _scope(state, planned, references(source)))
    if not isinstance(items, list | tuple):
        advice = "; sorted(...) makes a list of it in the notebook" if isinstance(items, set | frozenset) else ""
        what = "nothing (None)" if items is None else f"a {type(items).__name__}"
        raise Refused(f"for_each: `{_short(source)}` gives {what}, and no list{advice}", skip=False)
    if len(items) > planned.max_items:
        more = f"max_items = {len(items)} for the task would allow it"
        raise Refused(
            f"for_each: the list has {len(items):,} items, and at most {planned.max_items:,} are allowed; {more}",
            skip=False,
        )
    return items


def _only(name: str, copies: tuple[Copy, ...]) -> tuple[Copy, ...]:
    found = tuple(copy for copy in copies if copy.name == name)
    if not found:
        there = ", ".join(copy.name for copy in copies[:20]) or "none"
        raise Refused(f"for_each gives no copy '{name}'; there are: {there}", skip=False)
    return found


def _reads_item(condition: str) -> bool:
    try:
        return (ITEM,) in references(parse_expression(condition))
    except ExprError:
        return False  # asking it will say what is wrong with it


def _short(source: Any) -> str:
    text = str(source)
    return text if len(text) <= 100 else f"{text[:100]}..."


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


def _scope(state: RunState, planned: PlannedTask, names: Collection[tuple[str, ...]]) -> dict[str, Any]:
    """What expressions see that read these names."""
    created = state.created
    read: dict[str, list[str]] = {}
    for path in names:
        if path[0] == "tasks" and path[1] in state.copies:
            read.setdefault(path[1], []).append(path[3])
    return {
        "params": {name: decode(value) for name, value in created.params.items()},
        "run": run_scope(created.run, created.logical_date, created.settings.timezone),
        "tasks": {base: {"outputs": _outputs(state, base, wanted)} for base, wanted in read.items()},
        "matrix": {name: decode(value) for name, value in planned.matrix.items()},
        **{name: decode(value) for name, value in planned.item.items()},
        "env": dict(created.settings.env),
    }


def _outputs(state: RunState, base: str, wanted: Collection[str]) -> Mapping[str, Any]:
    """The outputs of a task by name; of one with copies, lists in the order of the copies (None where one has none).

    Only those that are wanted are decoded. Of copies that there are none of, every output is an empty list.
    """
    copies = [state.tasks[name] for name in state.copies[base]]
    given = [task.outputs if task.state is TaskState.SUCCEEDED else {} for task in copies]
    keys = dict.fromkeys(key for one in given for key in one)
    if not copies or (copies[0].planned.is_list and copies[0].state is TaskState.SUCCEEDED and not keys):
        return {key: [] for key in wanted}
    if copies[0].planned.is_copy:
        return {key: [_decoded(key, one, wanted) for one in given] for key in keys}
    return {key: _decoded(key, given[0], wanted) for key in keys}


def _decoded(key: str, outputs: Mapping[str, Any], wanted: Collection[str]) -> Any:
    return decode(outputs[key]) if key in wanted and key in outputs else None
