"""Loading what a run needs before it is needed: by an executor, and here what its page is made with.

All of it is a hint: whatever cannot be known ahead is loaded when it is needed. Must not know how executors load.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.core.spec import EMPTY

if TYPE_CHECKING:
    from nbflow.config.notebooks import NotebookFile
    from nbflow.core.events import Stamped
    from nbflow.core.plan import PlannedTask
    from nbflow.core.ports import Executor, Listener
    from nbflow.core.spec import ProjectSpec, Task


def ahead_of_the_page() -> Listener:
    """Loads what the page of a run is made with while its first notebook runs and the engine only waits."""
    from nbflow.core.events import AttemptStarted

    begun = threading.Event()

    def hear(stamped: Stamped) -> None:
        if isinstance(stamped.event, AttemptStarted) and not begun.is_set():
            begun.set()
            with suppress(RuntimeError):  # the system has no thread to spare
                threading.Thread(target=load_page, name="page", daemon=True).start()

    return hear


def load_page() -> None:
    """Load what the page of a run is made with."""
    from nbflow.archive import seal  # noqa: F401 - loads all that a page is drawn with
    from nbflow.archive.render import compile_templates

    compile_templates()


@contextmanager
def loading(name: str, root: str) -> Iterator[Executor]:
    """An executor of some name that begins to load at once, and is closed in the end whatever comes.

    Raises UsageError where there is no such executor.
    """
    from nbflow import plugins
    from nbflow.executors import ahead

    executor: Executor = plugins.factory(plugins.EXECUTORS, name)()
    try:
        executor.prepare(EMPTY, root)
        ahead.drop()  # it is not the executor that it was started for
        yield executor
    finally:
        executor.close()


def prepare(
    executor: Executor,
    tasks: Iterable[Task | PlannedTask],
    spec: ProjectSpec,
    notebooks: Mapping[str, NotebookFile] = EMPTY,
) -> None:
    """Tell an executor the kernels of some tasks. Notebooks that are not among `notebooks` are read."""
    from nbflow.config.notebooks import read_notebook
    from nbflow.core.imports import Imports, imported_modules, preloads
    from nbflow.core.secrets import withheld

    pairs = [(task.notebook, task.kernel) for task in tasks]
    found: dict[str, Imports] = {}
    for name in dict.fromkeys(name for name, _ in pairs):
        file = notebooks.get(name) or read_notebook(Path(spec.root, name))
        if file.document is not None:
            found[name] = Imports(kernel=file.kernel, modules=imported_modules(file.document))
    executor.prepare(preloads(pairs, found, spec.preloads), spec.root, withheld(spec))
