"""A task that is tried out is carried out once, in a place of its own, and nothing of it is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbflow.core.spec import RetryPolicy
from nbflow.core.state import RunState
from nbflow.engine.loop import Ports
from nbflow.errors import NotFoundError, UnreachableError
from nbflow.store.memory import MemoryStore
from nbflow.trying import try_out
from support.answering import Answering, use
from support.archives import spec_of
from support.build import created, planned
from support.engines import FakeClock


class Bench:
    """A project in a folder, whose store and archive are not to be used; task `a` fails."""

    def __init__(self, root: Path, executor: type[Answering]) -> None:
        self.executor = executor
        executor.failing = {"a"}
        self.store = MemoryStore()
        self.sealed: list[RunState] = []
        self.spec = spec_of(root, str(root / "outputs"))
        self.ports = Ports(store=self.store, executor=executor(), clock=FakeClock(), seal=self.sealed.append)

    def __call__(self, task: str, *tasks: Any) -> dict[str, Any]:
        run = created(tasks, root=self.spec.root, journals=f"{self.spec.root}/journals", spool="spool")
        return try_out(run, task, self.spec, self.ports, None)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, use(monkeypatch))


def test_it_is_tried_once_and_recorded_nowhere(bench: Bench, tmp_path: Path) -> None:
    result = bench("a", planned("a", retry=RetryPolicy(retries=3)))
    assert (result["state"], result["tasks"][0]["attempts"]) == ("failed", 1)
    (order,) = bench.executor.orders
    assert (order.outputs, order.folder) == (str(tmp_path / "outputs/.nbflow/tests"), "sales")
    assert bench.store.runs() == []
    assert bench.sealed == []


def test_one_copy_of_a_task(bench: Bench) -> None:
    copies = [planned(f"x[{one}]", slug=f"x.{one}") for one in "ab"]
    result = bench("x[b]", *copies)
    assert [task["task"] for task in result["tasks"]] == ["x[b]"]
    with pytest.raises(NotFoundError, match=r"no task 'x\[c\]'"):
        bench("x[c]", *copies)


def test_a_place_that_cannot_be_written_is_found_before_it_begins(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("no folder")
    with pytest.raises(UnreachableError):
        bench("a", planned("a"))
    assert bench.executor.orders == []
