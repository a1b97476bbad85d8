"""From tables that have been read to the values of `core.spec`: inheritance and paths.

Whatever could not be read has its default here, so that a faulty file still gives a specification in which
further faults can be found. Must not know lines.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.config.keys import INHERITED
from nbflow.core.faults import NOT_YET, Fault, KeyPath
from nbflow.core.spec import Limits, Pipeline, RetryPolicy, Task

_RETRY = {"retries": "retries", "retry_delay": "delay", "retry_backoff": "backoff", "retry_on": "on"}
_LIMITS = ("timeout", "cell_timeout", "start_timeout")
_RESOURCES = ("cpu", "memory")
_PLAIN = ("kernel", "pool", "slots", "tags", "run_if", "secrets")
_OWN = ("needs", "params", "when", "matrix", "for_each", "max_items", "max_parallel", "description")
_PIPELINE = ("params", "description", "tags", "max_parallel", "timeout")


@dataclass(kw_only=True)
class Builder:
    """Builds the pipelines of one document. `folder` is where its notebooks are, relative to the project, POSIX."""

    folder: str
    defaults: Mapping[str, Any]
    faults: list[Fault] = field(default_factory=list)

    def pipelines(self, tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Pipeline]:
        for name, table in tables.items():
            inherited = layered(self.defaults, {key: table[key] for key in INHERITED if key in table})
            tasks = {
                task: self._task(("pipelines", name, "tasks", task), own, layered(inherited, own))
                for task, own in table.get("tasks", {}).items()
            }
            yield Pipeline(name=name, tasks=tasks, **_picked(table, _PIPELINE))

    def _task(self, at: KeyPath, own: Mapping[str, Any], effective: Mapping[str, Any]) -> Task:
        notebook = ""
        if "notebook" in own:
            try:
                notebook = inside(self.folder, own["notebook"])
            except ValueError as error:
                self.faults.append(Fault(key=(*at, "notebook"), message=str(error)))
        return Task(
            name=at[-1],
            notebook=notebook,
            retry=RetryPolicy(**{_RETRY[key]: effective[key] for key in _RETRY if key in effective}),
            limits=Limits(**_picked(effective, _LIMITS), **_picked(effective.get("resources", {}), _RESOURCES)),
            **_picked(effective, _PLAIN),
            **_picked(own, _OWN),
        )


def layered(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer has besides, or in place of, what it inherits; resources and secrets are inherited one by one."""
    merged = {**under, **over}
    for key in ("resources", "secrets"):
        if key in under and key in over:
            merged[key] = {**under[key], **over[key]}
    return merged


def inside(folder: str, path: str) -> str:
    """`path` below `folder`, relative to the project, POSIX style. Raises ValueError where it leaves the project."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        raise ValueError(f"{NOT_YET}a URL (give a path inside the project)")
    if "\0" in path:
        raise ValueError("a path cannot hold a NUL character")
    if path.startswith("/") or re.match(r"[A-Za-z]:[\\/]", path):
        raise ValueError("an absolute path: give a path inside the project, such as notebooks/clean.ipynb")
    joined = posixpath.normpath(posixpath.join(folder, path))
    if joined == ".." or joined.startswith("../"):
        raise ValueError("this path leaves the project: notebooks stand in the folder of pipelines.toml or below it")
    return joined


def _picked(table: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table}
