"""One attempt as data: what a worker is told to do, and what it says came of it.

A task's failure is data here (`Outcome`), never an exception. Must not know how an attempt is executed.
All values that cross a process boundary are plain JSON after `values.encode` (see `WorkOrder.params`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nbflow.core.spec import EMPTY, Limits


class ErrorKind(StrEnum):
    """Why an attempt failed (interface.md section 4)."""

    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    KERNEL_DIED = "kernel_died"
    START_FAILED = "start_failed"
    ARCHIVE = "archive"
    EXITED = "exited"
    LOST = "lost"


class Verdict(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CellState(StrEnum):
    """The end state of one code cell; a cell that never ran is `not_run`."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    KILLED = "killed"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """What went wrong. `cell` counts from 0 over all cells of the executed notebook; `signal` is its number."""

    kind: ErrorKind
    message: str
    cell: int | None = None
    ename: str | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """Code cells by end state; `failed` includes killed ones."""

    total: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    not_run: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedFile:
    """A published file: its path below the archive root (POSIX), its size in bytes and its SHA-256 (hex)."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """All that a worker needs for one attempt; it knows no store and no engine.

    `notebook` and `root` are absolute paths (`root` is the working directory of the kernel), `outputs` the
    archive root, `folder` and `slug` name the place in it: `<outputs>/<folder>/<slug>.ipynb`. `params` are
    encoded by `values.encode`. `journal` is the absolute path of the attempt's journal file.
    `sha256` is the hash of the source when the plan was made, `logical_date` an ISO 8601 instant, `timezone` (IANA) the
    zone in which pages show instants. `secrets` maps variables of the kernel to references; `withheld` are variables
    that no kernel inherits.
    """

    run: str
    pipeline: str
    task: str
    attempt: int
    slug: str
    notebook: str
    root: str
    outputs: str
    folder: str
    journal: str
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    kernel: str | None = None
    limits: Limits = Limits()
    logical_date: str
    timezone: str = "UTC"
    sha256: str | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    withheld: tuple[str, ...] = ()


STILL_RUNNING = ", still running)"
"""How the name of a process ends that a notebook has left behind and that could not be ended, as of another user."""


def fate(name: str) -> str:
    """What became of a process that a notebook has left behind, by its name as in `Outcome.left_behind`."""
    return "could not be ended" if name.endswith(STILL_RUNNING) else "was ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt. `outputs` are the values of `nbflow.output`, encoded; `duration` is in seconds.

    `files` are what was published; `stopped_at` is the cell at which `sys.exit(0)` ended the notebook early.
    `cpu_seconds` and `peak_memory` (bytes, of its largest process) are what its kernel has used; None where unknown.
    `left_behind` are processes that the notebook had not ended itself, as `name (pid 12)`: they were ended, but for
    those whose name ends with `STILL_RUNNING`.
    """

    verdict: Verdict
    error: TaskError | None = None
    cells: CellCounts = CellCounts()
    outputs: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    files: tuple[ArchivedFile, ...] = ()
    duration: float = 0.0
    stopped_at: int | None = None
    kernel: str | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    left_behind: tuple[str, ...] = ()
