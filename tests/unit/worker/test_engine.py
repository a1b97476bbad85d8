"""The papermill engine: found by papermill in every order of imports, and of use in a worker only."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from nbflow.core.attempt import Verdict
from nbflow.worker import engine, runner
from nbflow.worker.engine import Execution, NbflowEngine, through_papermill
from nbflow.worker.session import Ending, Session
from support.attempts import notebook


@pytest.mark.parametrize("first", ["papermill", "nbflow.worker.engine"])
def test_papermill_finds_it_whatever_is_imported_first(first: str) -> None:
    code = (
        f"import {first}; from papermill.engines import papermill_engines as e; print(e.get_engine('nbflow').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "NbflowEngine\n", done.stderr


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, nbflow.worker.engine; print({'papermill', 'nbclient', 'nbformat', 'zmq'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_outside_of_a_worker_it_says_so() -> None:
    with pytest.raises(ValueError, match="use `nbflow run`"):
        NbflowEngine.execute_notebook(None, "python3", output_path="x.ipynb")


def session(document: dict[str, object]) -> Session:
    from nbflow.core.spec import Limits
    from nbflow.kernels.specs import KernelSpec

    kernel = KernelSpec(name="python3", display_name="Python", language="python", argv=("python",))
    unused = dict.fromkeys(("task", "root", "variables", "journal", "control", "report"))
    return Session(
        attempt=1,
        limits=Limits(),
        grace=1.0,
        began=0.0,
        document=document,
        kernel=kernel,
        **unused,  # type: ignore[arg-type]
    )


def test_papermill_passes_all_cells_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that it would take away from a notebook that it reads, and those that it would choke on."""
    seen: list[tuple[Session, list[str]]] = []

    async def run(one: Session, found: Any) -> Ending:
        seen.append((one, [cell.source for cell in found.cells]))
        return Ending(verdict=Verdict.SUCCEEDED, stopped_at=1)

    monkeypatch.setattr(runner, "run", run)
    marked = {"cell_type": "markdown", "metadata": {"tags": ["papermill-error-cell-tag"]}, "source": "was red"}
    odd = {"cell_type": "code", "metadata": {"tags": None}, "source": "{curly}", "outputs": [], "execution_count": None}
    one = session({**notebook(marked, odd, minor=4), "nbformat_minor": 99})
    assert through_papermill(one) == Ending(verdict=Verdict.SUCCEEDED, stopped_at=1)
    assert seen == [(one, ["was red", "{curly}"])]


def test_an_execution_begins_without_an_ending() -> None:
    assert Execution(session({})).ending is None
    assert engine.NAME == "nbflow"
