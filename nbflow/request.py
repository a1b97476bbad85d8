"""The run that is made of a `Request`: parameters typed, tasks selected, the plan frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from nbflow.archive import layout
from nbflow.asked import Request
from nbflow.core.addresses import is_url
from nbflow.core.events import RunCreated, Settings
from nbflow.core.expr import references
from nbflow.core.ids import run_id
from nbflow.core.params import parse_text, resolve
from nbflow.core.plan import Plan, PlannedTask, Source, make_plan, task_references
from nbflow.core.resolve import run_scope
from nbflow.core.rows import Past
from nbflow.core.secrets import withheld
from nbflow.core.selection import Facts, Previous, select
from nbflow.core.spec import EMPTY, Param, ParamType, Pipeline, ProjectSpec, RetryPolicy
from nbflow.core.values import encode, plain
from nbflow.errors import NotFoundError, UsageError
from nbflow.runs import Likeness


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What earlier runs say: the newest success of a task, the newest run as a whole, and what tasks took, in seconds
    by name.
    """

    past: Callable[[PlannedTask], Past | None]
    previous: Callable[[], Previous | None]
    seconds: Callable[[], Mapping[str, float]] = dict


def plan_run(pipeline: Pipeline, request: Request, sources: Mapping[str, Source], history: History) -> Plan:
    """The plan of a request. Raises UsageError and NotFoundError for a selection that cannot be met."""
    facts = Facts()
    if any(":" in term for term in (*request.select, *request.exclude)):
        hashes = {task.name: sources.get(task.notebook, Source()).sha256 for task in pipeline.tasks.values()}
        facts = Facts(previous=history.previous(), sources=hashes)
    chosen = select(pipeline, request.select, request.exclude, facts)
    seconds = history.seconds() if len(chosen) > 1 else EMPTY
    return make_plan(pipeline, selected=chosen, sources=sources, past=history.past, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a run rests on before it is planned. `env` holds the variables that its expressions read."""

    run: str
    logical_date: datetime
    params: Mapping[str, Any]
    env: Mapping[str, str]


def make_basis(spec: ProjectSpec, pipeline: Pipeline, request: Request, now: datetime) -> Basis:
    """Name, date and parameters of a run that is made now. Raises UsageError for what does not fit."""
    if request.jobs is not None and request.jobs < 1:
        raise UsageError(f"jobs is {request.jobs}: at least one task has to run at a time")
    name = run_id(pipeline.name, now, spec.timezone, uuid4().hex)
    logical_date = (to_instant(request.logical_date, spec.timezone) or now).replace(microsecond=0)
    env = _environment(pipeline)
    scope = {"run": run_scope(name, logical_date, spec.timezone), "env": env}
    params = resolve(pipeline.params, _typed(pipeline.params, request), scope)
    return Basis(run=name, logical_date=logical_date, params=params, env=env)


def likeness(spec: ProjectSpec, pipeline: Pipeline, request: Request, basis: Basis) -> Likeness:
    """What an earlier run must have in common with this one, so that its results may be taken.

    Parameters that are named after the run itself differ by their nature and do not count.
    """
    given = {**request.params, **request.texts}
    own = {name for name, param in pipeline.params.items() if name not in given and _names_its_run(param)}
    return Likeness(
        date=run_scope(basis.run, basis.logical_date, spec.timezone)["date"],
        timezone=spec.timezone,
        params={name: plain(value) for name, value in basis.params.items() if name not in own},
    )


def _names_its_run(param: Param) -> bool:
    return not {("run", "id"), ("run", "logical_date")}.isdisjoint(references([param.default]))


def make_run(
    spec: ProjectSpec, pipeline: Pipeline, request: Request, basis: Basis, plan: Plan, *, facts: Mapping[str, Any]
) -> RunCreated:
    """The first event of a run."""
    return RunCreated(
        run=basis.run,
        pipeline=pipeline.name,
        logical_date=basis.logical_date,
        plan=plan,
        params={key: encode(value) for key, value in basis.params.items()},
        trigger=request.trigger,
        settings=Settings(
            root=spec.root,
            outputs=spec.outputs if is_url(spec.outputs) else relative(spec.outputs, spec.root),
            spool=relative(spec.archive, spec.root) if is_url(spec.outputs) else None,
            folder=layout.run_folder(pipeline.name, basis.run),
            journals=f"{spec.local}/{layout.journal_folder(basis.run)}",
            timezone=spec.timezone,
            jobs=request.jobs or _cores(),
            fail_fast=request.fail_fast,
            max_parallel=pipeline.max_parallel,
            timeout=pipeline.timeout,
            pools=dict(spec.pools),
            env=basis.env,
            withheld=tuple(sorted(withheld(spec))),
            facts=facts,
        ),
    )


def relative(path: str, root: str) -> str:
    """A path as settings hold it: from the project's folder, POSIX style."""
    return os.path.relpath(path, root).replace(os.sep, "/")


def only(plan: Plan, copy: str) -> Plan:
    """The plan with every copy of a task but one left out. Raises NotFoundError where there is no such copy; of a task
    with `for_each` that is known later.
    """
    base = next((one.base for one in plan.tasks if one.name == copy), None)
    declared = copy.partition("[")[0]
    if any(one.name == declared and one.is_list for one in plan.tasks):
        return replace(
            plan, tasks=tuple(replace(one, only=copy) if one.name == declared else one for one in plan.tasks)
        )
    if base is None:
        there = ", ".join([one.name for one in plan.tasks if one.base == declared][:20])
        raise NotFoundError(f"pipeline '{plan.pipeline}' has no task '{copy}'", hint=f"there are: {there}")
    kept = tuple(one for one in plan.tasks if one.base != base or one.name == copy)
    names = {one.name for one in kept}
    return replace(
        plan,
        tasks=tuple(
            replace(
                one,
                upstream=tuple(up for up in one.upstream if up in names),
                waits_for=tuple(up for up in one.waits_for if up in names),
            )
            for one in kept
        ),
    )


def once(plan: Plan) -> Plan:
    """The plan without retries: of each task one attempt."""
    return replace(plan, tasks=tuple(replace(one, retry=RetryPolicy()) for one in plan.tasks))


def to_instant(value: date | datetime | None, timezone: str) -> datetime | None:
    """A date as midnight in a zone, a naive datetime as local time in it."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value if value.tzinfo is not None else value.replace(tzinfo=ZoneInfo(timezone))


def _typed(declared: Mapping[str, Param], request: Request) -> dict[str, Any]:
    """All given values; what is text for another declared type is read as the command line reads it."""
    given = {**request.params, **request.texts}
    faults = []
    for name, value in given.items():
        if name not in declared or not isinstance(value, str):
            continue
        kind = declared[name].type
        if name in request.texts or kind in (ParamType.DATE, ParamType.DATETIME, ParamType.PATH):
            try:
                given[name] = parse_text(value, kind)
            except ValueError as error:
                faults.append(f"parameter '{name}': {error}")
    if faults:
        raise UsageError("\n".join(faults))
    return given


def _environment(pipeline: Pipeline) -> dict[str, str]:
    """The variables that the pipeline's expressions read, as they are now."""
    defaults: Iterable[tuple[str, ...]] = references([param.default for param in pipeline.params.values()])
    names = {*defaults, *(name for task in pipeline.tasks.values() for name in task_references(task))}
    return {name[1]: os.environ[name[1]] for name in names if name[0] == "env" and name[1] in os.environ}


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
