"""Carrying a run out: its first record, an engine to its end, and what is cleared away after it. Knows no project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.core.events import RunCreated, Stamped
from nbflow.core.messages import Message
from nbflow.core.plan import PlannedTask, to_run
from nbflow.core.ports import Store
from nbflow.core.state import RunState
from nbflow.core.status import TaskState
from nbflow.core.views import project, run_document
from nbflow.engine.clock import SystemClock
from nbflow.engine.effects import spent_journals
from nbflow.engine.loop import Engine, Ports
from nbflow.errors import ConfigError, IncompleteError, NbflowError, Problem, UnreachableError
from nbflow.faultpoints import Point, cross
from nbflow.results import RunResult

if TYPE_CHECKING:
    from nbflow.config.notebooks import NotebookFile

Attach = Callable[[Engine], None]
"""Given the engine before it begins, so that a caller can post to it: from a signal handler, say."""


def record(created: RunCreated, store: Store, owner: str | None = None) -> int:
    """Keep the first event of a run, and return its fencing number. With `owner` it is owned at once: it never waits
    for one who has died before he took it.
    """
    stamped = Stamped(run=created.run, seq=1, at=SystemClock().now(), event=created)
    state = RunState(created, stamped.at)
    state.seq = 1
    fence = store.create([stamped], project(state), owner)
    cross(Point.RUN_CREATED)
    return fence


def carry_out(
    state: RunState, fence: int, messages: Sequence[Message], ports: Ports, attach: Attach | None
) -> RunResult:
    """Carry a run out to its end, beginning with some messages, and give its document.

    Raises as `Engine.run`, and IncompleteError where the run has ended, and something was refused.
    """
    engine = Engine(state, fence, ports)
    if attach is not None:
        attach(engine)
    document = run_document(engine.run(messages))
    if engine.refusal is not None:
        raise IncompleteError(engine.refusal, document) from engine.refusal
    return RunResult(document)


@contextmanager
def released(store: Store, run: str, fence: int) -> Iterator[None]:
    """Give a run back at the end; a store that fails then as well does not hide what went wrong first."""
    try:
        cross(Point.CLAIMED)
        yield
    except BaseException:
        with suppress(NbflowError):
            store.release(run, fence)
        raise
    store.release(run, fence)


@contextmanager
def named(run: str) -> Iterator[None]:
    """What goes wrong inside names the run and, where it is not for others to go on with it or over, the way on."""
    try:
        yield
    except NbflowError as error:
        error.run = run
        if isinstance(error, UnreachableError) and not isinstance(error, IncompleteError):
            error.hint = f"{error.hint or 'see to that'}; then: nbflow resume {run}"
        raise


@contextmanager
def whole() -> Iterator[list[RunResult]]:
    """A list for what a run came to: where the store fails after that, it is told with it, as an IncompleteError."""
    ended: list[RunResult] = []
    try:
        yield ended
    except UnreachableError as error:
        if not ended:
            raise
        raise IncompleteError(error, ended[0]) from error


def drop_journals(state: RunState) -> None:
    """Remove the journals of attempts whose notebooks are archived, and what lies beside them.

    Raises UnreachableError where one cannot be removed.
    """
    from nbflow.worker.spool import drop_spools

    for journal in spent_journals(state):
        try:
            Path(journal).unlink(missing_ok=True)
        except OSError as error:
            raise UnreachableError(
                f"cannot remove {journal}: {error.strerror}", hint="see that its disk works and can be written"
            ) from error
        drop_spools(Path(journal))
    with suppress(OSError):  # what is left in it belongs to notebooks that could not be archived
        Path(state.created.settings.journals).rmdir()


def still_to_run(state: RunState) -> list[PlannedTask]:
    """The tasks that a run may still run, in its order."""
    return to_run(
        task.planned
        for name, task in state.tasks.items()
        if task.state is not TaskState.SUCCEEDED and not (task.state is TaskState.SKIPPED and name in state.dropped)
    )


def read_again(state: RunState, root: str) -> dict[str, NotebookFile]:
    """The notebooks of a project that a run may still run, as they are now, by name.

    Raises ConfigError where any cannot be run any more, with all of them.
    """
    from nbflow.config.notebooks import read_notebook

    files = {name: read_notebook(Path(root, name)) for name in _hashes(state)}
    faults = [
        Problem(file=name, line=None, col=None, key="", message=fault.message, hint=fault.hint or _way_on(file, state))
        for name, file in files.items()
        for fault in file.problems
        if not fault.warning
    ]
    if faults:
        raise ConfigError(faults)
    return files


def changed(state: RunState, root: str) -> list[str]:
    """Notebooks of a project that are not what they were when a run was planned, and that it may still run as they are
    now, in its order.
    """
    from nbflow.config.notebooks import read_notebook

    others = [name for name, sha256 in _hashes(state).items() if sha256 not in (None, _hash(root, name))]
    return [name for name in others if read_notebook(Path(root, name)).document is not None]


def _hashes(state: RunState) -> dict[str, str | None]:
    """The notebooks that a run may still run, with the hashes that they had when it was planned."""
    return {task.notebook: task.sha256 for task in still_to_run(state)}


def _way_on(file: NotebookFile, state: RunState) -> str:
    way = "put it back" if file.is_missing else "mend it"
    return f"{way}, then: nbflow resume {state.run}; or begin anew: nbflow run {state.created.pipeline}"


def _hash(root: str, name: str) -> str | None:
    """The SHA-256 of a file of the project; None where it cannot be read."""
    try:
        return sha256(Path(root, name).read_bytes()).hexdigest()
    except OSError:
        return None
