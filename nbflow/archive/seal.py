"""What completes a run's folder once the run has ended: `run.json`, the manifest, and `index.html`, its page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nbflow.archive import layout
from nbflow.archive.files import FileArchive
from nbflow.archive.index import RunPage, run_page
from nbflow.core import codec
from nbflow.core.state import Attempt, RunState, TaskRun
from nbflow.core.views import instant, outcome_document, plan_document, run_document, task_document
from nbflow.errors import NotFoundError

MANIFEST_SCHEMA = "nbflow.manifest/1"


def seal(state: RunState, archive: FileArchive) -> str:
    """Publish the manifest and the page of a run that has ended; gives the page's path below the archive root.

    Raises UnreachableError where the archive cannot be written; it may then be called again.
    """
    folder = state.created.settings.folder
    path = layout.index_path(folder)
    archive.publish(path, page(state).encode("utf-8"))
    archive.publish(layout.manifest_path(folder), manifest(state))
    return path


def is_sealed(folder: str, ended: str | None, archive: FileArchive) -> bool:
    """Whether a run's folder is complete for its end at the instant `ended`, as documents write it.

    The manifest is the last that is published. A run that was resumed may still have that of an earlier end.
    """
    try:
        found = json.loads(archive.read(layout.manifest_path(folder)))
    except (NotFoundError, ValueError):
        return False
    return found["ended"] == ended and archive.exists(layout.index_path(folder))


def manifest(state: RunState) -> bytes:
    """`run.json`: the run document with plan, environment, hashes, and the outcome of every attempt."""
    document = {
        **run_document(state),
        "schema": MANIFEST_SCHEMA,
        "plan": plan_document(state.created.plan)["tasks"],
        "environment": dict(state.created.settings.facts),
        "settings": {
            key: value
            for key, value in codec.dump(state.created.settings, full=True).items()
            if key in ("timezone", "jobs", "fail_fast", "max_parallel", "timeout", "pools")
        },
        "sources": {task.planned.notebook: task.planned.sha256 for task in state.tasks.values()},
        "attempts": [
            {"task": name, **_attempt(attempt)} for name, task in state.tasks.items() for attempt in task.attempts
        ],
        "files": [file for task in state.tasks.values() for file in _files(task)],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode("utf-8")


def page(state: RunState) -> str:
    """`index.html`. The same state gives the same bytes."""
    created = state.created
    return run_page(
        RunPage(
            run={**run_document(state), "tasks": [_page_task(state, task) for task in state.tasks.values()]},
            folder=f"{created.settings.outputs}/{created.settings.folder}",
            written=state.ended_at or state.created_at,
            description=created.plan.description,
            facts=dict(_shown(created.settings.facts)),
            timezone=created.settings.timezone,
        )
    )


def _shown(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Facts as the page shows them: the commit in short, nothing that is not known."""
    for name, value in facts.items():
        if name == "git" and value is not None:
            yield "git commit", value["commit"][:12] + (", with changes" if value["dirty"] else "")
        elif value is not None:
            yield name, value


def _page_task(state: RunState, task: TaskRun) -> dict[str, Any]:
    last = task.attempts[-1].outcome if task.attempts else None
    return {
        **task_document(state, task),
        "slug": task.planned.slug,
        "description": task.planned.description,
        "stopped_at": last.stopped_at if last is not None else None,
        "attempt_history": [_attempt(attempt) for attempt in task.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """One attempt: number, state, times, and what came of it."""
    outcome: Mapping[str, Any] = outcome_document(attempt.outcome) if attempt.outcome is not None else {}
    return {
        "attempt": attempt.number,
        "state": outcome.get("verdict", "running"),
        "started": instant(attempt.submitted),
        "ready": instant(attempt.started),
        "ended": instant(attempt.ended),
        "error": outcome.get("error"),
        "duration": outcome.get("duration"),
        "cpu_seconds": outcome.get("cpu_seconds"),
        "peak_memory": outcome.get("peak_memory"),
        "kernel": outcome.get("kernel"),
        "cells": outcome.get("cells"),
    }


def _files(task: TaskRun) -> Iterator[dict[str, Any]]:
    """Files of the attempt that counts; those of earlier ones have moved to `attempts/`."""
    if task.attempts and task.attempts[-1].outcome is not None:
        yield from (codec.dump(file, full=True) for file in task.attempts[-1].outcome.files)
