"""An executor is told what a run needs, and is closed whatever comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nbflow import plugins, preparation
from nbflow.config.notebooks import NotebookFile
from nbflow.core.events import AttemptStarted, AttemptSubmitted, Stamped
from nbflow.core.plan import PlannedTask
from nbflow.core.spec import Pipeline, Preload, PreloadMode, ProjectSpec, Task
from nbflow.errors import UsageError
from nbflow.preparation import loading, prepare
from support.engines import FakeExecutor
from support.folders import Folder


class Told(FakeExecutor):
    """Keeps what it was told."""

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str] = ()) -> None:
        super().prepare(kernels, cwd, withheld)
        self.told = (dict(kernels), cwd, tuple(withheld))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Told:
    executor = Told()
    factory: Callable[[str, str], Callable[[], Told]] = lambda group, name: lambda: executor  # noqa: E731
    monkeypatch.setattr(plugins, "factory", factory)
    return executor


def test_it_begins_at_once_and_is_closed(made: Told) -> None:
    with loading("local", "/p") as executor:
        assert executor is made
        assert made.told == ({}, "/p", ())
    assert made.calls == ["prepare", "close"]


def test_it_is_closed_after_a_failure(made: Told) -> None:
    with pytest.raises(RuntimeError), loading("local", "/p"):
        raise RuntimeError
    assert made.calls == ["prepare", "close"]


def test_an_executor_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="locla"), loading("locla", "/p"):
        raise AssertionError("it is not there")


def planned(name: str, notebook: str, **more: Any) -> PlannedTask:
    return PlannedTask(name=name, base=name, slug=name, notebook=notebook, **more)


def test_notebooks_that_are_not_read_yet_are_read_once(
    made: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb", None, "import pandas")
    folder.notebook("b.ipynb", None, "import numpy", kernel="ir")
    read: list[str] = []

    def counted(path: Path) -> NotebookFile:
        from nbflow.config.notebooks import _parse

        read.append(path.name)
        document = _parse(path.read_bytes(), path) if path.exists() else None
        return NotebookFile(path=path, document=document if isinstance(document, dict) else None)

    known = {"b.ipynb": counted(tmp_path / "b.ipynb")}
    read.clear()
    monkeypatch.setattr("nbflow.config.notebooks.read_notebook", counted)
    tasks = [
        planned("a", "a.ipynb"),
        planned("a2", "a.ipynb"),
        planned("b", "b.ipynb"),
        planned("missing", "c.ipynb"),
    ]
    pipeline = Pipeline(name="p", tasks={"x": Task(name="x", notebook="x.ipynb", secrets={"A": "env:TOKEN"})})
    spec = ProjectSpec(
        root=str(tmp_path),
        file="pipelines.toml",
        pipelines={"p": pipeline},
        outputs="o",
        state="s",
        preloads={"ir": Preload(mode=PreloadMode.OFF)},
    )
    prepare(made, tasks, spec, known)
    assert read == ["a.ipynb", "c.ipynb"]
    assert made.told == (
        {"python3": Preload(modules=("pandas",)), "ir": Preload(mode=PreloadMode.OFF)},
        str(tmp_path),
        ("TOKEN",),
    )


def test_the_page_is_loaded_once_when_the_first_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Semaphore(0)
    monkeypatch.setattr(preparation, "load_page", loaded.release)
    listener = preparation.ahead_of_the_page()
    for seq, event in enumerate([AttemptSubmitted, AttemptStarted, AttemptStarted]):
        listener(Stamped(run="r", seq=seq, at=datetime.now(UTC), event=event(task="a", attempt=1)))
        assert loaded.acquire(timeout=20 if seq == 1 else 0.05) == (seq == 1)


def test_all_of_the_page_can_be_loaded() -> None:
    preparation.load_page()
