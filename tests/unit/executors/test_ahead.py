"""A server that is started ahead: taken where it is what is wanted, and gone where it is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.executors import ahead
from nbflow.executors.server import WorkerServer
from support.servers import program

pytestmark = pytest.mark.skipif(not ahead.MAY_FORK, reason="no worker is forked here")


@pytest.fixture(autouse=True)
def small_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command of a server that loads nothing, in place of the real one; nothing is left of any."""
    before = set(psutil.Process().children())
    command = program()
    monkeypatch.setattr(ahead, "server_command", lambda _: command)
    yield command
    ahead.drop()
    assert set(psutil.Process().children()) <= before


def open_descriptors() -> list[str]:
    return sorted(found.name for found in Path("/proc/self/fd").iterdir())


def test_it_is_taken_once_and_works(small_server: list[str]) -> None:
    ahead.begin()
    (started,) = psutil.Process().children()
    server = WorkerServer.start(small_server)
    assert server.pid == started.pid
    worker = server.fork()
    worker._pipes.stdin.close()
    assert (list(worker.lines()), worker.end()) == ([], 0)
    assert ahead.take(small_server) is None
    server.close()


def test_another_command_gets_a_server_of_its_own(small_server: list[str]) -> None:
    ahead.begin()
    assert ahead.take([*small_server, "--other"]) is None
    started = ahead.take(small_server)
    assert started is not None
    started.drop()


@pytest.mark.parametrize("change", ["variable", "folder"])
def test_what_was_given_something_else_is_not_taken(
    change: str, small_server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead.begin()
    with monkeypatch.context() as changed:
        if change == "variable":
            changed.setenv("OTHER", "1")
        else:
            changed.chdir(tmp_path)
        assert ahead.take(small_server) is None


def test_it_is_started_for_the_folder_that_is_to_come(
    small_server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    ahead.begin(str(tmp_path / "link"))
    assert ahead.take(small_server) is None
    monkeypatch.chdir(tmp_path)
    started = ahead.take(small_server)
    assert started is not None
    assert Path(f"/proc/{started.process.pid}/cwd").readlink() == tmp_path
    started.drop()


@pytest.mark.parametrize("folder", ["nowhere", "a\0b"])
def test_a_folder_that_is_none_is_nobodys_business_yet(folder: str) -> None:
    descriptors = open_descriptors()
    ahead.begin(folder)
    assert psutil.Process().children() == []
    assert open_descriptors() == descriptors


def test_one_that_has_died_is_not_taken(small_server: list[str]) -> None:
    ahead.begin()
    (started,) = psutil.Process().children()
    started.kill()
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert ahead.take(small_server) is None


def test_what_nobody_takes_is_ended_and_closed() -> None:
    descriptors = open_descriptors()
    ahead.begin()
    ahead.drop()
    assert psutil.Process().children() == []
    assert open_descriptors() == descriptors


def test_the_command_is_that_of_the_executor() -> None:
    from nbflow.executors.local import LocalExecutor

    assert LocalExecutor()._workers._command == ahead.worker_command()
    assert ahead.worker_command("py", 2.5) == ("py", "-P", "-m", "nbflow.worker", "--grace", "2.5")
    assert ahead.worker_command()[0] == sys.executable
