"""The states of tasks and runs, and which event leads from which to which.

`TRANSITIONS` is the one table: `evolve` checks it, the documentation draws it.
"""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task run is. Every task of a run is in exactly one of these."""

    PENDING = "pending"
    """Waits for its upstreams."""
    QUEUED = "queued"
    """May run; waits for a slot."""
    RUNNING = "running"
    """An attempt has been handed to the executor."""
    RETRYING = "retrying"
    """The last attempt failed; the next one waits for its time."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not run, and that is all right: not selected, `when` was false, or its upstreams were skipped."""
    UPSTREAM_FAILED = "upstream_failed"
    """Not run because something that it needs failed."""
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True where nothing more will happen by itself."""
        return self in ENDED


class RunStatus(StrEnum):
    """Where a run is: always derived from its tasks, never kept as a second truth."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


ENDED = frozenset(
    {
        TaskState.SUCCEEDED,
        TaskState.FAILED,
        TaskState.SKIPPED,
        TaskState.UPSTREAM_FAILED,
        TaskState.CANCELLED,
    }
)

TRANSITIONS: dict[str, tuple[frozenset[TaskState], TaskState]] = {
    "task_queued": (frozenset({TaskState.PENDING, TaskState.RETRYING}), TaskState.QUEUED),
    "task_expanded": (frozenset({TaskState.PENDING}), TaskState.SUCCEEDED),
    "task_skipped": (frozenset({TaskState.PENDING}), TaskState.SKIPPED),
    "task_blocked": (frozenset({TaskState.PENDING}), TaskState.UPSTREAM_FAILED),
    "task_reused": (frozenset({TaskState.PENDING}), TaskState.SUCCEEDED),
    "attempt_submitted": (frozenset({TaskState.QUEUED}), TaskState.RUNNING),
    "retry_scheduled": (frozenset({TaskState.RUNNING}), TaskState.RETRYING),
    "task_succeeded": (frozenset({TaskState.RUNNING}), TaskState.SUCCEEDED),
    "task_failed": (frozenset({TaskState.PENDING, TaskState.RUNNING}), TaskState.FAILED),
    "task_cancelled": (
        frozenset({TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING, TaskState.RETRYING}),
        TaskState.CANCELLED,
    ),
    "task_reset": (
        frozenset(TaskState) - {TaskState.RUNNING, TaskState.SUCCEEDED},
        TaskState.PENDING,
    ),
}
"""Event type -> (states in which it may happen, state that it leads to).

`task_expanded` leads there where the list is empty; else the task gives way to its copies, which are pending.
`task_reset` is what `run_resumed` does to each of its tasks: what succeeded stays, and nothing may be running.
"""
