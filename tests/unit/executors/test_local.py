"""The local executor, with a small program in the place of its workers: whatever they do, there is one last report."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import Finished, Report, Started
from nbflow.core.spec import Limits, Preload
from nbflow.executors.local import LocalExecutor
from support.attempts import order

PROGRAM = """
import json, os, sys, time
from pathlib import Path
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.messages import Finished, Started
from nbflow.worker.protocol import decode_cancel, decode_order, encode_report

line = sys.stdin.buffer.readline()
if not line:
    sys.exit(0)
order, recover = decode_order(line)

def report(one):
    sys.stdout.buffer.write(encode_report(one))
    sys.stdout.buffer.flush()

def finish(verdict, error=None):
    outcome = Outcome(verdict=verdict, error=error)
    report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))

name = order.task
if recover is not None:
    while name == "stuck twice":
        print(flush=True)
        time.sleep(0.05)
    if name == "hopeless":
        sys.exit("not this time")
    if name == "late":
        finish(Verdict.SUCCEEDED)
    else:
        finish(Verdict.FAILED, TaskError(kind=ErrorKind.LOST, message=recover, cell=3))
    sys.exit(0)
report(Started(task=order.task, attempt=order.attempt, pid=os.getpid()))
if name == "good":
    finish(Verdict.SUCCEEDED)
elif name in ("dies", "hopeless", "late", "stuck twice"):
    sys.exit("it hurts")
elif name == "babbles":
    print("hello", flush=True)
    time.sleep(100)
elif name == "waits":
    force, error = decode_cancel(sys.stdin.buffer.readline())
    finish(Verdict.FAILED if error else Verdict.CANCELLED if force else Verdict.SUCCEEDED, error)
elif name == "stuck":
    while True:
        print(flush=True)
        time.sleep(0.05)
elif name == "deaf":
    time.sleep(100)
"""


class Heard:
    """Reports, and a way to wait for the last one of each attempt."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._news = threading.Condition()

    def __call__(self, report: Report) -> None:
        with self._news:
            self.reports.append(report)
            self._news.notify_all()

    def wait_for(self, kind: type[Report], task: str) -> Report:
        def found() -> Report | None:
            return next((one for one in self.reports if isinstance(one, kind) and one.task == task), None)

        with self._news:
            assert self._news.wait_for(found, 30), self.reports
        last = found()
        assert last is not None
        return last

    def outcome(self, task: str) -> Outcome:
        last = self.wait_for(Finished, task)
        assert isinstance(last, Finished)
        return last.outcome


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A `python` that takes any arguments and is our worker."""
    place = tmp_path_factory.mktemp("bin") / "python"
    place.write_text(f"#!{sys.executable}\n{textwrap.dedent(PROGRAM)}")
    place.chmod(0o700)
    return str(place)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def executor(python: str, heard: Heard) -> Iterator[LocalExecutor]:
    before = psutil.Process().children()
    made = LocalExecutor(python, forks=False)
    made.open(heard)
    yield made
    made.close()
    assert set(psutil.Process().children()) <= set(before)


def named(folder: Path, task: str) -> WorkOrder:
    return order(folder, "1", task=task)


def test_reports_come_in_order_and_finished_is_the_last(executor: LocalExecutor, heard: Heard, tmp_path: Path) -> None:
    executor.submit(named(tmp_path, "good"))
    assert heard.outcome("good").verdict is Verdict.SUCCEEDED
    assert [type(one) for one in heard.reports] == [Started, Finished]


def test_where_there_is_no_thread_for_one_that_is_reported(
    executor: LocalExecutor, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        executor.submit(named(tmp_path, "good"))
    (last,) = heard.reports
    assert isinstance(last, Finished)
    assert last.outcome.error == TaskError(
        kind=ErrorKind.START_FAILED, message="no worker could be started: can't start new thread"
    )


def test_the_worker_is_gone_when_its_end_is_told(executor: LocalExecutor, heard: Heard, tmp_path: Path) -> None:
    executor.submit(named(tmp_path, "good"))
    heard.outcome("good")
    started = heard.reports[0]
    assert isinstance(started, Started)
    assert started.pid is not None
    assert not psutil.pid_exists(started.pid)


@pytest.mark.parametrize("task", ["dies", "babbles"])
def test_a_worker_that_dies_is_recovered(executor: LocalExecutor, heard: Heard, tmp_path: Path, task: str) -> None:
    executor.submit(named(tmp_path, task))
    error = heard.outcome(task).error
    assert error is not None
    assert (error.kind, error.cell) == (ErrorKind.LOST, 3)
    assert error.message.startswith(f"the worker of {task} died: ")
    if task == "dies":
        assert error.message.endswith("exit code 1; it said last: it hurts")


def test_an_attempt_that_had_ended_before_its_worker_died_has_its_own_outcome(
    executor: LocalExecutor, heard: Heard, tmp_path: Path
) -> None:
    executor.submit(named(tmp_path, "late"))
    assert heard.outcome("late").verdict is Verdict.SUCCEEDED


def test_where_recovery_dies_too_both_reasons_are_told(executor: LocalExecutor, heard: Heard, tmp_path: Path) -> None:
    executor.submit(named(tmp_path, "hopeless"))
    error = heard.outcome("hopeless").error
    assert error is not None
    assert error.kind is ErrorKind.LOST
    assert "it hurts; its notebook could not be made: exit code 1; it said last: not this time" in error.message


def test_a_worker_that_cannot_be_started(heard: Heard, tmp_path: Path) -> None:
    executor = LocalExecutor(str(tmp_path / "none"))
    executor.open(heard)
    executor.submit(named(tmp_path, "good"))
    error = heard.outcome("good").error
    assert error is not None
    assert error.kind is ErrorKind.START_FAILED
    assert "No such file" in error.message
    lost = executor.recover(named(tmp_path, "good"), "the engine is gone")
    assert lost.error is not None
    assert lost.error.kind is ErrorKind.LOST
    executor.close()


def test_cancel_reaches_the_worker_also_when_it_comes_first(
    executor: LocalExecutor, heard: Heard, tmp_path: Path
) -> None:
    executor.submit(named(tmp_path, "waits"))
    executor.cancel("waits", 1, force=True)
    assert heard.outcome("waits").verdict is Verdict.CANCELLED
    assert len([one for one in heard.reports if isinstance(one, Finished)]) == 1


def test_the_error_that_an_attempt_is_to_fail_with_reaches_the_worker(
    executor: LocalExecutor, heard: Heard, tmp_path: Path
) -> None:
    late = TaskError(kind=ErrorKind.TIMEOUT, message="too late")
    executor.submit(named(tmp_path, "waits"))
    executor.cancel("waits", 1, force=False, error=late)
    assert heard.outcome("waits").error == late


@pytest.mark.parametrize("has_begun", [True, False])
def test_one_that_hangs_does_not_outlive_a_request_to_kill(
    executor: LocalExecutor, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.5)
    executor.submit(named(tmp_path, "deaf"))
    if has_begun:
        heard.wait_for(Started, "deaf")
    executor.cancel("deaf", 1, force=True)
    error = heard.outcome("deaf").error
    assert error is not None
    assert (error.kind, error.cell) == (ErrorKind.LOST, 3)
    assert "it hung: no sign of life" in error.message


@pytest.mark.parametrize("is_asked", [True, False])
def test_one_that_beats_and_never_ends_has_an_end(
    executor: LocalExecutor, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_asked: bool
) -> None:
    """After its time limit, and after a request to end that it does not follow."""
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.1)
    monkeypatch.setattr("nbflow.executors.process._SAVING", 0.2)
    monkeypatch.setattr("nbflow.executors.local._OVERDUE", 0.2)
    one = order(tmp_path, "1", task="stuck", limits=None if is_asked else Limits(timeout=0.1))
    executor.submit(one)
    if is_asked:
        heard.wait_for(Started, "stuck")
        executor.cancel("stuck", 1, force=False)
    error = heard.outcome("stuck").error
    assert error is not None
    assert (error.kind, error.cell) == (ErrorKind.LOST, 3)
    assert "it was still there 0.2 s after the time at which it had to end" in error.message


@pytest.mark.parametrize("is_asked", [True, False])
def test_nor_does_one_hang_for_ever_that_makes_its_notebook(
    executor: LocalExecutor, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_asked: bool
) -> None:
    """On a disk that does not answer, say: what was to be recovered hangs there as well."""
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.1)
    monkeypatch.setattr("nbflow.executors.process._SAVING", 0.2)
    monkeypatch.setattr("nbflow.executors.local._OVERDUE", 60.0 if is_asked else 0.2)
    executor.submit(named(tmp_path, "stuck twice"))
    if is_asked:
        executor.cancel("stuck twice", 1, force=True)
    error = heard.outcome("stuck twice").error
    assert error is not None
    assert error.kind is ErrorKind.LOST
    assert "its notebook could not be made: it was still there 0.2 s after" in error.message


def test_cancel_of_what_is_unknown_is_ignored(executor: LocalExecutor, heard: Heard, tmp_path: Path) -> None:
    executor.cancel("nothing", 1, force=True)
    executor.submit(named(tmp_path, "waits"))
    executor.cancel("waits", 2, force=True)
    executor.cancel("waits", 1, force=False)
    assert heard.outcome("waits").verdict is Verdict.SUCCEEDED


def test_recover(executor: LocalExecutor, tmp_path: Path) -> None:
    lost = executor.recover(named(tmp_path, "any"), "the engine is gone")
    assert lost.error is not None
    assert lost.error.message == "the engine is gone"


def test_close_ends_one_that_does_not_listen(
    python: str, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbflow.executors.local._CLOSING", 0.3)
    executor = LocalExecutor(python, forks=False)
    executor.open(heard)
    executor.submit(named(tmp_path, "deaf"))
    heard.wait_for(Started, "deaf")
    executor.close()
    error = heard.outcome("deaf").error
    assert error is not None
    assert "signal 9" in error.message


def test_one_that_is_not_open_takes_no_orders(python: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        LocalExecutor(python, forks=False).submit(named(tmp_path, "good"))


def test_workers_are_forked_where_that_is_possible(heard: Heard, tmp_path: Path) -> None:
    """Preparing comes before opening; what cannot be forked is started (here the server is no server)."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\nif '--serve' in sys.argv: sys.exit(1)\n{PROGRAM}")
    program.chmod(0o700)
    executor = LocalExecutor(str(program))
    executor.prepare({"python3": Preload()}, str(tmp_path))
    assert len(psutil.Process().children()) == 1
    executor.open(heard)
    executor.submit(named(tmp_path, "good"))
    assert heard.outcome("good").verdict is Verdict.SUCCEEDED
    executor.close()
    executor.close()


def test_one_that_is_closed_before_it_is_opened_leaves_nothing(python: str) -> None:
    executor = LocalExecutor(python)
    executor.prepare({}, "/")
    executor.close()
    assert psutil.Process().children() == []


def test_it_is_light() -> None:
    heavy = {"papermill", "nbclient", "nbformat", "nbconvert", "jupyter_client", "zmq", "asyncio"}
    code = f"import sys, nbflow.executors.local; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
