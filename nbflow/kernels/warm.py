"""A kernel forked by a zygote, seen from the process that asked for it: how to get one, and how it ended.

The connection by which it was asked for stays open as long as it lives: it brings the news of its end, and the end of
it ends the kernel. Must not know cells or limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbflow.kernels.runtime import RuntimeFolder

LOADING = 15.0
"""Seconds to wait for a zygote that is still loading: then an ordinary start is the faster one."""
_SENT_AT_ONCE = 65_536
"""Bytes that a socket takes without anybody having read."""
_LAST_WAIT = 10.0
"""Seconds for what a kernel has left behind to be ended, once it has ended itself."""


class NotForkedError(Exception):
    """The zygote gives no kernel; the message says why. An ordinary start is always possible."""


class Forked:
    """A kernel that a zygote has given. Belongs to the event loop that asked for it.

    `exited` has its exit code, as subprocess gives it; `left` the processes that it left behind and that were ended.
    `usage` are its CPU seconds and its peak memory in bytes, once it has ended. `is_unwatched`: who would have ended
    what it left behind was killed, or does not end.
    """

    def __init__(self, connection: socket.socket, reply: Mapping[str, Any], words: int) -> None:
        loop = asyncio.get_running_loop()
        self.pid = int(reply["pid"])
        self.folder = str(reply["folder"])
        self.info: dict[str, Any] = {**reply["connection"], "key": reply["connection"]["key"].encode("ascii")}
        self.words = words
        self.exited: asyncio.Future[int] = loop.create_future()
        self.left: asyncio.Future[list[str]] = loop.create_future()
        self.usage: tuple[float, int] | None = None
        self.is_unwatched = False
        self._connection = connection
        self._said = b""
        loop.add_reader(connection, self._hear)

    async def interrupt(self) -> None:
        """Interrupt what runs; nothing where it has ended by now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGINT)

    async def ask_to_end(self) -> None:
        """Let it end: an IPython kernel is asked by its client, before this; here nothing is left to do."""

    async def close(self) -> list[str]:
        """Give everything back, for one that has ended; what it had left behind, and what was ended therefore."""
        await asyncio.wait({self.left}, timeout=_LAST_WAIT)
        if not self.left.done():  # whoever watched it does not come to an end
            self.is_unwatched = True
            self.left.set_result([])
        RuntimeFolder(Path(self.folder)).remove()
        self._hang_up()
        return self.left.result()

    def _hang_up(self) -> None:
        if self._connection.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._connection)
            self._connection.close()

    def _hear(self) -> None:
        try:
            part = self._connection.recv(65_536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            part = b""
        *lines, self._said = (self._said + part).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not part:
            # Whoever watched it was killed; that kills the kernel.
            self.is_unwatched = not self.left.done()
            self._take({"exit": -signal.SIGKILL})
            self._take({"left": []})
            self._hang_up()

    def _take(self, said: Mapping[str, Any]) -> None:
        if "exit" in said and not self.exited.done():
            if "cpu" in said:
                self.usage = float(said["cpu"]), int(said["peak"])
            self.exited.set_result(said["exit"])
        if "left" in said and not self.left.done():
            self.left.set_result([str(one) for one in said["left"]])


def ask_ahead(address: str, *, environment: Mapping[str, str], cwd: str) -> socket.socket | None:
    """A connection on which a kernel has been asked for, to be given to `ask` later, or closed: then it ends.

    None where that cannot be done without waiting.
    """
    wish = _wish(environment, cwd)
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        connection.connect(address)
        if len(wish) <= _SENT_AT_ONCE and connection.send(wish) == len(wish):
            return connection
    except OSError:
        pass  # whoever asks later finds out, and says, what is wrong
    connection.close()
    return None


async def ask(
    address: str,
    *,
    environment: Mapping[str, str],
    cwd: str,
    patience: float = LOADING,
    ahead: socket.socket | None = None,
) -> Forked:
    """Ask the zygote at `address` for a kernel with that environment. Raises NotForkedError.

    One that is still loading is waited for so many seconds. What the kernel gets reaches no other process. `ahead` is
    the connection on which it has been asked for already.
    """
    return Forked(*await request(address, environment=environment, cwd=cwd, patience=patience, ahead=ahead))


async def request(
    address: str,
    *,
    environment: Mapping[str, str],
    cwd: str,
    patience: float = LOADING,
    ahead: socket.socket | None = None,
) -> tuple[socket.socket, Mapping[str, Any], int]:
    """The connection to a kernel that a zygote has given, what is to know of it, and its own output to read.

    Raises NotForkedError. For `ahead` see `ask`.
    """
    connection = ahead or socket.socket(socket.AF_UNIX)
    try:
        if ahead is None:
            await _say(connection, address, _wish(environment, cwd))
        await _answer(connection, address, patience)
        reply, words = await _reply(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | ValueError):
            raise NotForkedError(f"the zygote did not give one: {error}") from error
        raise
    return connection, reply, words


def _wish(environment: Mapping[str, str], cwd: str) -> bytes:
    return json.dumps({"environment": dict(environment), "cwd": cwd}).encode("ascii") + b"\n"


async def _say(connection: socket.socket, address: str, wish: bytes) -> None:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    await loop.sock_connect(connection, address)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused unread: the reason is there to read
        await loop.sock_sendall(connection, wish)


async def _answer(connection: socket.socket, address: str, patience: float) -> None:
    """Wait until there is something to read; only so many seconds as long as the zygote is loading."""
    try:
        await asyncio.wait_for(_readable(connection), max(0.0, patience))
    except TimeoutError:
        if not Path(address).with_name("loaded").exists():
            raise NotForkedError(f"the zygote was still loading libraries after {patience:.3g} s") from None
        await _readable(connection)


async def _reply(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """The first line that comes, with the descriptor that comes along with it."""
    data, descriptors = b"", []
    try:
        while not data.endswith(b"\n"):
            await _readable(connection)
            part, found, _, _ = socket.recv_fds(connection, 65_536, 1, socket.MSG_CMSG_CLOEXEC)
            descriptors += found
            data += part
            if not part:
                raise ConnectionResetError("it has ended")
        reply = json.loads(data)
        if "pid" not in reply or not descriptors:
            raise ValueError(reply.get("refused", "the kernel ended while it was being prepared"))
        os.set_blocking(descriptors[0], False)
    except BaseException:
        for one in descriptors:
            os.close(one)
        raise
    return reply, descriptors[0]


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)
