"""Where each value of a specification came from: `Origins`, a mapping that looks only when it is asked.

A project of ten thousand tasks has some 300,000 values, and most commands ask for none of their origins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nbflow.config.fields import PARAM, RESOURCES
from nbflow.config.files import Files
from nbflow.config.keys import DEFAULTS, INHERITED, NBFLOW, TASK
from nbflow.config.layers import Document, value_at
from nbflow.core.faults import KeyPath
from nbflow.core.spec import EMPTY, Origin, Pipeline, Preload

_DEFAULT = Origin(layer="default")
_NBFLOW = tuple(name for name, key in NBFLOW.keys.items() if not key.later and name != "include")
_PIPELINE = ("description", "tags", "max_parallel", "timeout")
_TASK = tuple(
    name for name, key in TASK.keys.items() if not key.later and name not in ("params", "resources", "secrets")
)
_RESOURCES = tuple(name for name, key in RESOURCES.keys.items() if not key.later)


class Origins(Mapping[str, Origin]):
    """Dotted key -> origin, for every value that the specification has, built-in defaults included."""

    def __init__(
        self,
        files: Files,
        pipelines: Mapping[str, Pipeline],
        pools: Mapping[str, int],
        preloads: Mapping[str, Preload] = EMPTY,
    ) -> None:
        self._files = files
        self._pipelines = pipelines
        self._pools = pools
        self._preloads = preloads

    def __getitem__(self, key: str) -> Origin:
        at = _path(key)
        if not self._is_known(at):
            raise KeyError(key)
        document = self._files.document(at)
        found: Origin | None = None
        match at:
            case ("nbflow" | "pools", _) | ("kernels", _, _):
                found = _origin(document, at, "project")
            case (_, _, "tasks", _, name) | (_, _, "tasks", _, "resources" | "secrets" as name, _):
                found = _origin(document, at, "task") or self._inherited(document, at[1], (name, *at[5:]))
            case (_, _, "tasks", *_):
                found = _origin(document, at, "task")
            case (_, _, "params", _, "default") if not isinstance(value_at(document.data, at[:4]), dict):
                found = _origin(document, at[:4], "pipeline")
            case _:
                found = _origin(document, at, "pipeline")
        return found or _DEFAULT

    def __iter__(self) -> Iterator[str]:
        for name in _NBFLOW:
            yield f"nbflow.{name}"
        for name in self._pools:
            yield f"pools.{name}"
        for name in self._preloads:
            yield f"kernels.{name}.preload"
        for pipeline in self._pipelines.values():
            top = f"pipelines.{pipeline.name}"
            yield from (f"{top}.{key}" for key in _PIPELINE)
            for param in pipeline.params:
                yield f"{top}.params.{param}"
                yield from (f"{top}.params.{param}.{key}" for key in PARAM.keys)
            for task in pipeline.tasks.values():
                yield from (f"{top}.tasks.{task.name}.{key}" for key in _TASK)
                yield from (f"{top}.tasks.{task.name}.resources.{key}" for key in _RESOURCES)
                yield from (f"{top}.tasks.{task.name}.params.{param}" for param in task.params)
                yield from (f"{top}.tasks.{task.name}.secrets.{secret}" for secret in task.secrets)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _inherited(self, document: Document, pipeline: str, name: KeyPath) -> Origin | None:
        """Where a task's key comes from that the task does not set."""
        if name[0] in INHERITED and (found := _origin(document, ("pipelines", pipeline, *name), "pipeline")):
            return found
        if name[0] not in DEFAULTS.keys:
            return None
        at = ("defaults", *name)
        return _origin(document, at, "defaults") or _origin(self._files.main, at, "defaults")

    def _is_known(self, at: KeyPath) -> bool:
        match at:
            case ("nbflow", name):
                return name in _NBFLOW
            case ("pools", name):
                return name in self._pools
            case ("kernels", name, "preload"):
                return name in self._preloads
            case ("pipelines", pipeline, *rest) if pipeline in self._pipelines:
                return _has(self._pipelines[pipeline], tuple(rest))
            case _:
                return False


def _path(key: str) -> KeyPath:
    """The parts of a dotted key; of all names, only those of kernels may hold dots."""
    top, *parts = key.split(".")
    return (top, ".".join(parts[:-1]), parts[-1]) if top == "kernels" and len(parts) > 1 else (top, *parts)


def _has(pipeline: Pipeline, at: KeyPath) -> bool:
    match at:
        case (name,):
            return name in _PIPELINE
        case ("params", param):
            return param in pipeline.params
        case ("params", param, name):
            return param in pipeline.params and name in PARAM.keys
        case ("tasks", task, name):
            return task in pipeline.tasks and name in _TASK
        case ("tasks", task, "params", param):
            return task in pipeline.tasks and param in pipeline.tasks[task].params
        case ("tasks", task, "resources", name):
            return task in pipeline.tasks and name in _RESOURCES
        case ("tasks", task, "secrets", secret):
            return task in pipeline.tasks and secret in pipeline.tasks[task].secrets
        case _:
            return False


def _origin(document: Document, at: KeyPath, layer: str) -> Origin | None:
    """The origin of a value that a document holds, None where it holds none."""
    if value_at(document.data, at) is None:
        return None
    spot = document.spot(at)
    place = spot.source.place(spot.at)
    line = None if place is None else place.line
    return Origin(layer="profile" if spot.is_profile else layer, file=spot.source.file, line=line)
