"""Pipelines and their tasks by the names that people type; for a wrong one, the name that was probably meant."""

from __future__ import annotations

from difflib import get_close_matches

from nbflow.core.spec import Pipeline, ProjectSpec
from nbflow.errors import NotFoundError


def find_pipeline(spec: ProjectSpec, name: str) -> Pipeline:
    """A pipeline by name. Raises NotFoundError, with the nearest name."""
    if name not in spec.pipelines:
        close = get_close_matches(name, spec.pipelines, 1)
        known = ", ".join(list(spec.pipelines)[:20]) or "none"
        raise NotFoundError(
            f"there is no pipeline '{name}' in {spec.file}",
            hint=f"did you mean '{close[0]}'?" if close else f"pipelines are: {known}",
        )
    return spec.pipelines[name]


def find_task(pipeline: Pipeline, text: str) -> str:
    """The declared task of a task or a copy of it. Raises NotFoundError, with the nearest name."""
    name = text.partition("[")[0]
    if name not in pipeline.tasks:
        close = get_close_matches(name, pipeline.tasks, 1)
        known = ", ".join(list(pipeline.tasks)[:20])
        raise NotFoundError(
            f"pipeline '{pipeline.name}' has no task '{name}'",
            hint=f"did you mean '{close[0]}'?" if close else f"its tasks: {known}",
        )
    return name
