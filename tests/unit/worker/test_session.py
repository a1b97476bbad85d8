"""Limits of time: the nearest one counts, and says which it is."""

from __future__ import annotations

import pytest

from nbflow.core.attempt import ErrorKind
from nbflow.core.spec import Limits
from nbflow.worker.session import Session


def session(**limits: float | None) -> Session:
    unused = dict.fromkeys(("task", "document", "kernel", "root", "variables", "journal", "control", "report"))
    return Session(attempt=1, limits=Limits(**limits), grace=1.0, began=100.0, **unused)  # type: ignore[arg-type]


def test_without_limits_there_are_none() -> None:
    free = session(start_timeout=None)
    assert (free.start_limit(100.0), free.cell_limit(100.0), free.notebook_limit()) == (None, None, None)


def test_each_counts_from_its_own_beginning() -> None:
    some = session(start_timeout=60, cell_timeout=5, timeout=1000)
    start, cell, notebook = some.start_limit(101.0), some.cell_limit(200.0), some.notebook_limit()
    assert start is not None
    assert cell is not None
    assert notebook is not None
    assert (start.at, start.kind, start.text) == (161.0, ErrorKind.START_FAILED, "60 s (start_timeout)")
    assert (cell.at, cell.kind) == (205.0, ErrorKind.TIMEOUT)
    assert cell.text == "its time limit of 5 s (cell_timeout)"
    assert (notebook.at, notebook.text) == (1100.0, "the notebook's time limit of 1000 s (timeout)")


@pytest.mark.parametrize("began", [97.0, 99.0])
def test_the_notebooks_limit_counts_where_it_is_nearer(began: float) -> None:
    some = session(start_timeout=60, cell_timeout=5, timeout=1)
    assert some.cell_limit(began) == some.notebook_limit()
    assert some.start_limit(began) == some.notebook_limit()
