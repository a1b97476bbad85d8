"""What is needed to run the cells of one document with one kernel, and how that ended.

Plain data between the parts of a worker. Must not hold logic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nbflow.core.attempt import TaskError, Verdict
from nbflow.core.messages import Report
from nbflow.core.spec import Limits
from nbflow.kernels.specs import KernelSpec
from nbflow.worker.control import Control
from nbflow.worker.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One document to run. `began` is the monotonic instant from which the limits count.

    `grace` is how many seconds an interrupted cell gets to end; `variables` are added to the kernel's environment.
    """

    task: str
    attempt: int
    document: Mapping[str, Any]
    kernel: KernelSpec
    root: str
    limits: Limits
    grace: float
    began: float
    variables: Mapping[str, str]
    journal: Journal
    control: Control
    report: Callable[[Report], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the cells ended. `stopped_at` is the cell at which the notebook ended itself, early and on purpose."""

    verdict: Verdict
    error: TaskError | None = None
    stopped_at: int | None = None
