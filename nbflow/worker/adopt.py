"""What came of an attempt, as its archived notebook tells it: for one whose end is in no journal and in no store.

So it is after a store was restored from a backup that is older than the end of the attempt. Changes nothing. Must not
know journals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

from nbflow.archive.files import FileArchive
from nbflow.archive.layout import attempt_path, notebook_path
from nbflow.archive.spools import spool_path, spooled
from nbflow.core import codec
from nbflow.core.attempt import ArchivedFile, CellState, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.values import decode
from nbflow.errors import NotFoundError, UnreachableError
from nbflow.worker.fold import counted
from nbflow.worker.snapshot import code_cells

_NO_NOTEBOOK = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def adopted(order: WorkOrder) -> Outcome | None:
    """The outcome of an attempt whose whole notebook is in the archive, with the hashes of what is there.

    It may have made way for a later attempt. None where there is none, or none that can be read.
    """
    archive = FileArchive(Path(order.outputs))
    for path in (notebook_path(order.folder, order.slug), attempt_path(order.folder, order.slug, order.attempt)):
        # What is not there or cannot be read is for the one who publishes to deal with: he replaces nothing either.
        with suppress(NotFoundError, UnreachableError, *_NO_NOTEBOOK):
            document = json.loads(archive.read(path))
            if _is_of(order, document["metadata"]["nbflow"]):
                return replace(told(document), files=_files(archive, path, document))
    return None


def told(document: Mapping[str, Any]) -> Outcome:
    """The outcome that an executed notebook tells, without files: the one that came of the same journal.

    Raises ValueError, LookupError, TypeError or AttributeError for what is no such notebook.
    """
    facts = document["metadata"]["nbflow"]
    exact = {name: json.loads(text) for name, text in facts.get("outputs_exact", {}).items()}
    outputs = {name: exact.get(name, value) for name, value in facts["outputs"].items()}
    for value in outputs.values():
        decode(value)
    return Outcome(
        verdict=Verdict(facts["state"]),
        error=None if facts["error"] is None else codec.load(TaskError, facts["error"]),
        cells=counted([CellState(cell["metadata"]["nbflow"]["state"]) for _, cell in code_cells(document)]),
        outputs=outputs,
        duration=facts["duration"] or 0.0,
        stopped_at=facts["stopped_at"],
        kernel=facts["environment"]["kernel"],
        cpu_seconds=facts["cpu_seconds"],
        peak_memory=facts["peak_memory"],
        left_behind=tuple(facts.get("left_behind", ())),
    )


def _is_of(order: WorkOrder, facts: Mapping[str, Any]) -> bool:
    """Whether a notebook is that of this very attempt, and of its end."""
    named = (order.run, order.pipeline, order.task, order.attempt)
    return tuple(facts[key] for key in ("run", "pipeline", "task", "attempt")) == named and facts["ended"] is not None


def _files(archive: FileArchive, path: str, document: Mapping[str, Any]) -> tuple[ArchivedFile, ...]:
    """The notebook, its page and what lies beside it, as far as they are there."""
    beside = [spool_path(path, one.file) for one in spooled(document)]
    found = []
    for name in (path, f"{path.removesuffix('.ipynb')}.html", *beside):
        with suppress(NotFoundError), archive.open(name) as file:
            digest = file_digest(file, "sha256").hexdigest()
            found.append(ArchivedFile(path=name, size=file.tell(), sha256=digest))
    return tuple(found)
