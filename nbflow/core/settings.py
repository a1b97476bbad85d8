"""Every value that a specification has, by the dotted key under which `pipelines.toml` sets it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from nbflow.core.spec import Matrix, Param, Pipeline, Preload, PreloadMode, ProjectSpec, Task
from nbflow.core.values import plain


def project_settings(spec: ProjectSpec) -> Iterator[tuple[str, Any]]:
    """Keys and readable values of `[nbflow]`, `[pools]` and `[kernels]`."""
    for name in ("timezone", "notebooks", "outputs", "state"):
        yield f"nbflow.{name}", getattr(spec, name)
    for name, slots in spec.pools.items():
        yield f"pools.{name}", slots
    for name, preload in spec.preloads.items():
        yield f"kernels.{name}.preload", _preload(preload)


def pipeline_settings(pipeline: Pipeline) -> Iterator[tuple[str, Any]]:
    """Keys and readable values of a pipeline; those of a task are the effective ones."""
    top = f"pipelines.{pipeline.name}"
    yield f"{top}.description", pipeline.description
    yield f"{top}.tags", list(pipeline.tags)
    yield f"{top}.max_parallel", pipeline.max_parallel
    yield f"{top}.timeout", pipeline.timeout
    for param in pipeline.params.values():
        yield from ((f"{top}.params.{param.name}.{key}", value) for key, value in _param(param).items())
    for task in pipeline.tasks.values():
        yield from ((f"{top}.tasks.{task.name}.{key}", value) for key, value in _task(task).items())


def _param(param: Param) -> Mapping[str, Any]:
    return {
        "type": param.type.value,
        "default": None if param.required else plain(param.default),
        "options": [plain(option) for option in param.options],
        "min": param.min,
        "max": param.max,
        "description": param.description,
    }


def _task(task: Task) -> Mapping[str, Any]:
    values = {
        "notebook": task.notebook,
        "needs": list(task.needs),
        "kernel": task.kernel,
        "retries": task.retry.retries,
        "retry_delay": task.retry.delay,
        "retry_backoff": task.retry.backoff.value,
        "retry_on": list(task.retry.on),
        "timeout": task.limits.timeout,
        "cell_timeout": task.limits.cell_timeout,
        "start_timeout": task.limits.start_timeout,
        "resources.cpu": task.limits.cpu,
        "resources.memory": task.limits.memory,
        "pool": task.pool,
        "slots": task.slots,
        "run_if": task.run_if.value,
        "when": task.when,
        "matrix": None if task.matrix is None else _matrix(task.matrix),
        "for_each": plain(list(task.for_each)) if isinstance(task.for_each, tuple) else task.for_each,
        "max_items": task.max_items,
        "max_parallel": task.max_parallel,
        "tags": list(task.tags),
        "description": task.description,
    }
    params = {f"params.{name}": plain(value) for name, value in task.params.items()}
    return {**values, **params, **{f"secrets.{name}": reference for name, reference in task.secrets.items()}}


def _preload(preload: Preload) -> Any:
    """As the file writes it."""
    match preload.mode:
        case PreloadMode.AUTO:
            return "auto"
        case PreloadMode.OFF:
            return False
        case PreloadMode.GIVEN:
            return list(preload.modules)
        case _:
            assert_never(preload.mode)


def _matrix(matrix: Matrix) -> Mapping[str, Any]:
    """As the file writes it: axes, and the two keys that are no axes where they are set."""
    found: dict[str, Any] = {axis: plain(list(values)) for axis, values in matrix.axes.items()}
    if matrix.exclude:
        found["exclude"] = [plain(dict(one)) for one in matrix.exclude]
    if matrix.include:
        found["include"] = [plain(dict(one)) for one in matrix.include]
    return found
