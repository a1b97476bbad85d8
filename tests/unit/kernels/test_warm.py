"""A forked kernel seen by the one who asked for it: its start, its words, its end; and why there is none."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.kernels import warm
from nbflow.kernels.environ import OWNER_MARK, zygote_environment
from nbflow.kernels.process import Kernel
from nbflow.kernels.specs import find_kernel
from nbflow.kernels.warm import Forked, NotForkedError, ask
from nbflow.kernels.zygotes import Zygote
from support.zygotes import SOON, is_gone, private_runtime, until, zygote

ENVIRONMENT = zygote_environment(os.environ)


@pytest.fixture(scope="module")
def shared() -> Iterator[Zygote]:
    with private_runtime(), zygote() as made:
        yield made


def test_one_that_is_killed(shared: Zygote) -> None:
    async def talk() -> None:
        one = await ask(shared.address, environment=ENVIRONMENT, cwd="/")
        assert Path(one.folder).exists()
        assert not one.exited.done()
        os.kill(one.pid, signal.SIGKILL)
        assert await asyncio.wait_for(one.exited, SOON) == -signal.SIGKILL
        assert one.usage is not None
        assert one.usage[0] >= 0
        assert one.usage[1] > 1_000_000
        await one.interrupt()  # it is gone: no error
        os.close(one.words)
        assert await one.close() == []
        assert not Path(one.folder).exists()

    asyncio.run(talk())


def test_one_that_was_asked_for_ahead(shared: Zygote) -> None:
    async def talk() -> None:
        ahead = warm.ask_ahead(shared.address, environment={**ENVIRONMENT, "WHO": "early"}, cwd="/tmp")
        assert ahead is not None
        one = await ask("/not/asked/again", environment=ENVIRONMENT, cwd="/", ahead=ahead)
        assert b"WHO=early" not in Path(f"/proc/{one.pid}/environ").read_bytes()  # that is the zygote's
        assert Path(f"/proc/{one.pid}/cwd").readlink() == Path("/tmp")
        os.kill(one.pid, signal.SIGKILL)
        await asyncio.wait_for(one.exited, SOON)
        os.close(one.words)
        await one.close()

    asyncio.run(talk())


def test_one_that_was_asked_for_ahead_and_is_not_wanted(shared: Zygote) -> None:
    """It ends, and who asks next gets another."""
    kept = warm.ask_ahead(shared.address, environment=ENVIRONMENT, cwd="/")
    assert kept is not None
    data, descriptors, _, _ = socket.recv_fds(_blocking(kept), 65_536, 1)
    pid = json.loads(data)["pid"]
    os.close(descriptors[0])
    kept.close()
    until(lambda: is_gone(pid))


def _blocking(connection: socket.socket) -> socket.socket:
    connection.settimeout(SOON)
    return connection


def test_what_cannot_be_asked_for_ahead(tmp_path: Path) -> None:
    assert warm.ask_ahead(str(tmp_path / "nobody"), environment={}, cwd="/") is None
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "z"))
        listening.listen()
        assert warm.ask_ahead(str(tmp_path / "z"), environment={"LONG": "x" * 100_000}, cwd="/") is None


def test_one_whose_watcher_is_killed(shared: Zygote) -> None:
    """It ends with its watcher, and is cleared away all the same."""

    async def talk() -> None:
        one = await ask(shared.address, environment=ENVIRONMENT, cwd="/")
        os.kill(int(Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert await asyncio.wait_for(one.exited, SOON) == -signal.SIGKILL
        assert one.usage is None
        os.close(one.words)
        assert await asyncio.wait_for(one.close(), SOON) == []
        until(lambda: is_gone(one.pid) and not Path(one.folder).exists())

    asyncio.run(talk())


def test_a_kernel_of_a_zygote(shared: Zygote) -> None:
    async def talk() -> None:
        kernel = Kernel(find_kernel("python3"), cwd="/", env=ENVIRONMENT, zygote=shared.address)
        await kernel.start()
        assert (kernel.is_forked, kernel.reason) == (True, None)
        assert kernel.last_words() == ""
        folder, pid = kernel.folder, kernel.pid
        assert await kernel.close() == []
        assert kernel.exited.result() == -signal.SIGKILL
        assert is_gone(pid)
        assert not Path(folder).exists()

    asyncio.run(talk())


def test_what_an_unwatched_kernel_leaves_behind(shared: Zygote, tmp_path: Path) -> None:
    """It is known by the mark of its attempt."""

    async def talk() -> None:
        environment = {**ENVIRONMENT, OWNER_MARK: str(tmp_path)}
        kernel = Kernel(find_kernel("python3"), cwd="/", env=environment, zygote=shared.address)
        await kernel.start()
        escaped = subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True)
        os.kill(int(Path(f"/proc/{kernel.pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert await asyncio.wait_for(kernel.exited, SOON) == -signal.SIGKILL
        assert await kernel.close() == [f"sleep (pid {escaped.pid})"]
        assert is_gone(escaped.pid)
        escaped.wait()

    asyncio.run(talk())


def answering(address: str, *lines: bytes, delay: float = 0) -> threading.Thread:
    """A server that takes one request and answers with these bytes, some seconds later."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(1)

    def serve() -> None:
        with server, server.accept()[0] as asker:
            asker.recv(1_000_000)
            time.sleep(delay)
            for line in lines:
                asker.sendall(line)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((json.dumps({"refused": "not now"}).encode() + b"\n",), "not now"),
        ((), "it has ended"),
        ((b'{"half"',), "it has ended"),
        ((b"nonsense\n",), "Expecting value"),
        ((b'{"exit": 1, "cpu": 0, "peak": 0}\n',), "ended while it was being prepared"),
        ((b'{"pid": 1, "folder": "", "connection": {}}\n',), "ended while it was being prepared"),
    ],
)
def test_those_who_get_none_know_why(tmp_path: Path, lines: tuple[bytes, ...], reason: str) -> None:
    address = str(tmp_path / "z")
    thread = answering(address, *lines)
    with pytest.raises(NotForkedError, match=reason):
        asyncio.run(ask(address, environment={}, cwd="/"))
    thread.join()


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(NotForkedError, match="No such file"):
        asyncio.run(ask(str(tmp_path / "none"), environment={}, cwd="/"))


def test_a_zygote_that_is_still_loading(tmp_path: Path) -> None:
    """It is waited for no longer than said."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "z"))
        silent.listen(5)
        with pytest.raises(NotForkedError, match=r"still loading libraries after 0\.1 s"):
            asyncio.run(ask(str(tmp_path / "z"), environment={}, cwd="/", patience=0.1))


def test_one_that_is_loaded_is_waited_for(tmp_path: Path) -> None:
    """However many have asked before."""
    (tmp_path / "loaded").touch()
    thread = answering(str(tmp_path / "z"), json.dumps({"refused": "at last"}).encode() + b"\n", delay=0.3)
    with pytest.raises(NotForkedError, match="at last"):
        asyncio.run(ask(str(tmp_path / "z"), environment={}, cwd="/", patience=0.01))
    thread.join()


def test_a_watcher_that_does_not_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is waited for a while only, and what it would have ended is looked for in another way."""
    monkeypatch.setattr(warm, "_LAST_WAIT", 0.1)

    async def talk() -> None:
        ours, watchers = socket.socketpair()
        ours.setblocking(False)
        reply = {"pid": 1, "folder": str(tmp_path / "none"), "connection": {"key": ""}}
        one = Forked(ours, reply, -1)
        watchers.sendall(b'{"exit": 0, "cpu": 0, "peak": 0}\n')
        assert await asyncio.wait_for(one.exited, SOON) == 0
        assert await asyncio.wait_for(one.close(), SOON) == []
        assert one.is_unwatched
        assert watchers.recv(1) == b""
        watchers.close()

    asyncio.run(talk())


def test_who_stops_waiting_gets_none(shared: Zygote) -> None:
    async def talk() -> Forked:
        for _ in range(3):
            task = asyncio.create_task(ask(shared.address, environment=ENVIRONMENT, cwd="/"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        found = await ask(shared.address, environment=ENVIRONMENT, cwd="/")
        os.killpg(found.pid, signal.SIGKILL)
        os.close(found.words)
        await found.close()
        return found

    assert asyncio.run(talk()).pid > 0
