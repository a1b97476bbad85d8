"""What a store keeps and gives beside events: rows, not folds. Light, so that a list of runs costs little to make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LEASE_SECONDS = 60.0
"""How long an owner that gives no sign of life keeps its run from those who cannot tell whether it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as the store lists it. `document` is the run document without its tasks; `owner` is who has it.

    `fence` counts the claims of it. `lapsed`: the owner has given no sign of life for longer than its lease lasts.
    """

    run: str
    pipeline: str
    state: str
    created: datetime
    document: Mapping[str, Any]
    owner: str | None = None
    fence: int = 0
    seq: int = 0
    lapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """What a run has of a pool: `held` slots, and those `wanted` by the task that it would begin next.

    `wanted` is 0 where nothing waits for this pool alone, else `since` says from when the run has waited its turn:
    since it began to wait, or last got slots. `owner` and `lapsed` are those of the run; the store fills them in.
    """

    run: str
    pool: str
    held: int
    wanted: int = 0
    since: datetime | None = None
    owner: str | None = None
    lapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What the store keeps beside events: the run's row and the task documents that changed, by plan position.

    `outputs` holds, by the same positions, the encoded outputs of tasks that succeeded. `pools` is the run's use of
    every pool that its tasks name.
    """

    row: RunRow
    tasks: Mapping[int, Mapping[str, Any]]
    outputs: Mapping[int, Mapping[str, Any]]
    pools: tuple[PoolUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A run that was taken out of the store, and whose files may still be there."""

    run: str
    pipeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The newest success of a task: the run it happened in, and what it gave (encoded)."""

    run: str
    outputs: Mapping[str, Any]
