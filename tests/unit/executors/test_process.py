"""Worker processes from their owner's side, with small programs in the place of workers."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from nbflow.executors.process import Reserve, WorkerProcess


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_lines_come_whole_and_stderr_is_kept() -> None:
    text = (
        "import sys; line = sys.stdin.readline(); sys.stderr.write('oops'); print('a' * 200_000); print(line, end='')"
    )
    worker = WorkerProcess.start(program(text))
    worker.send(b"hello\n")
    assert [len(line) for line in worker.lines()] == [200_000, 5]
    assert worker.end() == 0
    assert worker.autopsy() == "exit code 0; it said last: oops"


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


def test_it_leads_a_session_of_its_own() -> None:
    worker = WorkerProcess.start(program("import os; print(os.getsid(0) == os.getpid())"))
    assert list(worker.lines()) == [b"True"]
    worker.end()


def test_the_end_of_its_owners_pipe_reaches_it() -> None:
    worker = WorkerProcess.start(program("import sys; print(len(sys.stdin.read()))"))
    worker.dismiss()
    assert gone(worker.pid)


class TestReserve:
    SLEEPER = program("import sys; sys.stdin.read()")

    def test_one_is_ready_before_it_is_needed(self) -> None:
        reserve = Reserve(self.SLEEPER, size=1)
        reserve.stock()
        (waiting,) = reserve._waiting
        taken = reserve.take()
        assert taken is waiting
        fresh = reserve.take()
        assert fresh is not waiting
        reserve.close()
        for worker in (taken, fresh):
            worker.dismiss()

    def test_a_dead_one_and_one_of_another_environment_are_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reserve = Reserve(self.SLEEPER, size=1)
        reserve.stock()
        dead = reserve._waiting[0]
        dead.kill()
        dead._process.wait()
        taken = reserve.take()
        assert taken is not dead
        reserve.stock()
        monkeypatch.setenv("NBFLOW_TEST", str(time.time()))
        stale = reserve._waiting[0]
        newer = reserve.take()
        assert newer is not stale
        assert gone(stale.pid)
        for worker in (taken, newer):
            worker.dismiss()
        reserve.close()

    def test_after_close_there_is_none(self) -> None:
        reserve = Reserve(self.SLEEPER, size=2)
        reserve.stock()
        pids = [worker.pid for worker in reserve._waiting]
        assert len(pids) == 2
        reserve.close()
        reserve.stock()
        assert all(map(gone, pids))
        assert reserve._waiting == []

    def test_one_that_cannot_be_started_fails_where_it_is_needed(self, tmp_path: Path) -> None:
        reserve = Reserve([str(tmp_path / "none")], size=1)
        reserve.stock()
        with pytest.raises(FileNotFoundError):
            reserve.take()


def test_no_descriptor_is_left_open() -> None:
    def run() -> None:
        worker = WorkerProcess.start(program("print(1)"))
        list(worker.lines())
        worker.end()

    run()
    before = psutil.Process().num_fds()
    run()
    assert psutil.Process().num_fds() == before
