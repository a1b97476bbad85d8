"""A wire between a client and a PostgreSQL server that breaks where a test says so."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Self

SOCKET = ".s.PGSQL.5432"
READY = b"Z\x00\x00\x00\x05"
"""How the server's last message of an answer begins."""


class Break(Enum):
    """How a wire breaks at a statement."""

    BEFORE = auto()  # the server never gets it
    AFTER = auto()  # the server carries it out, the client never hears of it
    LATE = auto()  # the client is cut off; the server gets it when `deliver` is called
    SILENT = auto()  # nothing is cut, but nothing is passed on either


class Wire:
    """Passes on all that is said; `folder` is where a client finds its socket.

    `then` is called when it has broken off from the server, before the client hears of it.
    """

    def __init__(self, server: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nbpw-", dir="/tmp"))
        self.broken = 0
        self.then: Callable[[], None] = lambda: None
        self._server = server / SOCKET
        self._orders: list[tuple[bytes, Break]] = []
        self._late: list[tuple[socket.socket, bytes]] = []
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / SOCKET))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            one.close()
        shutil.rmtree(self.folder)

    def break_at(self, text: str, *how: Break) -> None:
        """Break at the next message of a client that holds a text; then at the next one, and so on."""
        self._orders += [(text.encode(), one) for one in how]

    @property
    def is_whole(self) -> bool:
        """Whether it has broken as often as it was to."""
        return not self._orders

    def deliver(self) -> None:
        """Give the server what is late, and wait for its answers, which nobody hears."""
        while self._late:
            server, data = self._late.pop(0)
            server.sendall(data)
            _hear(server)
            server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        self._open += [client, server]
        with contextlib.suppress(OSError, ValueError):
            server.connect(str(self._server))
            while True:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(1 << 20)
                    if not data:
                        raise OSError
                    if one is server:
                        client.sendall(data)
                    elif not self._breaks(client, server, data):
                        server.sendall(data)
        client.close()
        if all(server is not late for late, _ in self._late):
            server.close()

    def _breaks(self, client: socket.socket, server: socket.socket, data: bytes) -> bool:
        """Whether some data of the client has been dealt with as the test wants it."""
        if not self._orders or self._orders[0][0] not in data:
            return False
        _, how = self._orders.pop(0)
        self.broken += 1
        match how:
            case Break.SILENT:
                return True
            case Break.AFTER:
                server.sendall(data)
                _hear(server)
                server.close()
            case Break.LATE:
                self._late.append((server, data))
            case Break.BEFORE:
                server.close()
        self.then()
        raise OSError("broken, as the test wants it")


def _hear(server: socket.socket) -> None:
    """Wait for the whole answer to what has been sent."""
    heard = b""
    while READY not in heard[-6:]:
        data = server.recv(1 << 20)
        if not data:
            raise ConnectionError("the server has no answer")
        heard += data
