"""The worker server is killed: idle, while it is asked, with living attempts. None of them is lost or left."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.core.attempt import ErrorKind, Verdict
from nbflow.core.messages import Started
from nbflow.core.spec import Preload
from support.attempts import Bench, Watched, archived, bench, order, processes, states, text
from support.waiting import command, until


@pytest.fixture
def runs() -> Iterator[Bench]:
    with bench(grace=1.0) as made:
        yield made


def server() -> psutil.Process:
    """The server of the executor of this process; one that has just been started has no command for a moment."""

    def servers() -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if "--serve" in command(child)]

    until(servers)
    (found,) = servers()
    return found


def waits(folder: Path, name: str) -> str:
    """A cell that says that it has begun, and goes on once a file is there."""
    return f"""
import os, time
print('begun', flush=True)
while not os.path.exists({str(folder / name)!r}):
    time.sleep(0.02)
print('done')
"""


def begun(watched: Watched) -> bool:
    """Whether the cell of an attempt has printed."""
    journal = Path(watched.order.journal)
    return journal.exists() and "begun" in journal.read_text("utf-8").replace("print('begun'", "")


def succeeded(watched: Watched) -> None:
    outcome = watched.outcome()
    assert outcome.verdict is Verdict.SUCCEEDED, outcome
    assert text(archived(watched.order)["cells"][0]) == "begun\ndone\n"


def test_with_living_attempts_and_idle(runs: Bench, tmp_path: Path) -> None:
    """Those go on to their end, and the next one has a new server."""
    first = runs.submit(order(tmp_path, waits(tmp_path, "go"), "1"))
    until(lambda: begun(first))
    old = server()
    old.kill()
    (tmp_path / "go").touch()
    succeeded(first)
    runs.assert_clean(first.order)
    (tmp_path / "b").mkdir()
    outcome, _ = runs.run(order(tmp_path / "b", "print('idle')", task="idle"))
    assert outcome.verdict is Verdict.SUCCEEDED
    assert server().pid != old.pid


def test_a_worker_that_dies_after_its_server(runs: Bench, tmp_path: Path) -> None:
    watched = runs.submit(order(tmp_path, waits(tmp_path, "never"), "1"))
    until(lambda: begun(watched))
    (worker,) = server().children()
    server().kill()
    worker.kill()
    outcome = watched.outcome()
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.LOST
    assert "its exit code is not known" in outcome.error.message
    assert states(archived(watched.order)) == ["killed", "not_run"]
    runs.assert_clean(watched.order)


def test_while_it_is_asked(runs: Bench, tmp_path: Path) -> None:
    """Attempts that wait for their worker get it from the next server."""
    runs.executor.prepare({}, str(tmp_path))
    server().suspend()
    watched = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        watched.append(runs.submit(order(tmp_path / name, "print('x')", task=name)))
    until(lambda: threading.active_count() > 2)
    old = server()
    old.kill()
    assert [one.outcome().verdict for one in watched] == [Verdict.SUCCEEDED] * 2
    assert server().pid != old.pid


def test_cancel_and_close_while_it_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers nothing keeps nobody: the attempt is lost with its executor, and has its notebook."""
    monkeypatch.setattr("nbflow.executors.local._CLOSING", 0.5)
    monkeypatch.setattr("nbflow.executors.server._LEAVING", 0.5)
    with bench(grace=1.0) as runs:
        runs.executor.prepare({}, str(tmp_path))
        os.kill(server().pid, signal.SIGSTOP)
        watched = runs.submit(order(tmp_path, "print('x')"))
        runs.executor.close()
        error = watched.outcome().error
        assert error is not None
        assert error.kind is ErrorKind.LOST
        assert states(archived(watched.order)) == ["not_run"]


def test_kernels_go_on_without_the_server_of_their_zygote(runs: Bench, tmp_path: Path) -> None:
    """With a kernel's zygote: its death with its server's does not end a kernel that has been forked."""
    runs.executor.prepare({"python3": Preload()}, str(tmp_path))
    watched = runs.submit(order(tmp_path, waits(tmp_path, "go"), "1"))
    until(lambda: begun(watched))
    old = server()
    old.kill()
    (tmp_path / "go").touch()
    succeeded(watched)
    started = watched.reports[0]
    assert isinstance(started, Started)
    assert started.pid is not None
    until(lambda: not psutil.pid_exists(started.pid or 0))
    assert not processes(watched.order)
