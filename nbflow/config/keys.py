"""All keys of `pipelines.toml` (interface.md section 2): what each holds and what it is for.

The one table that reading, "did you mean" and the JSON Schema are made from. Must not know files.
"""

from __future__ import annotations

from collections.abc import Mapping

from nbflow.config import later
from nbflow.config.fields import RESOURCES, ForEachField, MatrixField, ParamField, SecretField
from nbflow.config.kernels import KERNEL_PATTERN, KernelField, kernel_fault
from nbflow.config.places import ArchivePlace
from nbflow.config.shape import Anything, Choice, Duration, ListOf, LocalPath, Name, TableOf, Text, Whole
from nbflow.config.state import StorePlace
from nbflow.config.table import Key, Table
from nbflow.core.faults import name_fault
from nbflow.core.params import is_name
from nbflow.core.secrets import variable_fault
from nbflow.core.spec import MAX_ITEMS, Backoff, RunIf

RUN_IF_ALIASES: Mapping[str, str] = {
    "all_succeeded": "all_success",
    "success": "all_success",
    "succeeded": "all_success",
    "all_failure": "all_failed",
    "failed": "one_failed",
    "failure": "one_failed",
    "done": "all_done",
    "one_succeeded": "one_success",
    "none_failed_min_one_success": "none_failed",
}

MOST_ITEMS = 10_000
"""What `max_items` may be at most."""

_TAGS = ListOf(item=Name(what="a tag"))

INHERITED: Mapping[str, Key] = {
    "kernel": Key(kind=Text(longest=200), doc="Name of the kernel; default: the one that the notebook names."),
    "retries": Key(kind=Whole(most=1_000), doc="How often a failed attempt is tried again; default 0."),
    "retry_delay": Key(kind=Duration(zero=True), doc='Wait before the next attempt, such as "30s"; default 0.'),
    "retry_backoff": Key(kind=Choice(options=Backoff), doc="How the wait grows; default constant."),
    "retry_on": Key(
        kind=ListOf(item=Text(longest=200)),
        doc='What is tried again: "timeout", "kernel_died", "exception:NAME", ...; default: any failure.',
    ),
    "cell_timeout": Key(kind=Duration(), doc="Limit of each cell; default none."),
    "start_timeout": Key(kind=Duration(), doc="Limit of the kernel's start; default 60s."),
    "pool": Key(kind=Name(what="the name of a pool"), doc="The pool of [pools] that a task takes slots from."),
    "slots": Key(kind=Whole(least=1), doc="How many slots of its pool a task takes; default 1."),
    "run_if": Key(
        kind=Choice(options=RunIf, aliases=RUN_IF_ALIASES),
        doc="How states of upstreams are judged; default all_success.",
    ),
    "executor": Key(kind=later.TEXT, doc="Where attempts run: a name of [executors].", later=True),
    "resources": Key(kind=RESOURCES, doc="What an attempt gets of a machine, at most."),
    "cache": Key(kind=later.FLAG, doc="Skip a task whose fingerprint has succeeded before.", later=True),
    "secrets": Key(
        kind=TableOf(
            kind=SecretField(), what="secret", name_fault=variable_fault, pattern="[A-Za-z_][A-Za-z0-9_]{0,127}"
        ),
        doc="Environment variables of the kernel, by reference; a task adds its own to those that it inherits.",
    ),
}
"""Keys that a task has from its pipeline or from [defaults] where it does not set them."""

_TIMEOUT = Key(kind=Duration(), doc="Limit of one attempt, the whole notebook; default none.")
_TASK_TAGS = Key(kind=_TAGS, doc="Tags of a task, for selection: tag:NAME.")
_DESCRIPTION = Key(kind=Text(), doc="What it is for, for people.")


def _elsewhere(name: str) -> str | None:
    """Where a key belongs that is not known where it stands."""
    if name in INHERITED:
        return "[defaults], a pipeline or a task"
    tables = {"a task": TASK, "a pipeline": PIPELINE, "[nbflow]": NBFLOW, "the top of the file": FILE}
    return next((place for place, table in tables.items() if name in table.keys), None)


TASK = Table(
    example='{ notebook = "..." }',
    elsewhere=_elsewhere,
    keys={
        "notebook": Key(
            kind=Text(what="the path of a notebook", longest=1_000),
            doc="Path of the notebook (.ipynb; .py or .md with jupytext), relative to the notebooks folder.",
            required=True,
        ),
        "needs": Key(kind=ListOf(item=Text(what="the name of a task", longest=64)), doc="Names of the upstream tasks."),
        "params": Key(
            kind=TableOf(kind=Anything(), what="parameter", name_fault=is_name, pattern="[A-Za-z_][A-Za-z0-9_]{0,63}"),
            doc="Values for the notebook's parameters; may hold {{ }} templates.",
        ),
        **INHERITED,
        "timeout": _TIMEOUT,
        "tags": _TASK_TAGS,
        "when": Key(
            kind=Text(what="an expression", longest=2_000), doc="Condition; where it is false, the task is skipped."
        ),
        "matrix": Key(kind=MatrixField(), doc="Axes and their values: one copy of the task for each combination."),
        "for_each": Key(
            kind=ForEachField(),
            doc="A list, or a template that gives one when the upstreams have ended: a copy for each `item`.",
        ),
        "max_items": Key(
            kind=Whole(least=1, most=MOST_ITEMS),
            doc=f"How many items the list of `for_each` may have; default {MAX_ITEMS}.",
        ),
        "max_parallel": Key(kind=Whole(least=1), doc="How many copies of the task run at once."),
        "description": _DESCRIPTION,
        "produces": Key(kind=later.TEXTS, doc="Assets that the task writes.", later=True),
        "inputs": Key(kind=later.TEXTS, doc="Files that the task reads, part of its fingerprint.", later=True),
    },
)

RESERVED_TASKS = {"index": "the page of a run is index.html"}
RESERVED_PIPELINES = {"reports": "the archive keeps reports in a folder of this name"}

PIPELINE = Table(
    elsewhere=_elsewhere,
    keys={
        "description": _DESCRIPTION,
        "params": Key(
            kind=TableOf(
                kind=ParamField(), what="parameter", name_fault=is_name, pattern="[A-Za-z_][A-Za-z0-9_]{0,63}"
            ),
            doc="Typed parameters of a run.",
        ),
        "tasks": Key(
            kind=TableOf(kind=TASK, what="task", reserved=RESERVED_TASKS, fallback={}),
            doc="The tasks, by name.",
            required=True,
        ),
        "max_parallel": Key(kind=Whole(least=1), doc="How many tasks of a run are under way at once."),
        "timeout": Key(kind=Duration(), doc="Limit of a whole run; default none."),
        "tags": Key(kind=_TAGS, doc="Tags of the pipeline."),
        **INHERITED,
        "schedule": Key(kind=later.SCHEDULE, doc="When runs start by themselves: cron.", later=True),
        "overlap": Key(kind=later.OVERLAP, doc="What a fire does while the previous run is going.", later=True),
        "deadline": Key(kind=later.TEXT, doc="Local time by which a run must have succeeded.", later=True),
        "reports": Key(kind=later.REPORTS, doc="Pages made from a task's notebook.", later=True),
        **{
            f"on_{event}": Key(kind=later.TEXTS, doc=f"Alerts to send on {event}.", later=True)
            for event in ("failure", "success", "late", "retry", "recovery")
        },
    },
)

NBFLOW = Table(
    elsewhere=_elsewhere,
    keys={
        "timezone": Key(kind=Text(what="the name of a time zone", longest=100), doc='IANA name; default "UTC".'),
        "notebooks": Key(kind=LocalPath(), doc='Where paths of notebooks start; default: "notebooks", if it exists.'),
        "outputs": Key(
            kind=ArchivePlace(),
            doc='Root of the archive: a folder, or a URL such as s3://bucket/prefix; default "outputs".',
        ),
        "state": Key(
            kind=StorePlace(),
            doc="The store: a SQLite file, default .nbflow/state.db below `outputs`, or postgresql://USER@HOST/DATABASE.",
        ),
        "include": Key(
            kind=ListOf(item=Text(what="a glob pattern", longest=1_000)), doc="Further files with pipelines."
        ),
    },
)

DEFAULTS = Table(elsewhere=_elsewhere, keys={**INHERITED, "timeout": _TIMEOUT, "tags": _TASK_TAGS})

_UNREADABLE_POOL = 1_000_000
_SECTIONS: Mapping[str, Key] = {
    "defaults": Key(kind=DEFAULTS, doc="What every task inherits."),
    "pools": Key(
        kind=TableOf(kind=Whole(least=1), what="pool", fallback=_UNREADABLE_POOL),
        doc="Name -> slots: limits by name, for all runs of the project together.",
    ),
    "pipelines": Key(
        kind=TableOf(kind=PIPELINE, what="pipeline", reserved=RESERVED_PIPELINES, fallback={}),
        doc="The pipelines, by name.",
    ),
}
_MAIN: Mapping[str, Key] = {
    "nbflow": Key(kind=NBFLOW, doc="The project."),
    **_SECTIONS,
    "kernels": Key(
        kind=TableOf(kind=KernelField(), what="kernel", name_fault=kernel_fault, pattern=KERNEL_PATTERN),
        doc="What is set for kernels, by name.",
    ),
    "executors": Key(kind=later.EXECUTORS, doc="Where attempts can run.", later=True),
    "alerts": Key(kind=later.ALERTS, doc="Whom to tell.", later=True),
    "assets": Key(kind=later.ASSETS, doc="What tasks produce.", later=True),
}

PROFILE = Table(elsewhere=_elsewhere, keys=_MAIN)
PROFILES = TableOf(kind=PROFILE, what="profile", name_fault=name_fault)
FILE = Table(
    elsewhere=_elsewhere,
    keys={
        **_MAIN,
        "profiles": Key(kind=Anything(), doc="Name -> tables that are merged over the file: --profile NAME."),
    },
)
INCLUDED = Table(
    keys=_SECTIONS, elsewhere=lambda name: "the project's own pipelines.toml" if name in FILE.keys else None
)
