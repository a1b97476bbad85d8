"""What a run will do and why: `make_plan(pipeline, request, sources, history) -> Plan`.

A plan is frozen in the run's first event and in `run.json`; whatever happens later to `pipelines.toml`, the run
goes on as planned. Must not know states of the run that it is made for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from nbflow.core import graph
from nbflow.core.expr import parse_expression, references
from nbflow.core.params import expand_matrix
from nbflow.core.rows import Past
from nbflow.core.spec import EMPTY, MAX_ITEMS, Limits, Pipeline, RetryPolicy, RunIf, Task
from nbflow.core.values import encode
from nbflow.errors import UsageError

SHORTEST = 0.001
"""Seconds that a task is taken to last at least: so that each counts."""


class Action(StrEnum):
    """What the plan has in mind for a task."""

    RUN = "run"
    REUSE = "reuse"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """One task run to be: a task, or one copy of it that `matrix` made, or a task whose copies `for_each` will make.

    `base` is the declared task. `upstream` holds the copies that it needs; `waits_for` those that are judged: where
    one of them does not run in this run, its own upstreams too. `params` are the task's own (encoded), templates
    included; `accepts` are the names that its notebook declares; `secrets` are references by environment variable.
    `weight` is what the longest path of tasks that run from here to an end takes: in seconds where there is a history,
    else in tasks.

    `for_each` is the list, or its template (encoded). When the upstreams have ended, copies take the task's place:
    each has its `item`, as `{"item": value}`, encoded. With `only` there is but the copy of that name.
    """

    name: str
    base: str
    slug: str
    notebook: str
    upstream: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    action: Action = Action.RUN
    reason: str = ""
    reused_from: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    accepts: tuple[str, ...] = ()
    matrix: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    for_each: Any = None
    max_items: int = MAX_ITEMS
    item: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    only: str | None = None
    kernel: str | None = None
    retry: RetryPolicy = RetryPolicy()
    limits: Limits = Limits()
    run_if: RunIf = RunIf.ALL_SUCCESS
    when: str | None = None
    pool: str | None = None
    slots: int = 1
    max_parallel: int | None = None
    tags: tuple[str, ...] = ()
    weight: float = 1
    sha256: str | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    description: str | None = None

    @property
    def is_copy(self) -> bool:
        """Whether it is one of several copies of a task."""
        return bool(self.matrix or self.item)

    @property
    def is_list(self) -> bool:
        """Whether it stands for copies that are not known yet, or that another run has made."""
        return self.for_each is not None and not self.item


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Planned tasks in topological order."""

    pipeline: str
    tasks: tuple[PlannedTask, ...]
    description: str | None = None


def to_run(tasks: Iterable[PlannedTask]) -> list[PlannedTask]:
    """Those that the plan means to run."""
    return [task for task in tasks if task.action is Action.RUN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is known of a notebook: the names that it declares as parameters, and the hash of its bytes."""

    accepts: tuple[str, ...] = ()
    sha256: str | None = None


def make_plan(
    pipeline: Pipeline,
    *,
    selected: Collection[str],
    sources: Mapping[str, Source],
    past: Callable[[PlannedTask], Past | None],
    seconds: Mapping[str, float] = EMPTY,
) -> Plan:
    """Plan a run of the tasks named in `selected` (declared names).

    `sources` is by notebook. A task that is not selected, but whose outputs a selected one reads, is reused from
    the newest run in which it succeeded, as `past` tells (of a task with `for_each`, `is_list`, all its copies did, and
    the outputs are lists). Raises UsageError where it never did. `seconds` are what tasks took before, by
    copy name, and by the name of a declared task for copies that are new.
    """
    needed = _read_outputs(pipeline, selected)
    draft: dict[str, PlannedTask] = {}
    copies: dict[str, tuple[str, ...]] = {}
    for name in graph.order({task.name: task.needs for task in pipeline.tasks.values()}):
        task = pipeline.tasks[name]
        upstream = tuple(copy for need in task.needs for copy in copies[need])
        planned = list(_copies(task, upstream, sources))
        if name in selected:
            planned = [replace(one, action=Action.RUN, reason=_reason(task)) for one in planned]
        elif name in needed:
            planned = [_reuse(one, needed[name], past(one)) for one in planned]
        else:
            planned = [replace(one, action=Action.SKIP, reason="not selected") for one in planned]
        copies[name] = tuple(one.name for one in planned)
        draft.update((one.name, replace(one, waits_for=_judged(one, draft))) for one in planned)
    edges = {name: one.waits_for for name, one in draft.items() if one.action is Action.RUN}
    weight = graph.weights(edges, list(edges), _costs([draft[name] for name in edges], seconds))
    return Plan(
        pipeline=pipeline.name,
        tasks=tuple(replace(one, weight=weight.get(name, 1)) for name, one in draft.items()),
        description=pipeline.description,
    )


def task_references(task: Task) -> frozenset[tuple[str, ...]]:
    """All names that the templates and the `when` of a task read, such as ("tasks", "clean", "outputs", "rows")."""
    found = references(dict(task.params)) | references(task.for_each)
    return found | references(parse_expression(task.when)) if task.when is not None else found


def _copies(task: Task, upstream: tuple[str, ...], sources: Mapping[str, Source]) -> Iterable[PlannedTask]:
    source = sources.get(task.notebook, Source())
    for copy in expand_matrix(task.name, task.matrix):
        yield PlannedTask(
            name=copy.name,
            base=task.name,
            slug=copy.slug,
            notebook=task.notebook,
            upstream=upstream,
            params={key: encode(value) for key, value in task.params.items()},
            accepts=source.accepts,
            matrix={key: encode(value) for key, value in copy.values.items()},
            for_each=None if task.for_each is None else encode(task.for_each),
            max_items=task.max_items,
            kernel=task.kernel,
            retry=task.retry,
            limits=task.limits,
            run_if=task.run_if,
            when=task.when,
            pool=task.pool,
            slots=task.slots,
            max_parallel=task.max_parallel,
            tags=task.tags,
            sha256=source.sha256,
            secrets=task.secrets,
            description=task.description,
        )


def _read_outputs(pipeline: Pipeline, selected: Collection[str]) -> dict[str, str]:
    """Tasks that are not selected, but whose outputs a selected one reads -> the name of that one."""
    found: dict[str, str] = {}
    for name in selected:
        for reference in task_references(pipeline.tasks[name]):
            if reference[0] == "tasks" and reference[1] in pipeline.tasks and reference[1] not in selected:
                found.setdefault(reference[1], name)
    return found


def _reuse(one: PlannedTask, reader: str, past: Past | None) -> PlannedTask:
    if past is None:
        raise UsageError(
            f"task '{reader}' reads outputs of '{one.name}', which is not selected and has not succeeded before "
            "with this date and these parameters",
            hint=f"select it too: --select +{reader}",
        )
    return replace(
        one,
        action=Action.REUSE,
        reason=f"not selected; '{reader}' reads its outputs: those of {past.run}",
        reused_from=past.run,
        outputs=past.outputs,
    )


def _judged(one: PlannedTask, draft: Mapping[str, PlannedTask]) -> tuple[str, ...]:
    """Upstreams that take part; one that does not run lets its own upstreams through, so that the order is kept."""
    found: dict[str, None] = {}
    for name in one.upstream:
        if draft[name].action is not Action.RUN:
            found.update(dict.fromkeys(draft[name].waits_for))
        if draft[name].action is not Action.SKIP:
            found[name] = None
    return tuple(found)


def _costs(tasks: Iterable[PlannedTask], seconds: Mapping[str, float]) -> dict[str, float]:
    """What each task will take, about: as long as before, or as its other copies; else as most of the others. Without
    any history each task counts 1.
    """
    usual = sorted(seconds.values())[len(seconds) // 2] if seconds else 1
    return {one.name: round(max(seconds.get(one.name, seconds.get(one.base, usual)), SHORTEST), 3) for one in tasks}


def _reason(task: Task) -> str:
    if not task.needs:
        return "no upstream"
    rule = "" if task.run_if is RunIf.ALL_SUCCESS else f" ({task.run_if.value})"
    return "after " + ", ".join(task.needs) + rule
