"""A run as it would be made now: the project's file and notebooks are read, judged and planned.

Keeps nothing, and begins nothing but the loading of kernels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.asked import Request
from nbflow.config.check import judge, read
from nbflow.core.spec import Pipeline, ProjectSpec
from nbflow.errors import ConfigError, Problem
from nbflow.preparation import prepare

if TYPE_CHECKING:
    from nbflow.core.events import RunCreated
    from nbflow.core.ports import Executor
    from nbflow.runs import Runs

TEST = "test"
"""The trigger of what is not recorded as a run."""


def make(
    spec: ProjectSpec, pipeline: Pipeline, asked: Request, *, path: Path, runs: Runs, executor: Executor | None = None
) -> RunCreated:
    """The first event of a run of the project whose file is `path`; `executor` begins to load what it needs.

    The notebooks may have been edited since the last look. Raises ConfigError, NotFoundError and UsageError.
    """
    what = read(path, profile=spec.profile)
    is_known = what.is_whole and not asked.select and not asked.exclude
    if executor is not None and is_known:  # all tasks will run: the earlier their kernels load, the better
        prepare(executor, pipeline.tasks.values(), spec, what.notebooks)
    # While these load.
    from nbflow.core.plan import Source, to_run
    from nbflow.engine.clock import SystemClock
    from nbflow.engine.facts import gather
    from nbflow.request import History, likeness, make_basis, make_run, plan_run
    from nbflow.runs import pasts

    checked = judge(what)
    faults = [problem for problem in checked.problems if not problem.warning and _concerns(problem, pipeline)]
    if faults:
        raise ConfigError(faults)
    basis = make_basis(spec, pipeline, asked, SystemClock().now())
    like = None if asked.trigger == TEST else likeness(spec, pipeline, asked, basis)
    before = pasts(runs, pipeline.name, like)
    history = History(
        past=lambda one: before(one.name) if like or one.is_list else runs.past(pipeline.name, one.name),
        previous=lambda: runs.previous(pipeline.name),
        seconds=lambda: runs.durations(pipeline.name),
    )
    sources = {
        name: Source(accepts=tuple(contract.declared), sha256=checked.notebooks[name].sha256)
        for name, contract in checked.contracts.items()
    }
    plan = plan_run(pipeline, asked, sources, history)
    if executor is not None and not is_known:
        prepare(executor, to_run(plan.tasks), spec, what.notebooks)
    return make_run(spec, pipeline, asked, basis, plan, facts=gather(spec.root))


def _concerns(problem: Problem, pipeline: Pipeline) -> bool:
    """Whether a problem stands in the way of a pipeline: those of other pipelines' tasks do not."""
    return not problem.key.startswith("pipelines.") or problem.key.startswith(f"pipelines.{pipeline.name}.")
