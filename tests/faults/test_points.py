"""A process dies, or the disk fails, at each fault point of a real run: whatever it was, `resume` finishes the run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from nbflow.core.state import RunState
from nbflow.faultpoints import Point
from support.commands import Said
from support.projects import Project, project

TOML = """
[pipelines.small.tasks]
first = { notebook = "first.ipynb" }
second = { notebook = "second.ipynb", needs = ["first"], params = { n = "{{ tasks.first.outputs.n }}" } }
"""
MAKES_THE_RUN = 2
"""The number of that transaction in a new project; the first one makes the store."""
OF_THE_ENGINE = (Point.RUN_CREATED, Point.CLAIMED, Point.COMMITTED, Point.RUN_ACKED)
OF_WORKERS = (Point.KERNEL_STARTED, Point.LAST_CELL)
OF_BOTH = (Point.TEMP_WRITTEN, Point.RENAMED)
"""What workers pass first, and the engine when it writes the page of the run."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Project]:
    """Two tasks, of which the second gets a value of the first."""
    with project(tmp_path / "project", TOML) as made:
        write(made)
        yield made


def write(made: Project) -> None:
    made.notebook("first", "import nbflow\nnbflow.output('n', 7)")
    made.notebook("second", "print(n)", params="n = 0")


def finish(small: Project) -> RunState:
    """Resume the run, or run where there is none, and check everything; the run."""
    runs = small.runs()
    for run in runs:
        assert run["state"] not in ("queued", "running"), "nobody carries it out"
    said = small.call("resume", runs[0]["run"]) if runs else small.call("run", "small")
    assert said.code == 0, said.out + said.err
    small.sweep()
    (state,) = small.check().values()
    assert state.status == "succeeded"
    assert [task.outputs for task in state.tasks.values()] == [{"n": 7}, {}]
    return state


def begin(small: Project, fault: str) -> Said:
    """Run, or go on with what there is, under a fault."""
    runs = small.runs()
    return small.call("resume", runs[0]["run"], fault=fault) if runs else small.call("run", "small", fault=fault)


def test_each_point_is_reached() -> None:
    """By one plain run: at each something dies, in the tests below."""
    assert {*OF_THE_ENGINE, *OF_WORKERS, *OF_BOTH} == set(Point)


def test_the_engine_dies_again_and_again(small: Project) -> None:
    for point in OF_THE_ENGINE:
        number = MAKES_THE_RUN if point is Point.COMMITTED else 1
        assert begin(small, f"{point}:kill:{number}").code == -signal.SIGKILL
    finish(small)


def test_workers_die_again_and_again(small: Project) -> None:
    for point in OF_WORKERS:
        said = begin(small, f"{point}:kill")
        assert said.code == 1
        assert "signal 9, SIGKILL" in said.out
    finish(small)


def test_workers_and_the_engine_die_while_they_write(small: Project) -> None:
    """Also what makes the notebook in place of a dead worker."""
    for point in OF_BOTH:
        assert begin(small, f"{point}:kill").code == -signal.SIGKILL
    state = finish(small)
    assert [len(task.attempts) for task in state.tasks.values()] == [3, 1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("point", Point)
def test_killed_at_every_passage(tmp_path: Path, point: Point) -> None:
    """At the first passage, the second, and so on, until there is none."""
    for number in count(1):
        with project(tmp_path / str(number), TOML) as made:
            write(made)
            if made.call("run", "small", fault=f"{point}:kill:{number}").code == 0:
                made.check()
                break
            finish(made)
    assert number > 1


def test_the_archive_fails(small: Project) -> None:
    """The task has failed by it, and the run cannot be completed; both say why."""
    for point in OF_BOTH:
        said = begin(small, f"{point}:error")
        assert said.code == 6, said.out
        assert "error: cannot write " in said.err
        assert "Input/output error" in said.err
        task = small.call("show", "@last", "--json").json["tasks"][0]
        assert (task["state"], task["error"]["kind"]) == ("failed", "archive")
        assert "Input/output error" in task["error"]["message"]
    finish(small)


def test_the_store_fails_after_a_commit(small: Project) -> None:
    """Nobody knows then whether it is durable: the engine stops, and what is in the store counts."""
    for number in (MAKES_THE_RUN, 1, MAKES_THE_RUN + 2):
        said = begin(small, f"{Point.COMMITTED}:error:{number}")
        assert said.code == 6, said.out
        assert "state.db: the store cannot be used: Input/output error" in said.err
    finish(small)


def test_the_system_fails_the_engine_as_it_begins(small: Project) -> None:
    """No run of its is left to wait for somebody who does not come."""
    for point in (Point.RUN_CREATED, Point.CLAIMED, Point.RUN_ACKED):
        said = small.call("run", "small", fault=f"{point}:error")
        assert said.code == 6, said.out
        assert "Input/output error" in said.err
        assert [run["state"] for run in small.runs()] == ["interrupted"]
        assert small.call("resume", "@last").code == 0
        small.check()
        assert small.call("prune", "@last", "--yes").code == 0


def test_a_fault_that_nobody_knows_is_refused(small: Project) -> None:
    for command in (("run", "small"), ("run", "small", "--detach"), ("test", "small.first")):
        said = small.call(*command, fault="commited:kill")
        assert said.code == 2
        assert "NBFLOW_FAULT='commited:kill' is no fault" in said.err
        assert "the points are run_created, claimed" in said.err
    assert not (small.root / "outputs").exists(), "before anything is made"
