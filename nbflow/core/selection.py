"""The selection syntax of `--select` and `--exclude`, as in dbt: names, `+`, methods, unions, intersections.

`train` one task · `+train` with everything upstream · `train+` with everything downstream · `2+train` two levels
of it · `tag:nightly` · `status:failed` · `state:modified` · a space is a union, a comma an intersection, but for those
inside `[...]`. What is selected are declared tasks, with all their copies. Pure: what happened before comes in as
`Previous`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from nbflow.core import graph
from nbflow.core.spec import EMPTY, Pipeline
from nbflow.core.status import TaskState
from nbflow.errors import NotFoundError, UsageError

_TERM = re.compile(r"(?P<up>\d*\+)?(?P<body>(?:\[[^\]]*\]|\[(?![^\]]*\])|[^+\[])+)(?P<down>\+\d*)?")
_UNION = re.compile(r"\s+(?![^\[]*\])")
_INTERSECTION = re.compile(r",(?![^\[]*\])")
"""Separators, but for those inside of brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The newest earlier run: the states of its tasks and the hashes of their notebooks, by declared task."""

    states: Mapping[str, frozenset[str]] = field(default_factory=lambda: EMPTY)
    sources: Mapping[str, str | None] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What terms are matched against, besides the pipeline. `sources` are the present hashes by task."""

    previous: Previous | None = None
    sources: Mapping[str, str | None] = field(default_factory=lambda: EMPTY)


def select(pipeline: Pipeline, include: Iterable[str], exclude: Iterable[str], facts: Facts) -> frozenset[str]:
    """The declared tasks that are chosen; all of them where `include` is empty.

    Raises NotFoundError for a task that does not exist, UsageError for a term that is no selection, or where
    nothing is left.
    """
    wanted = list(include)
    chosen = _union(pipeline, wanted, facts) if wanted else frozenset(pipeline.tasks)
    chosen -= _union(pipeline, exclude, facts)
    if not chosen:
        raise UsageError(
            f"the selection leaves no task of pipeline '{pipeline.name}'",
            hint=f"its tasks are: {', '.join(list(pipeline.tasks)[:20])}",
        )
    return chosen


def _union(pipeline: Pipeline, terms: Iterable[str], facts: Facts) -> frozenset[str]:
    found: set[str] = set()
    for term in (part for text in terms for part in _UNION.split(text.strip()) if part):
        sets = [_term(pipeline, part, facts) for part in _INTERSECTION.split(term)]
        found |= frozenset.intersection(*sets)
    return frozenset(found)


def _term(pipeline: Pipeline, term: str, facts: Facts) -> frozenset[str]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise UsageError(f"'{term}' is no selection", hint="for example: train  +train  train+  2+train  tag:nightly")
    names = _matching(pipeline, match["body"], facts)
    up, down = match["up"], match["down"]
    edges = {task.name: task.needs for task in pipeline.tasks.values()}
    found = set(names)
    if up is not None:
        found |= graph.reached(edges, names, int(up[:-1]) if up[:-1] else None)
    if down is not None:
        found |= graph.reached(graph.inverted(edges), names, int(down[1:]) if down[1:] else None)
    return frozenset(found)


def _matching(pipeline: Pipeline, body: str, facts: Facts) -> frozenset[str]:
    method, colon, value = body.partition(":")
    if not colon or "[" in method:
        return _by_name(pipeline, body)
    match method:
        case "tag":
            return frozenset(
                task.name for task in pipeline.tasks.values() if any(fnmatchcase(tag, value) for tag in task.tags)
            )
        case "status":
            return _by_status(pipeline, value, facts)
        case "state":
            return _by_change(pipeline, value, facts)
        case "asset":
            raise UsageError("selection by asset is not supported yet", hint="select the task that produces it")
        case _:
            raise UsageError(f"'{method}:' is no method of selection", hint="methods are: tag, status, state")


def _by_name(pipeline: Pipeline, pattern: str) -> frozenset[str]:
    found = frozenset(name for name in pipeline.tasks if fnmatchcase(name, pattern))
    if not found:
        _refuse_copy(pipeline, pattern)
        close = get_close_matches(pattern, pipeline.tasks, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"its tasks are: {', '.join(list(pipeline.tasks)[:20])}"
        raise NotFoundError(f"pipeline '{pipeline.name}' has no task '{pattern}'", hint=hint)
    return found


def _refuse_copy(pipeline: Pipeline, name: str) -> None:
    """Raise UsageError, with what to do instead, for what looks like the name of a copy."""
    declared, bracket, _ = name.partition("[")
    task = pipeline.tasks.get(declared)
    if task is not None and (task.matrix is not None or task.for_each is not None) and bracket:
        alone = shlex.quote(f"{pipeline.name}.{name}")
        raise UsageError(
            f"'{name}' is a copy: a selection takes all copies of a task or none",
            hint=f"select its task '{declared}', or try it alone with: nbflow test {alone}",
        )


def _by_status(pipeline: Pipeline, value: str, facts: Facts) -> frozenset[str]:
    if value not in frozenset(TaskState):
        raise UsageError(f"'{value}' is no task state", hint=f"states are: {', '.join(TaskState)}")
    if facts.previous is None:
        raise UsageError(f"pipeline '{pipeline.name}' has no earlier run to compare with", hint="run it first")
    return frozenset(name for name in pipeline.tasks if value in facts.previous.states.get(name, ()))


def _by_change(pipeline: Pipeline, value: str, facts: Facts) -> frozenset[str]:
    if value != "modified":
        raise UsageError(f"'state:{value}' is no selection", hint="for example: state:modified")
    if facts.previous is None:
        raise UsageError(f"pipeline '{pipeline.name}' has no earlier run to compare with", hint="run it first")
    then = facts.previous.sources
    return frozenset(name for name in pipeline.tasks if name not in then or then[name] != facts.sources.get(name))
