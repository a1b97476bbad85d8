"""One task of a run and its attempts."""

from __future__ import annotations

from nbflow.core.attempt import CellCounts, Outcome, Verdict
from nbflow.core.taskrun import Attempt, TaskRun
from support.build import NOON, planned


def test_the_newest_attempt_counts() -> None:
    task = TaskRun(planned=planned("a"))
    assert (task.attempt, task.cells) == (0, CellCounts())
    outcome = Outcome(verdict=Verdict.FAILED, cells=CellCounts(total=3, ok=1, failed=1))
    task.attempts = [Attempt(number=1, submitted=NOON, outcome=outcome), Attempt(number=2, submitted=NOON)]
    assert (task.attempt, task.cells) == (2, outcome.cells)
