"""One task of a run tried out: carried out once, below a folder of its own, and recorded nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.archive.files import FileArchive
from nbflow.core.messages import Start
from nbflow.core.state import fold
from nbflow.execution import carry_out, drop_journals, record
from nbflow.request import once, only, relative
from nbflow.store.memory import MemoryStore

if TYPE_CHECKING:
    from nbflow.core.events import RunCreated
    from nbflow.core.spec import ProjectSpec
    from nbflow.engine.loop import Ports
    from nbflow.execution import Attach
    from nbflow.results import RunResult

TESTS_FOLDER = ".nbflow/tests"
"""Below the archive root: what `nbflow test` leaves."""
OWNER = "test"


def try_out(created: RunCreated, task: str, spec: ProjectSpec, ports: Ports, attach: Attach | None) -> RunResult:
    """Carry out one task, or one copy of it, of a run that was planned with that task alone.

    Of `ports`, store and archive are not used. Raises NotFoundError where there is no such copy, UnreachableError where
    its notebook cannot be written.
    """
    declared = task.partition("[")[0]
    plan = once(created.plan if task == declared else only(created.plan, task))
    place = f"{relative(spec.local, spec.root)}/{TESTS_FOLDER}"
    settings = replace(created.settings, outputs=place, spool=None, folder=created.pipeline)
    created = replace(created, plan=plan, settings=settings)
    FileArchive(Path(spec.local, TESTS_FOLDER)).check()
    store = MemoryStore()
    fence = record(created, store, OWNER)
    ports = replace(ports, store=store, seal=drop_journals)
    return carry_out(fold(store.events(created.run)), fence, [Start(owner=OWNER)], ports, attach)
