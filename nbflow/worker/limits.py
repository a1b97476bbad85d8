"""The limits of time of one attempt: instants of the monotonic clock, with what is said when one has passed.

Must not know kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from nbflow.core.attempt import ErrorKind
from nbflow.core.spec import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An instant (monotonic seconds), and what it means for the attempt when it passes."""

    at: float
    kind: ErrorKind
    text: str


def start_limit(limits: Limits, began: float) -> Limit | None:
    """For the kernel to be ready, `began` being the instant at which it was started."""
    seconds = limits.start_timeout
    if seconds is None:
        return None
    return Limit(at=began + seconds, kind=ErrorKind.START_FAILED, text=f"{seconds:g} s (start_timeout)")


def cell_limit(limits: Limits, began: float) -> Limit | None:
    """For one cell, `began` being the instant at which it was sent."""
    seconds = limits.cell_timeout
    if seconds is None:
        return None
    text = f"its time limit of {seconds:g} s (cell_timeout)"
    return Limit(at=began + seconds, kind=ErrorKind.TIMEOUT, text=text)


def notebook_limit(limits: Limits, began: float) -> Limit | None:
    """For the whole notebook, `began` being the instant at which the attempt began."""
    seconds = limits.timeout
    if seconds is None:
        return None
    text = f"the notebook's time limit of {seconds:g} s (timeout)"
    return Limit(at=began + seconds, kind=ErrorKind.TIMEOUT, text=text)


def nearest(*limits: Limit | None) -> Limit | None:
    """The one that passes first; None where there is none."""
    return min((limit for limit in limits if limit is not None), key=lambda limit: limit.at, default=None)
