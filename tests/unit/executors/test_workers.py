"""Where workers come from: a server as long as there is a good one, and always somewhere."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from nbflow.core.spec import Preload
from nbflow.executors.process import WorkerProcess
from nbflow.executors.workers import Workers
from support.servers import program

SINGLE = "import sys; [exec(line) for line in sys.stdin]"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


WHO = b"import os, sys; print(os.getppid(), flush=True)\n"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is a server with `--serve`, else one worker. Servers leave a mark beside it."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "worker"
    *_, server = program("Path(__file__).with_name('started').open('a').write('.')")
    code = f"if sys.argv[-1] != '--serve':\n    {SINGLE}\nelse:\n" + "".join(
        f"    {one}\n" for one in server.splitlines()
    )
    place.write_text(f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n{code}")
    place.chmod(0o700)
    return place


@pytest.fixture
def workers(script: Path) -> Iterator[Workers]:
    before = set(psutil.Process().children())
    made = Workers([str(script)])
    yield made
    made.close()
    assert set(psutil.Process().children()) <= before


def parent(worker: WorkerProcess) -> int:
    """The process that made a worker."""
    worker.send(WHO)
    worker._pipes.stdin.close()
    (line,) = worker.lines()
    worker.end()
    return int(line)


def alone(worker: WorkerProcess) -> str:
    """Why a worker was started, as it was told."""
    worker.send(b"print(sys.argv[sys.argv.index('--alone') + 1], flush=True)\n")
    worker._pipes.stdin.close()
    (line,) = worker.lines()
    worker.end()
    return line.decode()


def server(workers: Workers) -> int:
    assert workers._server is not None
    return workers._server.pid


def test_all_come_from_one_server(workers: Workers) -> None:
    workers.prepare({}, "/", ())
    first = server(workers)
    assert [parent(workers.take()) for _ in range(3)] == [first] * 3


def test_many_at_once(workers: Workers) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: workers.take(), range(40)))
    assert len({worker.pid for worker in made}) == 40
    assert {parent(worker) for worker in made} == {server(workers)}


def test_a_dead_server_is_replaced_and_told_the_kernels_again(workers: Workers) -> None:
    workers.prepare({"python3": Preload(modules=("pandas",))}, "/x", ("SECRET",))
    first = server(workers)
    os.kill(first, signal.SIGKILL)
    worker = workers.take()
    worker.send(b"print(addresses, flush=True)\n")
    worker._pipes.stdin.close()
    assert list(worker.lines()) == [b"""{'python3': '[["pandas"], "/x", ["SECRET"]]'}"""]
    worker.end()
    assert server(workers) != first


def test_one_that_dies_while_it_is_asked_is_replaced(workers: Workers) -> None:
    workers.prepare({}, "/", ())
    os.kill(server(workers), signal.SIGSTOP)
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(workers.take) for _ in range(5)]
        os.kill(server(workers), signal.SIGKILL)
        made = [one.result() for one in asked]
    assert {parent(worker) for worker in made} == {server(workers)}


def test_another_environment_gets_another_server(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    old = workers.take()
    first = server(workers)
    monkeypatch.setenv("NBFLOW_TEST", "new")
    worker = workers.take()
    worker.send(b"print(os.environ['NBFLOW_TEST'], flush=True)\n")
    worker._pipes.stdin.close()
    assert list(worker.lines()) == [b"new"]
    worker.end()
    assert server(workers) != first
    assert parent(old) == first


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ("threading.Thread(target=time.sleep, args=(100,), daemon=True).start()", "its process has 2 threads"),
        ("1 / 0", "the server that forks them has died"),
    ],
)
def test_without_a_server_that_forks_each_is_started(failing: str, reason: str, script: Path) -> None:
    """And told why."""
    text = script.read_text().replace("made.run()", f"{failing}\n    made.run()")
    script.write_text(text)
    workers = Workers([str(script)])
    workers.prepare({}, "/", ())
    assert parent(workers.take()) == os.getpid()
    assert alone(workers.take()).startswith(reason)
    workers.close()


def test_servers_that_keep_dying_are_given_up(script: Path) -> None:
    script.write_text(script.read_text().replace("made.run()", "os._exit(1)"))
    workers = Workers([str(script)])
    for _ in range(4):
        assert parent(workers.take()) == os.getpid()
    workers.close()
    assert script.with_name("started").read_text() == ".."


def test_servers_that_die_unasked_are_counted(workers: Workers) -> None:
    workers.prepare({}, "/", ())
    for _ in range(2):
        process = psutil.Process(server(workers))
        process.kill()
        until(lambda process=process: process.status() == psutil.STATUS_ZOMBIE)
        workers.prepare({}, "/", ())
    assert workers._server is None
    assert alone(workers.take()) == "the server that forks them has died"


def test_of_replaced_servers_nothing_is_kept(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    workers.prepare({}, "/", ())
    before, others = (
        psutil.Process().num_fds(),
        {child.pid for child in psutil.Process().children()} - {server(workers)},
    )
    for number in range(3):
        old = psutil.Process(server(workers))
        monkeypatch.setenv("NBFLOW_TEST", str(number))
        workers.prepare({}, "/", ())
        until(lambda old=old: old.status() == psutil.STATUS_ZOMBIE)
    workers.prepare({}, "/", ())
    assert {child.pid for child in psutil.Process().children()} - others == {server(workers)}
    assert psutil.Process().num_fds() == before


def test_one_that_hangs_is_dropped(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts do not wait for it any longer, and the next ones have another."""
    workers.prepare({}, "/", ())
    first = server(workers)
    os.kill(first, signal.SIGSTOP)
    with monkeypatch.context() as impatient:
        impatient.setattr("nbflow.executors.server._PATIENCE", 0.3)
        assert alone(workers.take()) == "the server that forks them does not answer"
    assert not psutil.pid_exists(first)
    assert parent(workers.take()) == server(workers)


def test_where_forking_is_not_wanted_none_is_started(script: Path) -> None:
    workers = Workers([str(script)], forks=False)
    workers.prepare({}, "/", ())
    assert workers._server is None
    assert alone(workers.take()) == "it is not wanted"
    workers.close()


def test_after_close_workers_are_started_one_by_one(workers: Workers) -> None:
    workers.take().kill()
    workers.close()
    assert alone(workers.take()) == "the executor was being closed"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    workers = Workers([str(tmp_path / "none")])
    with pytest.raises(FileNotFoundError):
        workers.take()
    workers.close()


def test_closing_one_that_was_never_used_takes_no_time(workers: Workers) -> None:
    workers.prepare({}, "/", ())
    pid = server(workers)
    os.kill(pid, signal.SIGSTOP)
    workers.close()
    assert not psutil.pid_exists(pid)


def test_the_real_thing() -> None:
    """A server of the real program is ready to fork, and its workers end with their pipes."""
    workers = Workers([sys.executable, "-P", "-m", "nbflow.worker"])
    worker = workers.take()
    assert psutil.Process(worker.pid).ppid() == server(workers)
    worker._pipes.stdin.close()
    assert list(worker.lines()) == []
    assert worker.end() == 0
    workers.close()
