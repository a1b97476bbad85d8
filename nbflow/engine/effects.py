"""What the engine hands to the executor for an event: the work order of an attempt. Pure."""

from __future__ import annotations

import posixpath

from nbflow.core import events as ev
from nbflow.core.attempt import WorkOrder
from nbflow.core.state import RunState
from nbflow.core.views import date_instant


def work_order(state: RunState, event: ev.AttemptSubmitted) -> WorkOrder:
    """All that a worker needs for one attempt."""
    created, settings = state.created, state.created.settings
    task = state.tasks[event.task]
    planned = task.planned
    return WorkOrder(
        run=created.run,
        pipeline=created.pipeline,
        task=planned.name,
        attempt=event.attempt,
        slug=planned.slug,
        notebook=posixpath.join(settings.root, planned.notebook),
        root=settings.root,
        outputs=posixpath.join(settings.root, settings.outputs),
        folder=settings.folder,
        journal=posixpath.join(settings.journals, f"{planned.slug}.{event.attempt}.jsonl"),
        params=task.params,
        kernel=planned.kernel,
        limits=planned.limits,
        logical_date=date_instant(created.logical_date),
        sha256=planned.sha256,
    )
