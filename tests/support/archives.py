"""Archives of projects with one run: in a folder, and on object storage in memory."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from nbflow.archiving import Archiving
from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.core.spec import ProjectSpec
from nbflow.core.state import RunState
from nbflow.core.views import project, run_document
from nbflow.runs import Runs
from nbflow.store.memory import MemoryStore
from support.build import RUN, Story, planned

FOLDER = f"sales/{RUN}"
NOTEBOOK, PAGE = f"{FOLDER}/a.ipynb", f"{FOLDER}/a.html"


def spec_of(root: Path, outputs: str) -> ProjectSpec:
    return ProjectSpec(root=str(root), file="pipelines.toml", pipelines={}, outputs=outputs, state=str(root / "s.db"))


def finished(archiving: Archiving, verdict: Verdict = Verdict.SUCCEEDED) -> Finished:
    """A report of `a`, with its files published as a worker would."""
    files = []
    for path in (NOTEBOOK, PAGE):
        data = f"{path} {verdict}".encode()
        archiving.files.publish(path, data)
        files.append(ArchivedFile(path=path, size=len(data), sha256=sha256(data).hexdigest()))
    return Finished(task="a", attempt=1, outcome=Outcome(verdict=verdict, files=tuple(files)))


def carried_out(archiving: Archiving, url: str, verdict: Verdict = Verdict.SUCCEEDED) -> RunState:
    """A run with one task, published and given to the uploads, as an engine does it."""
    story = Story(planned("a"), outputs=url, spool="outputs/.nbflow/spool", root=str(archiving.files.root))
    feeds = archiving.sender.feeds(story.state)
    story.send("start")
    story.send(finished(archiving, verdict))
    for name in ("run.json", "index.html"):
        manifest = {"run": "x", "created": "y", "ended": run_document(story.state)["ended"]}
        archiving.files.publish(f"{FOLDER}/{name}", json.dumps(manifest).encode())
    for stamped in story.history:
        for feed in feeds:
            feed(stamped)
    return story.state


class OneRun(Runs):
    """Runs of a store that has one."""

    def __init__(self, state: RunState) -> None:
        super().__init__(MemoryStore(), lambda _: False)
        self.only = state
        self.row = project(state).row
        self.store.run = lambda run: self.row if run == RUN else None  # type: ignore[method-assign]

    def state(self, row: Any) -> RunState:
        return self.only

    __slots__ = ("only", "row")
    __setattr__ = object.__setattr__
