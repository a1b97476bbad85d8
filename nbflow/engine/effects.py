"""What the engine hands to the executor for an event: the work order of an attempt. Pure."""

from __future__ import annotations

import posixpath

from nbflow.core.attempt import WorkOrder
from nbflow.core.state import RunState
from nbflow.core.views import date_instant


def work_order(state: RunState, name: str) -> WorkOrder:
    """All that a worker needs for the newest attempt of a task."""
    created, settings = state.created, state.created.settings
    task = state.tasks[name]
    planned = task.planned
    return WorkOrder(
        run=created.run,
        pipeline=created.pipeline,
        task=planned.name,
        attempt=task.attempt,
        slug=planned.slug,
        notebook=posixpath.join(settings.root, planned.notebook),
        root=settings.root,
        outputs=posixpath.join(settings.root, settings.spool or settings.outputs),
        folder=settings.folder,
        journal=journal_path(state, name, task.attempt),
        params=task.params,
        kernel=planned.kernel,
        limits=planned.limits,
        logical_date=date_instant(created.logical_date),
        timezone=settings.timezone,
        sha256=planned.sha256,
        secrets=planned.secrets,
        withheld=settings.withheld,
    )


def journal_path(state: RunState, name: str, attempt: int) -> str:
    """The absolute path of the journal of an attempt."""
    return posixpath.join(state.created.settings.journals, f"{state.tasks[name].planned.slug}.{attempt}.jsonl")


def spent_journals(state: RunState) -> list[str]:
    """Journals that are not needed any more: those of attempts whose notebooks are in the archive."""
    return [
        journal_path(state, name, attempt.number)
        for name, task in state.tasks.items()
        for attempt in task.attempts
        if attempt.outcome is not None and attempt.outcome.files
    ]
