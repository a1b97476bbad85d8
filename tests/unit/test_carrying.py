"""Carrying runs out: who owns them, what is settled before they go on, and what is completed at their end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.archive.seal import is_sealed
from nbflow.carrying import Carrier
from nbflow.core.messages import Cancel, StopMode
from nbflow.core.status import RunStatus
from nbflow.engine.owner import is_alive, this_process
from nbflow.errors import ConflictError
from nbflow.project import Project
from support.answering import GONE, Answering, use, write_project


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> type[Answering]:
    return use(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, executor: type[Answering]) -> Iterator[Project]:
    with Project.open(write_project(tmp_path)) as opened:
        yield opened


@pytest.fixture
def rescued() -> dict[str, str]:
    return {}


@pytest.fixture
def carrier(project: Project, rescued: dict[str, str]) -> Carrier:
    return Carrier(project.runs, project.archiving, rescued, {})


def state(project: Project, run: str) -> tuple[str, str | None]:
    row = project.runs.find(run)
    return row.state, row.owner


def test_a_run_is_carried_out_by_its_owner_and_given_back(
    project: Project, carrier: Carrier, executor: type[Answering]
) -> None:
    run = project.create("sales")
    fence = carrier.claim(project.runs.find(run))
    assert state(project, run) == (RunStatus.QUEUED, this_process())
    assert carrier.carry_out(run, fence, [], carrier.ports(executor())).state == "succeeded"
    assert state(project, run) == (RunStatus.SUCCEEDED, None)


def test_only_its_heir_takes_a_run_from_one_who_lives(project: Project, carrier: Carrier) -> None:
    run = project.create("sales")
    project.runs.store.claim(run, "elsewhere:1:1", is_alive)
    row = project.runs.find(run)
    for heir_of in (None, "elsewhere:2:2"):
        with pytest.raises(ConflictError, match="process 1 on elsewhere"):
            carrier.claim(row, heir_of)
    assert carrier.claim(row, "elsewhere:1:1") == row.fence + 1


def test_the_dead_are_ended_and_told(
    project: Project, carrier: Carrier, executor: type[Answering], rescued: dict[str, str]
) -> None:
    first, second, third = (project.create("sales") for _ in range(3))
    for run in (first, second):
        project.runs.store.claim(run, GONE, is_alive)
    carrier.ports(executor()).rescue([first, third])
    assert list(rescued) == [first]
    carrier.end(project.runs.find(second))
    assert list(rescued) == [first, second]
    assert [state(project, run)[0] for run in (first, second, third)] == ["interrupted", "interrupted", "queued"]


def test_what_nobody_carries_out_is_cancelled_here(project: Project, carrier: Carrier) -> None:
    run = project.create("sales")
    carrier.cancel(project.runs.find(run), Cancel(mode=StopMode.CANCEL, by="me"))
    assert state(project, run) == (RunStatus.CANCELLED, None)


def test_at_its_end_a_run_is_whole_and_nothing_half_written_is_left(project: Project, carrier: Carrier) -> None:
    run = project.run("sales").run
    row = project.runs.find(run)
    folder = project.archiving.files.resolve(f"sales/{run}")
    half = folder / ".report.ipynb.0123456789abcdef.tmp"
    half.write_text("half")
    (folder / "run.json").unlink()
    carrier.seal(project.runs.state(row))
    assert not half.exists()
    assert is_sealed(f"sales/{run}", row.document["ended"], project.archiving.files)
