"""What is wrong with a specification in itself: names that refer to nothing, cycles, expressions, values.

Pure, and all faults at once. Must not know files and places; what needs a notebook or a kernel is
`validate_notebooks.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nbflow.core import graph
from nbflow.core.attempt import ErrorKind
from nbflow.core.expr import (
    Allowed,
    ExprError,
    Expression,
    check_references,
    is_template,
    parse_expression,
    parse_template,
    references,
)
from nbflow.core.faults import Fault, KeyPath, did_you_mean
from nbflow.core.params import check_value, expand_matrix, is_name
from nbflow.core.secrets import withheld
from nbflow.core.spec import Param, ParamType, Pipeline, ProjectSpec, RunIf, Task

MAX_CYCLES = 10
"""Cycles that are reported for one pipeline."""
MAX_NAMES = 8
"""Names that are shown of one cycle."""

_NUMBERS = (ParamType.INT, ParamType.FLOAT)
_UNQUOTED = (*_NUMBERS, ParamType.BOOL, ParamType.DATE, ParamType.DATETIME)
_RETRY_ON = re.compile(r"exception:[A-Za-z_][\w.]*", re.ASCII)

Edges = Mapping[str, Sequence[str]]


def validate(spec: ProjectSpec) -> list[Fault]:
    """Everything that is wrong with the pipelines of a project, warnings among it."""
    if not spec.pipelines:
        hint = 'the shortest: [pipelines.hello.tasks] and below it: extract = { notebook = "extract.ipynb" }'
        return [Fault(key=("pipelines",), message="there is no pipeline", hint=hint)]
    secret_env = withheld(spec)
    return [fault for one in spec.pipelines.values() for fault in _pipeline_faults(one, spec.pools, secret_env)]


def shown_cycle(names: Sequence[str]) -> str:
    """`a -> b -> a`; of a long one the first and the last names and how many there are."""
    shown = list(names)
    if len(names) > MAX_NAMES:
        shown = [*names[: MAX_NAMES - 3], "...", *names[-2:]]
    count = f" ({len(names):,} tasks)" if len(names) > MAX_NAMES else ""
    return " -> ".join([*shown, names[0]]) + count


def _pipeline_faults(pipeline: Pipeline, pools: Mapping[str, int], secret_env: frozenset[str]) -> Iterator[Fault]:
    at = ("pipelines", pipeline.name)
    if not pipeline.tasks:
        hint = 'such as extract = { notebook = "extract.ipynb" }'
        yield Fault(key=(*at, "tasks"), message="the pipeline has no tasks", hint=hint, on_key=True)
    yield from _param_faults(pipeline, secret_env, (*at, "params"))
    edges = {
        name: [need for need in task.needs if need != name and need in pipeline.tasks]
        for name, task in pipeline.tasks.items()
    }
    yield from _cycle_faults(edges, (*at, "tasks"))
    scope = _Scope(frozenset(pipeline.params), frozenset(pipeline.tasks), edges, secret_env)
    for task in pipeline.tasks.values():
        key = (*at, "tasks", task.name)
        yield from _need_faults(task, pipeline.tasks, key)
        yield from _task_faults(task, pools, key)
        yield from _matrix_faults(task, key)
        yield from _list_faults(task, key)
        yield from _expression_faults(task, scope, key)


def _need_faults(task: Task, tasks: Collection[str], at: KeyPath) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, need in enumerate(task.needs):
        key = (*at, "needs", str(index))
        if need == task.name:
            yield Fault(key=key, message="a task cannot need itself")
        elif need not in tasks:
            hint = did_you_mean(need, tasks, what="tasks of this pipeline")
            yield Fault(key=key, message=f'there is no task "{need}" in this pipeline', hint=hint)
        elif need in seen:
            yield Fault(key=key, message=f'"{need}" stands here twice')
        seen.add(need)


def _cycle_faults(edges: Edges, at: KeyPath) -> Iterator[Fault]:
    """Faults of cycles that share no task."""
    left = dict(edges)
    for _ in range(MAX_CYCLES):
        cycle = graph.find_cycle(left)
        if cycle is None:
            return
        message = f"these tasks wait for each other: {shown_cycle(cycle)}"
        yield Fault(
            key=(*at, cycle[0], "needs"), message=message, hint="take one of these out of a `needs`", on_key=True
        )
        left = {name: ups for name, ups in left.items() if name not in cycle}


def _task_faults(task: Task, pools: Mapping[str, int], at: KeyPath) -> Iterator[Fault]:
    if task.pool is not None and task.pool not in pools:
        hint = did_you_mean(task.pool, pools, what="pools in [pools]")
        yield Fault(key=(*at, "pool"), message=f'there is no pool "{task.pool}"', hint=hint)
    elif task.pool is not None and task.slots > pools[task.pool]:
        message = f'the task takes {task.slots} slots, but the pool "{task.pool}" has {pools[task.pool]}'
        yield Fault(key=(*at, "slots"), message=message)
    elif task.pool is None and task.slots > 1:
        yield Fault(key=(*at, "slots"), message="slots of what? the task has no `pool`", warning=True)
    if not task.needs and task.run_if in (RunIf.ALL_FAILED, RunIf.ONE_FAILED):
        message = f"{task.run_if.value} judges upstreams, but the task has none: it always runs"
        yield Fault(key=(*at, "run_if"), message=message, warning=True)
    kinds = [kind.value for kind in ErrorKind]
    for index, name in enumerate(task.retry.on):
        if name not in kinds and not _RETRY_ON.fullmatch(name):
            hint = did_you_mean(name, [*kinds, "exception:NAME"], what="there are")
            yield Fault(key=(*at, "retry_on", str(index)), message=f'"{name}" is nothing to retry on', hint=hint)


def _matrix_faults(task: Task, at: KeyPath) -> Iterator[Fault]:
    if task.matrix is None:
        return
    key = (*at, "matrix")
    for axis in task.matrix.axes:
        if fault := is_name(axis):
            yield Fault(key=(*key, axis), message=f"illegal name of an axis: {fault}", on_key=True)
        if is_template(task.matrix.axes[axis]):
            hint = "a list that is known only when an upstream has ended is for `for_each`"
            yield Fault(key=(*key, axis), message="values of an axis are plain, without {{ }}", hint=hint)
    try:
        expand_matrix(task.name, task.matrix)
    except ValueError as error:
        yield Fault(key=key, message=str(error))


def _list_faults(task: Task, at: KeyPath) -> Iterator[Fault]:
    """Faults of `for_each`, as far as its list is known before a run."""
    key, source = (*at, "for_each"), task.for_each
    if source is not None and task.matrix is not None:
        hint = "let the items be the combinations, such as { model = ..., file = ... }"
        yield Fault(key=key, message="a task has copies by `matrix` or by `for_each`, not by both", hint=hint)
    if isinstance(source, str):
        yield from _list_template_faults(source, key)
    elif source is not None and not source:
        yield Fault(key=key, message="the list has no items: the task would have no copy")
    elif source is not None and len(source) > task.max_items:
        message = f"the list has {len(source):,} items, and at most {task.max_items:,} are allowed"
        yield Fault(key=key, message=message, hint=f"max_items = {len(source)} would allow it")


def _list_template_faults(text: str, key: KeyPath) -> Iterator[Fault]:
    try:
        parts = parse_template(text).parts
    except ExprError:
        return  # which is said of all expressions
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return
    hint = 'such as "{{ tasks.clean.outputs.files }}"'
    if not is_template(text):
        hint = f'write ["{text}"], or an expression in {{{{ }}}}' if text.isprintable() else hint
    yield Fault(key=key, message="expected a list, or one {{ expression }} that gives one, not a text", hint=hint)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the expressions of a pipeline's tasks may see."""

    params: frozenset[str]
    tasks: frozenset[str]
    edges: Edges
    secret_env: frozenset[str]

    def allowed(self, task: Task, names: frozenset[tuple[str, ...]], *, copies: bool) -> Allowed:
        """The names that have a value for a task, or for each of its copies, as far as `names` asks for them."""
        wanted = {path[1] for path in names if path[0] == "tasks"}
        upstreams = wanted.intersection(self.edges[task.name])
        if upstreams != wanted:
            upstreams = wanted & graph.ancestors(self.edges, task.name)
        return Allowed(
            params=self.params,
            upstreams=frozenset(upstreams),
            tasks=self.tasks,
            matrix=frozenset(task.matrix.axes if task.matrix and copies else ()),
            item=task.for_each is not None and copies,
            secret_env=self.secret_env,
        )


def _expression_faults(task: Task, scope: _Scope, at: KeyPath) -> Iterator[Fault]:
    values = {(*at, "params", name): partial(references, value) for name, value in task.params.items()}
    if task.when is not None:
        values[*at, "when"] = partial(_condition_references, task.when)
    if task.for_each is not None:
        values[*at, "for_each"] = partial(references, task.for_each)
    for key, read in values.items():
        try:
            names = read()
        except ExprError as error:
            yield Fault(key=key, message=error.message, hint=error.hint)
            continue
        if names:
            found = check_references(names, scope.allowed(task, names, copies=key != (*at, "for_each")))
            yield from (Fault(key=key, message=message, hint=hint) for message, hint in found)


def _condition_references(text: str) -> frozenset[tuple[str, ...]]:
    return references(parse_expression(text))


def _param_faults(pipeline: Pipeline, secret_env: frozenset[str], at: KeyPath) -> Iterator[Fault]:
    """Faults of the declarations; defaults may be templates over the run and over other parameters."""
    needs: dict[str, list[str]] = {}
    for name, param in pipeline.params.items():
        yield from _bound_faults(param, (*at, name))
        options = list(_option_faults(param, (*at, name)))
        yield from options
        if not is_template(param.default):
            yield from _default_faults(param, () if options else param.options, (*at, name))
            continue
        try:
            names = references(param.default)
        except ExprError as error:
            yield Fault(key=(*at, name, "default"), message=error.message, hint=error.hint)
            continue
        needs[name] = [path[1] for path in names if path[0] == "params"]
        late = {path[0] for path in names} & {"tasks", "matrix", "item"}
        for root in sorted(late):
            message = f"`{root}` has no value yet when a run begins"
            yield Fault(key=(*at, name, "default"), message=message, hint="defaults see params, run, env and days_ago")
        early = frozenset(path for path in names if path[0] not in late)
        allowed = Allowed(params=frozenset(pipeline.params), secret_env=secret_env)
        for message, hint in check_references(early, allowed):
            yield Fault(key=(*at, name, "default"), message=message, hint=hint)
    if cycle := graph.find_cycle(needs):
        message = f"defaults of parameters read each other: {' -> '.join([*cycle, cycle[0]])}"
        yield Fault(key=(*at, cycle[0], "default"), message=message, hint="give one of them a plain default")


def _bound_faults(param: Param, at: KeyPath) -> Iterator[Fault]:
    for name, bound in (("min", param.min), ("max", param.max)):
        if bound is not None and param.type not in _NUMBERS:
            yield Fault(key=(*at, name), message=f"`{name}` is for numbers, and the type is {param.type.value}")
    if param.min is not None and param.max is not None and param.min > param.max:
        yield Fault(key=(*at, "min"), message=f"no value is from {param.min:g} to {param.max:g}")


def _option_faults(param: Param, at: KeyPath) -> Iterator[Fault]:
    for index, option in enumerate(param.options):
        key = (*at, "options", str(index))
        try:
            check_value(option, param.type, min=param.min, max=param.max)
        except ValueError as error:
            yield Fault(key=key, message=str(error))
        if any(type(option) is type(other) and option == other for other in param.options[:index]):
            yield Fault(key=key, message="this option stands here twice")


def _default_faults(param: Param, options: Sequence[Any], at: KeyPath) -> Iterator[Fault]:
    if param.required:
        return
    try:
        check_value(param.default, param.type, options=options, min=param.min, max=param.max)
    except ValueError as error:
        yield Fault(key=(*at, "default"), message=str(error), hint=_default_hint(param, options))


def _default_hint(param: Param, options: Sequence[Any]) -> str | None:
    """What to write in place of a text that is none of the options, or of a number, date or flag in quotes."""
    if not isinstance(param.default, str):
        return None
    try:
        check_value(param.default, param.type, min=param.min, max=param.max)
    except ValueError:
        return f"a value of type {param.type.value} stands without quotes" if param.type in _UNQUOTED else None
    return did_you_mean(param.default, [one for one in options if isinstance(one, str)], what="options are")
