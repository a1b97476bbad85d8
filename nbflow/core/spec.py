"""What a project declares: frozen values, made by `config`, read by everything else.

Holds no logic beyond look-ups. Must not know where a value came from (that is `Origin`, kept beside it) or
how it is written in TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from nbflow.core.addresses import is_url

EMPTY: Mapping[str, Any] = MappingProxyType({})
"""A frozen empty mapping, for defaults."""

SPOOL = ".nbflow/spool"
"""Below `ProjectSpec.local`: what is published before it is on object storage, and copies of what is there."""

NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
"""Names of pipelines, tasks, pools, tags and outputs (interface.md section 2, rule 1)."""


class RunIf(StrEnum):
    """How a task judges the states of its upstreams."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ALL_FAILED = "all_failed"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_SKIPPED = "none_skipped"
    ALWAYS = "always"


class ParamType(StrEnum):
    """The types that a parameter may declare."""

    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATE = "date"
    DATETIME = "datetime"
    PATH = "path"
    LIST = "list"
    DICT = "dict"
    ANY = "any"


class Backoff(StrEnum):
    """How the delay between attempts grows."""

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a failed attempt is tried again.

    `delay` is in seconds. `on` names what is retried (`timeout`, `kernel_died`, `exception`,
    `exception:NAME`, ...); empty means any failure.
    """

    retries: int = 0
    delay: float = 0.0
    backoff: Backoff = Backoff.CONSTANT
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one attempt; None means none.

    The timeouts are in seconds. `cpu` (cores) and `memory` (bytes) hold for the kernel and all that it starts.
    """

    timeout: float | None = None
    cell_timeout: float | None = None
    start_timeout: float | None = 60.0
    cpu: float | None = None
    memory: int | None = None


class PreloadMode(StrEnum):
    """Who says what a kernel's zygote loads."""

    AUTO = "auto"
    GIVEN = "given"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preload:
    """What the zygote of a kernel loads before it forks; with `off` the kernel has none and takes the ordinary start.

    `modules` are dotted names; with `auto` those that the notebooks import, as far as that can be read.
    """

    mode: PreloadMode = PreloadMode.AUTO
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One typed parameter of a pipeline's run. `default` may be a template; `required` where there is none."""

    name: str
    type: ParamType
    default: Any = None
    required: bool = False
    options: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Axes of a task's copies, in the order of the file; `exclude` and `include` hold axis values."""

    axes: Mapping[str, tuple[Any, ...]]
    exclude: tuple[Mapping[str, Any], ...] = ()
    include: tuple[Mapping[str, Any], ...] = ()


MAX_ITEMS = 1_000
"""Copies that `for_each` makes, unless the task says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A notebook with upstreams and parameters. `notebook` is relative to the project's folder, POSIX style.

    `for_each` is a list, or a template that gives one: a copy for each item, at most `max_items`.
    `secrets` maps environment variables of the kernel to references (`core.secrets`), never to values.
    """

    name: str
    notebook: str
    needs: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    kernel: str | None = None
    retry: RetryPolicy = RetryPolicy()
    limits: Limits = Limits()
    pool: str | None = None
    slots: int = 1
    tags: tuple[str, ...] = ()
    run_if: RunIf = RunIf.ALL_SUCCESS
    when: str | None = None
    matrix: Matrix | None = None
    for_each: str | tuple[Any, ...] | None = None
    max_items: int = MAX_ITEMS
    max_parallel: int | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Tasks and their order. `max_parallel` bounds the task runs at once; `timeout` (seconds) the whole run."""

    name: str
    tasks: Mapping[str, Task]
    params: Mapping[str, Param] = field(default_factory=lambda: EMPTY)
    description: str | None = None
    tags: tuple[str, ...] = ()
    max_parallel: int | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value came from: `layer` is default | project | defaults | pipeline | task | profile | command line."""

    layer: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSpec:
    """All that the files of a project say.

    `root` is the absolute folder of `pipelines.toml`; `outputs` and `state` are absolute paths or URLs; `local` and
    `archive` are always paths. `preloads` are
    what the file sets for kernels; others load what the notebooks import.
    `origins` maps the dotted path of a key (`pipelines.sales.tasks.clean.retries`) to its origin.
    """

    root: str
    file: str
    pipelines: Mapping[str, Pipeline]
    timezone: str = "UTC"
    notebooks: str = "."
    outputs: str
    state: str
    pools: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    preloads: Mapping[str, Preload] = field(default_factory=lambda: EMPTY)
    profile: str | None = None
    origins: Mapping[str, Origin] = field(default_factory=lambda: EMPTY)

    @property
    def local(self) -> str:
        """The folder of this machine that holds `.nbflow`: the store by default, journals, logs, the spool."""
        return local_root(self.root, self.outputs)

    @property
    def archive(self) -> str:
        """The folder where workers publish: the archive itself, or the spool of one that lies elsewhere."""
        return f"{self.local}/{SPOOL}" if is_url(self.outputs) else self.outputs


def local_root(root: str, outputs: str) -> str:
    """The folder that stands for an archive on this machine: with a URL `outputs` in the project's folder `root`."""
    return f"{root}/outputs" if is_url(outputs) else outputs
