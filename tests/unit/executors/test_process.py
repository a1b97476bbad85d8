"""Worker processes from their owner's side, with small programs in the place of workers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.executors.process import Pipes, WorkerProcess


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_lines_come_whole_and_stderr_is_kept() -> None:
    text = (
        "import sys; line = sys.stdin.readline(); sys.stderr.write('oops'); print('a' * 200_000); print(line, end='')"
    )
    worker = WorkerProcess.start(program(text))
    worker.send(b"hello\n")
    assert [len(line) for line in worker.lines()] == [200_000, 5]
    assert worker.end() == 0
    assert worker.autopsy() == "exit code 0; it said last: oops"


def test_one_that_died_of_an_exception_is_told_by_that_alone() -> None:
    worker = WorkerProcess.start(program("def deep(n): n and deep(n - 1); raise OSError(5, 'it broke')\ndeep(50)"))
    assert list(worker.lines()) == []
    worker.end()
    assert worker.autopsy() == "exit code 1; it said last: OSError: [Errno 5] it broke"


def test_half_a_line_is_no_line() -> None:
    worker = WorkerProcess.start(program("print('whole'); print('half', end='')"))
    assert list(worker.lines()) == [b"whole"]
    worker.end()


def test_one_that_died_reads_nothing_and_that_is_no_error() -> None:
    worker = WorkerProcess.start(program("import os; os.kill(os.getpid(), 9)"))
    assert list(worker.lines()) == []
    worker.send(b"x" * 1_000_000)
    assert worker.end() == -9
    assert worker.autopsy().startswith("signal 9, SIGKILL")
    worker.send(b"later\n")


def test_only_the_end_of_a_flood_on_stderr_is_kept() -> None:
    worker = WorkerProcess.start(program("import sys; sys.stderr.write('x' * 1_000_000 + 'last'); sys.exit(3)"))
    assert list(worker.lines()) == []
    assert worker.end() == 3
    assert worker.autopsy().endswith("xlast")
    assert len(worker.autopsy()) < 3_000


def test_one_that_closes_its_output_and_stays_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbflow.executors.process._LEAVING", 0.2)
    worker = WorkerProcess.start(program("import os, time; os.close(1); time.sleep(100)"))
    assert list(worker.lines()) == []
    assert worker.end() == -9


BEATS = "import time\nprint(1)\nwhile True: print(flush=True); time.sleep(0.05)"


@pytest.fixture
def begun() -> Iterator[tuple[WorkerProcess, Iterator[bytes]]]:
    """A worker that has begun to beat, and what it says."""
    worker = WorkerProcess.start(program(BEATS))
    lines = worker.lines()
    assert next(lines) == b"1"
    yield worker, lines
    worker.kill()
    list(lines)
    worker.end()


def test_one_that_hangs_is_killed(
    begun: tuple[WorkerProcess, Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, lines = begun
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.1)
    os.kill(worker.pid, signal.SIGSTOP)
    assert list(lines) == []
    assert worker.end() == -9
    assert worker.autopsy() == "it hung: no sign of life for 2 s"


def test_one_that_beats_is_waited_for(
    begun: tuple[WorkerProcess, Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, lines = begun
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.1)
    ending = threading.Timer(4.0, worker.kill)
    ending.start()
    assert list(lines) == []
    ending.join()
    worker.end()
    assert worker.autopsy() == "signal 9, SIGKILL"


def test_one_that_is_to_hurry_has_less_time(
    begun: tuple[WorkerProcess, Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, lines = begun
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.4)
    os.kill(worker.pid, signal.SIGSTOP)
    worker.hurry()
    assert list(lines) == []
    worker.end()
    assert worker.autopsy() == "it hung: no sign of life for 1 s"


@pytest.mark.parametrize("after", [(0.0,), (60.0, 0.5), (0.5, 60.0)], ids=str)
def test_nor_for_ever_where_it_beats(
    begun: tuple[WorkerProcess, Iterator[bytes]], monkeypatch: pytest.MonkeyPatch, after: tuple[float, ...]
) -> None:
    worker, lines = begun
    monkeypatch.setattr("nbflow.executors.process._SAVING", 0.2)
    asked = time.monotonic()
    for seconds in after:
        worker.hurry(seconds)
    assert list(lines) == []
    assert time.monotonic() - asked >= min(after)
    worker.end()
    assert worker.autopsy() == "it was still there 0.2 s after the time at which it had to end"


def test_seconds_in_which_nobody_watches_it_do_not_count(
    begun: tuple[WorkerProcess, Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause of all processes, or of the machine: it has had no time to end either."""
    worker, lines = begun
    monkeypatch.setattr("nbflow.executors.process.BEAT_SECONDS", 0.1)
    monkeypatch.setattr("nbflow.executors.process._SAVING", 1.0)
    worker.hurry()
    real = time.monotonic
    watched = real()
    monkeypatch.setattr(
        "nbflow.executors.process.time.monotonic", lambda: real() + (1000.0 if real() > watched + 0.3 else 0.0)
    )
    assert list(lines) == []
    assert real() - watched >= 0.9
    worker.end()
    assert "it was still there 1 s after" in worker.autopsy()


def test_it_leads_a_session_of_its_own() -> None:
    worker = WorkerProcess.start(program("import os; print(os.getsid(0) == os.getpid())"))
    assert list(worker.lines()) == [b"True"]
    worker.end()


def test_the_end_of_its_owners_pipe_reaches_it() -> None:
    worker = WorkerProcess.start(program("import sys; print(len(sys.stdin.read()))"))
    worker.send(b"three\n")
    worker._pipes.stdin.close()
    assert list(worker.lines()) == [b"6"]
    assert worker.end() == 0
    assert not psutil.pid_exists(worker.pid)


def test_no_descriptor_is_left_open() -> None:
    def run() -> None:
        worker = WorkerProcess.start(program("print(1)"))
        list(worker.lines())
        worker.end()

    run()
    before = psutil.Process().num_fds()
    run()
    assert psutil.Process().num_fds() == before


class Unknown:
    """A process of which nobody can tell how it ended."""

    pid = 12

    def wait(self, timeout: float | None) -> None:
        return None

    def kill(self) -> None:
        raise AssertionError("it has ended")


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    streams = [(tmp_path / "empty").open(mode, buffering=0) for mode in ("wb", "rb", "rb")]
    worker = WorkerProcess(Unknown(), Pipes(stdin=streams[0], stdout=streams[1], stderr=streams[2]))
    assert worker.end() is None
    assert worker.autopsy().startswith("its exit code is not known")
    assert all(stream.closed for stream in streams)
