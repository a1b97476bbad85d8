"""A worker server from its owner's side, with a small program in its place."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from nbflow.core.spec import Preload, PreloadMode
from nbflow.executors.process import WorkerProcess
from nbflow.executors.server import RefusedError, ServerGoneError, ServerHangsError, WorkerServer
from support.servers import program
from support.waiting import allowed


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Not there, or a zombie of whoever adopted it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ended(worker: WorkerProcess) -> tuple[list[bytes], int | None]:
    """Close a worker's stdin; its lines and its exit code."""
    worker._pipes.stdin.close()
    return list(worker.lines()), worker.end()


@pytest.fixture
def server() -> Iterator[WorkerServer]:
    made = WorkerServer.start(program())
    yield made
    made.close()
    assert gone(made.pid)


class TestForked:
    def test_it_talks_over_its_pipes_and_its_exit_code_is_told(self, server: WorkerServer) -> None:
        worker = server.fork()
        worker.send(b"print('hello', flush=True); sys.stderr.write('oops'); sys.stderr.flush(); os._exit(3)\n")
        assert ended(worker) == ([b"hello"], 3)
        assert worker.autopsy() == "exit code 3; it said last: oops"
        assert gone(worker.pid)

    def test_several_at_once_do_not_know_each_other(self, server: WorkerServer) -> None:
        workers = [server.fork() for _ in range(3)]
        for worker in workers:
            worker.send(b"print(os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd')), flush=True)\n")
        # The fourth descriptor is that of the folder which is listed.
        assert [ended(worker) for worker in workers] == [([b"True ['0', '1', '2', '3']"], 0)] * 3

    def test_it_collects_garbage_and_a_failure_is_told_as_python_does(self, server: WorkerServer) -> None:
        worker = server.fork()
        worker.send(b"import gc; print(gc.isenabled(), flush=True); 1 / 0\n")
        assert ended(worker) == ([b"True"], 1)
        assert worker.autopsy().endswith("ZeroDivisionError: division by zero")

    def test_killed_by_its_owner(self, server: WorkerServer) -> None:
        worker = server.fork()
        worker.kill()
        assert list(worker.lines()) == []
        assert worker.end() == -signal.SIGKILL
        worker.kill()

    def test_one_that_closes_its_output_and_stays_is_killed(
        self, server: WorkerServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nbflow.executors.process._LEAVING", 0.2)
        worker = server.fork()
        worker.send(b"os.close(1); time.sleep(100)\n")
        assert list(worker.lines()) == []
        assert worker.end() == -signal.SIGKILL

    def test_random_numbers_differ(self, server: WorkerServer) -> None:
        said = []
        for worker in (server.fork(), server.fork()):
            worker.send(b"import random, uuid; print(random.random(), uuid.uuid4(), flush=True)\n")
            said.append(ended(worker)[0])
        assert said[0] != said[1]


class TestServerDies:
    def test_living_workers_go_on_and_their_end_is_noticed(self, server: WorkerServer) -> None:
        worker, stayer = server.fork(), server.fork()
        os.kill(server.pid, signal.SIGKILL)
        worker.send(b"print('still here', flush=True)\n")
        assert ended(worker) == ([b"still here"], None)
        assert "its exit code is not known" in worker.autopsy()
        assert gone(worker.pid)
        stayer.kill()
        assert ended(stayer) == ([], None)
        assert not server.is_alive()
        with pytest.raises(ServerGoneError):
            server.fork()
        server.prepare("python3", Preload(), "/", ())
        server.leave()

    def test_one_that_stays_without_its_server_is_killed(
        self, server: WorkerServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nbflow.executors.process._LEAVING", 0.2)
        worker = server.fork()
        worker.send(b"os.close(1); time.sleep(100)\n")
        os.kill(server.pid, signal.SIGKILL)
        assert list(worker.lines()) == []
        assert worker.end() is None
        assert gone(worker.pid)

    def test_while_it_is_asked(self, server: WorkerServer) -> None:
        os.kill(server.pid, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerGoneError):
            server.fork()

    def test_between_fork_and_answer_the_worker_ends_by_itself(self, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        first = f"made._watch = lambda pid, told: (open({str(note)!r}, 'w').write(str(pid)), os._exit(9))"
        server = WorkerServer.start(program(first))
        with pytest.raises(ServerGoneError):
            server.fork()
        until(note.exists)
        until(lambda: gone(int(note.read_text())))
        server.close()


class TestServer:
    def test_its_end_is_that_of_its_channel_and_workers_outlive_it(self) -> None:
        server = WorkerServer.start(program())
        worker = server.fork()
        server.close()
        assert gone(server.pid)
        worker.send(b"print(1, flush=True)\n")
        assert ended(worker) == ([b"1"], None)

    def test_one_that_was_told_to_leave_goes_with_its_last_worker(self) -> None:
        server = WorkerServer.start(program())
        worker = server.fork()
        server.leave()
        worker.send(b"print(1, flush=True)\n")
        assert ended(worker) == ([b"1"], 0)
        until(lambda: gone(server.pid))
        server.close()

    def test_zygotes_are_told_to_workers_and_ended_by_the_server(self, server: WorkerServer, tmp_path: Path) -> None:
        server.prepare("python3", Preload(modules=("pandas",)), "/x", {"B", "A"})
        server.prepare("other", Preload(mode=PreloadMode.OFF), "/x", ())
        server.prepare("ending", Preload(), str(tmp_path / "ended"), ())
        worker = server.fork()
        worker.send(b"print(json.dumps([addresses['python3'], reasons]), flush=True)\n")
        (said,), _ = ended(worker)
        address, reasons = json.loads(said)
        assert json.loads(address) == [["pandas"], "/x", ["A", "B"]]
        assert {name: json.loads(text) for name, text in reasons.items()} == {"other": [None, "/x", []]}
        server.close()
        assert (tmp_path / "ended").exists()

    def test_threads_are_an_obstacle(self) -> None:
        server = WorkerServer.start(program("threading.Thread(target=time.sleep, args=(100,), daemon=True).start()"))
        with pytest.raises(RefusedError, match="its process has 2 threads"):
            server.fork()
        server.close()

    def test_one_that_hangs_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nbflow.executors.server._LEAVING", 0.2)
        server = WorkerServer.start(program())
        server.prepare("python3", Preload(), "/", ())
        os.kill(server.pid, signal.SIGSTOP)
        server.close()
        assert gone(server.pid)

    def test_another_environment_or_folder_makes_it_old(
        self, server: WorkerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert server.is_current()
        monkeypatch.setenv("NBFLOW_TEST", "1")
        assert not server.is_current()
        monkeypatch.undo()
        assert server.is_current()
        monkeypatch.chdir(tmp_path)
        assert not server.is_current()

    @pytest.mark.parametrize("size", [131_000, 150_000, 210_000, 1_000_000])
    def test_what_is_too_long_is_sent_without_modules(self, server: WorkerServer, size: int) -> None:
        server.prepare("python3", Preload(modules=("x" * size,)), "/", ())
        server.prepare("other", Preload(), "x" * size, ("x" * 1_000,))
        worker = server.fork()
        worker.send(b"print(len(json.loads(addresses['python3'])[0]), list(addresses), flush=True)\n")
        assert ended(worker) == ([f"{int(size == 131_000)} ['python3']".encode()], 0)

    def test_a_message_that_was_cut_off_is_none(self, server: WorkerServer) -> None:
        for text in (b'{"prepare": "pyth', b"\xff\xfe", b"[1]", b'{"fork": true}'):
            server._channel.send(text)
        assert ended(server.fork()) == ([], 0)

    def test_one_that_does_not_answer_is_asked_once(
        self, server: WorkerServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nbflow.executors.server._PATIENCE", 0.3)
        os.kill(server.pid, signal.SIGSTOP)
        before = psutil.Process().num_fds()
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(server.fork) for _ in range(5)]
        assert {type(one.exception()) for one in asked} == {ServerHangsError}
        assert psutil.Process().num_fds() == before
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < allowed(2)

    def test_no_descriptor_is_left_open(self, server: WorkerServer) -> None:
        ended(server.fork())
        before, theirs = psutil.Process().num_fds(), psutil.Process(server.pid)
        until(lambda: theirs.num_fds() == 5)  # stdin, stdout, stderr, its channel, its selector
        for _ in range(3):
            ended(server.fork())
        assert psutil.Process().num_fds() == before
        until(lambda: theirs.num_fds() == 5)

    def test_one_that_cannot_be_started(self, tmp_path: Path) -> None:
        before = psutil.Process().num_fds()
        with pytest.raises(FileNotFoundError):
            WorkerServer.start([str(tmp_path / "none")])
        assert psutil.Process().num_fds() == before
