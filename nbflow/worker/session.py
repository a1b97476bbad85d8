"""What is needed to run the cells of one document with one kernel, its limits of time, and how that ended.

Plain data between the parts of a worker. Must not know how cells are run.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.attempt import ErrorKind, TaskError, Verdict
from nbflow.core.masking import Masker
from nbflow.core.messages import Report
from nbflow.core.spec import Limits
from nbflow.kernels.specs import KernelSpec
from nbflow.worker.control import Control
from nbflow.worker.journal import Journal
from nbflow.worker.spool import Spools


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An instant (monotonic seconds), and what it means for the attempt when it passes."""

    at: float
    kind: ErrorKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSource:
    """Where a kernel comes from: the socket of a zygote that forks it, else an ordinary start, with the reason.

    `ahead` is a connection on which the zygote has been asked for it already.
    """

    zygote: str | None = None
    reason: str | None = None
    ahead: socket.socket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One document to run. `began` is the monotonic instant from which the limit of the whole notebook counts.

    `grace` is how many seconds an interrupted cell gets to end; `variables` are added to the kernel's environment,
    secrets among them, whose values `masker` knows; `withheld` are variables that the kernel does not inherit.
    """

    task: str
    attempt: int
    document: Mapping[str, Any]
    kernel: KernelSpec
    source: KernelSource = KernelSource()
    root: str
    limits: Limits
    grace: float
    began: float
    variables: Mapping[str, str] = field(repr=False)
    withheld: tuple[str, ...] = ()
    masker: Masker = field(default_factory=lambda: Masker({}), repr=False)
    journal: Journal
    spools: Spools | None = None
    control: Control
    report: Callable[[Report], None]

    def start_limit(self, began: float) -> Limit | None:
        """When the kernel has to be ready that was started at `began`."""
        own = _limit(began, self.limits.start_timeout, ErrorKind.START_FAILED, "{} (start_timeout)")
        return _nearest(own, self.notebook_limit())

    def cell_limit(self, began: float) -> Limit | None:
        """When the cell has to have ended that was sent at `began`."""
        own = _limit(began, self.limits.cell_timeout, ErrorKind.TIMEOUT, "its time limit of {} (cell_timeout)")
        return _nearest(own, self.notebook_limit())

    def notebook_limit(self) -> Limit | None:
        """When the whole notebook has to have ended."""
        text = "the notebook's time limit of {} (timeout)"
        return _limit(self.began, self.limits.timeout, ErrorKind.TIMEOUT, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the cells ended. `stopped_at` is the cell at which the notebook ended itself, early and on purpose."""

    verdict: Verdict
    error: TaskError | None = None
    stopped_at: int | None = None


def _limit(began: float, seconds: float | None, kind: ErrorKind, text: str) -> Limit | None:
    if seconds is None:
        return None
    return Limit(at=began + seconds, kind=kind, text=text.replace("{}", f"{seconds:g} s"))


def _nearest(*limits: Limit | None) -> Limit | None:
    return min((limit for limit in limits if limit is not None), key=lambda limit: limit.at, default=None)
