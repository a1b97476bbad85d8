"""The papermill engine `nbflow`: what papermill calls to have a notebook executed.

papermill loads it by an entry point while it is itself being imported, so nothing of papermill is imported here and
the engine is no subclass of papermill's: that one stamps states ("completed" for every cell) which may not be true.
Must not know how cells are run.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from nbflow.worker.session import Ending, Session

NAME = "nbflow"
_ADDRESS = "nbflow:notebook.ipynb"
"""By it papermill finds the notebook that it is handed."""


@dataclass(slots=True)
class Execution:
    """One session on its way through papermill, and how it ended once that is known."""

    session: Session
    ending: Ending | None = None


class NbflowEngine:
    """Executes a notebook for papermill. It needs the `execution` that an nbflow worker passes through papermill."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, *, execution: Execution | None = None, **options: Any) -> Any:
        """Run the cells of the execution's session; `nb`, papermill's own copy of its notebook, is returned empty.

        papermill's `options` concern its way of saving and logging, and are not used. Outputs are in the journal.
        """
        from nbflow.worker.runner import run

        del kernel_name, options
        if execution is None:
            raise ValueError("the papermill engine `nbflow` works inside a worker of nbflow only; use `nbflow run`")
        execution.ending = asyncio.run(run(execution.session, nb))
        nb.cells = []  # papermill makes the text of what it gets once more, even where it is not to write it
        return nb

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel that papermill passes on: the one it was asked for, else the notebook's own."""
        return name or str(nb.metadata.kernelspec.name)

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The notebook's language, for papermill's parameters."""
        return language or str(nb.metadata.kernelspec.language)


class _Handed:
    """Where papermill reads the notebook: it is handed its text, and there is no file."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self, path: str) -> str:
        """The text of the notebook."""
        del path
        return self._text

    def pretty_path(self, path: str) -> str:
        """The address as papermill shows it."""
        return path


def through_papermill(session: Session) -> Ending:
    """Run a session as papermill runs any notebook: with this engine, and with none of its files or parameters."""
    import papermill
    from papermill.engines import papermill_engines
    from papermill.iorw import papermill_io

    papermill_engines.register(NAME, NbflowEngine)
    papermill_io.register(_ADDRESS, _Handed(json.dumps(_plainly(session))))
    execution = Execution(session)
    papermill.execute_notebook(
        _ADDRESS,
        None,
        engine_name=NAME,
        kernel_name=session.kernel.name,
        progress_bar=False,
        request_save_on_cell_execute=False,
        execution=execution,
    )
    if execution.ending is None:
        raise RuntimeError("papermill returned without having called the engine")
    return execution.ending


def _plainly(session: Session) -> dict[str, Any]:
    """The cells as papermill gets them: without metadata, which may be odd and which it would mark or choke on."""
    cells = []
    for number, cell in enumerate(session.document["cells"]):
        plain = {"id": f"cell-{number}", "cell_type": cell["cell_type"], "metadata": {}, "source": cell["source"]}
        cells.append(plain | ({"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}))
    metadata = {"kernelspec": session.kernel.metadata}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
