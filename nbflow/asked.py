"""What somebody asks of a run: plain data, which costs nothing to load. What is made of it is in `nbflow.request`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from nbflow.core.spec import EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How a pipeline is to be run.

    `params` are typed values (dates and paths may be text), `texts` values as typed on a command line.
    `logical_date` may be a date: midnight in the project's zone; None means now. `jobs` bounds the task runs at
    once; None means one per core. `select` and `exclude` are terms of the selection syntax.
    """

    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    texts: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    logical_date: date | datetime | None = None
    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    jobs: int | None = None
    fail_fast: bool = False
    executor: str = "local"
    trigger: str = "api"
