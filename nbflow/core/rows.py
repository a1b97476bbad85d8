"""What a store keeps and gives beside events: rows, not folds. Light, so that a list of runs costs little to make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as the store lists it. `document` is the run document without its tasks; `owner` is who has it."""

    run: str
    pipeline: str
    state: str
    created: datetime
    document: Mapping[str, Any]
    owner: str | None = None
    fence: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What the store keeps beside events: the run's row and the task documents that changed, by plan position.

    `outputs` holds, by the same positions, the encoded outputs of tasks that succeeded.
    """

    row: RunRow
    tasks: Mapping[int, Mapping[str, Any]]
    outputs: Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The newest success of a task: the run it happened in, and what it gave (encoded)."""

    run: str
    outputs: Mapping[str, Any]
