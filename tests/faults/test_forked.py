"""Something dies under an attempt whose kernel was forked: its record and its notebook are right, at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.core.attempt import ErrorKind, Verdict
from nbflow.core.messages import Started
from nbflow.core.spec import Preload
from support.attempts import Bench, Watched, archived, bench, order, processes, states, text
from support.waiting import allowed, command, until
from support.zygotes import is_gone

SOON = 5.0
ESCAPES = "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)"
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(100)"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Bench]:
    """Attempts whose kernels are forked; only the server and its zygote are left between them."""
    with bench(grace=1.0) as made:
        made.executor.prepare({"python3": Preload()}, str(tmp_path))
        yield made


def begin(runs: Bench, folder: Path, task: str = "clean") -> tuple[Watched, int]:
    """An attempt that is at its second cell, and its kernel."""
    watched = runs.submit(order(folder, ESCAPES, SLEEP, "print('never')", task=task))
    journal = Path(watched.order.journal)
    until(lambda: journal.exists() and '"text":"begun' in journal.read_text("utf-8"))
    started = watched.reports[0]
    assert isinstance(started, Started)
    assert started.pid is not None
    return watched, started.pid


def ended(watched: Watched, began: float, kind: ErrorKind) -> str:
    """The attempt has ended by now, with that error and the right notebook; the error's message."""
    outcome = watched.outcome()
    assert time.monotonic() - began < allowed(SOON)
    document = archived(watched.order)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.cell) == (kind, 1)
    assert states(document) == ["ok", "killed", "not_run"]
    assert text(document["cells"][1]) == "begun\n"
    assert document["metadata"]["nbflow"]["environment"]["kernel_start"] == "forked"
    until(lambda: not processes(watched.order), SOON)
    return outcome.error.message


def test_the_kernel_is_killed(runs: Bench, tmp_path: Path) -> None:
    watched, kernel = begin(runs, tmp_path)
    began = time.monotonic()
    os.kill(kernel, signal.SIGKILL)
    assert "signal 9" in ended(watched, began, ErrorKind.KERNEL_DIED)
    assert "sleep (pid" in str(archived(watched.order)["metadata"]["nbflow"]["warnings"])


def test_who_watches_the_kernel_is_killed(runs: Bench, tmp_path: Path) -> None:
    watched, kernel = begin(runs, tmp_path)
    began = time.monotonic()
    os.kill(psutil.Process(kernel).ppid(), signal.SIGKILL)
    assert "signal 9" in ended(watched, began, ErrorKind.KERNEL_DIED)


def test_the_worker_is_killed(runs: Bench, tmp_path: Path) -> None:
    watched, _ = begin(runs, tmp_path)
    (server,) = [child for child in psutil.Process().children() if "--serve" in command(child)]
    (worker,) = [child for child in server.children() if "zygote" not in command(child)]
    began = time.monotonic()
    worker.kill()
    assert "the worker of clean died" in ended(watched, began, ErrorKind.LOST)


def test_the_zygote_is_killed(runs: Bench, tmp_path: Path) -> None:
    """Who has a kernel keeps it; the next one comes from another zygote."""
    watched, kernel = begin(runs, tmp_path)
    (server,) = [child for child in psutil.Process().children() if "--serve" in command(child)]
    (zygote,) = [child for child in server.children() if "zygote" in command(child)]
    zygote.kill()
    until(lambda: is_gone(zygote.pid))
    (tmp_path / "next").mkdir()
    following = runs.submit(order(tmp_path / "next", "print('next')", task="next"))
    outcome, document = following.outcome(), archived(following.order)
    assert outcome.verdict is Verdict.SUCCEEDED
    environment = document["metadata"]["nbflow"]["environment"]
    assert environment["kernel_start"] == "forked", environment
    assert psutil.Process(kernel).is_running()
    began = time.monotonic()
    os.kill(kernel, signal.SIGKILL)
    ended(watched, began, ErrorKind.KERNEL_DIED)


def test_a_notebook_that_must_come_before_its_libraries(runs: Bench, tmp_path: Path) -> None:
    source = "import os\nos.environ['MPLBACKEND'] = 'agg'\nimport psutil\nprint(os.environ['MPLBACKEND'])"
    watched = runs.submit(order(tmp_path, source))
    outcome, document = watched.outcome(), archived(watched.order)
    assert outcome.verdict is Verdict.SUCCEEDED
    facts = document["metadata"]["nbflow"]["environment"]
    assert facts["kernel_start"] == "ordinary"
    assert "before it imports libraries" in facts["kernel_start_reason"]
