"""Where workers come from: forked by a server that has everything loaded, else started one by one.

The server is an advantage, never a condition: where it cannot fork, has died or is too old, a worker comes all the
same. Must not know what workers do.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from nbflow.core.spec import Preload
from nbflow.executors.ahead import MAY_FORK, server_command
from nbflow.executors.process import WorkerProcess
from nbflow.executors.server import RefusedError, ServerGoneError, ServerHangsError, WorkerServer
from nbflow.kernels.patience import insist

_MOST_DEATHS = 2
"""Servers that die one after the other before they give a worker: the next ones would do the same."""


class Workers:
    """A source of workers without an order. May be used from any thread."""

    def __init__(self, command: Sequence[str], *, forks: bool = True) -> None:
        self._command = command
        self._forks = forks and MAY_FORK
        self._why_not = "it is not wanted" if MAY_FORK else "that is done on Linux only"
        self._lock = threading.Lock()
        self._server: WorkerServer | None = None
        self._old: list[WorkerServer] = []
        self._kernels: dict[str, tuple[Preload, str, Collection[str]]] = {}
        self._deaths = 0

    def prepare(self, kernels: Mapping[str, Preload], cwd: str, withheld: Collection[str]) -> None:
        """Start the server, if there is none, and have it load what these kernels need. Returns at once."""
        server = self._current()
        with self._lock:
            self._kernels.update({name: (preload, cwd, withheld) for name, preload in kernels.items()})
        if server is not None:
            for name, preload in kernels.items():
                server.prepare(name, preload, cwd, withheld)

    def take(self) -> WorkerProcess:
        """A new worker. Raises OSError where none can be started, though it was tried for some seconds."""
        refused: str | None = None
        while (server := self._current()) is not None:
            try:
                worker = server.fork()
            except RefusedError as error:
                refused = str(error)
                break
            except ServerHangsError:
                self._drop(server)
                refused = "the server that forks them does not answer"
                break
            except ServerGoneError:
                self._drop(server)
                continue
            self._deaths = 0
            return worker
        alone = [*self._command, "--alone", refused or self._why_not]
        return insist(lambda: WorkerProcess.start(alone))

    def close(self) -> None:
        """End all servers, and start none from now on."""
        with self._lock:
            self._forks, self._why_not = False, "the executor was being closed"
            servers = [*self._old, *([self._server] if self._server else [])]
            self._server, self._old = None, []
        for server in servers:
            server.close()

    def _current(self) -> WorkerServer | None:
        """The server that forks now, started if need be; None where workers are to be started one by one."""
        with self._lock:
            self._old = [server for server in self._old if not _buried(server)]
            if self._server is not None and _buried(self._server):
                self._lose_server()
            elif self._server is not None and not self._server.is_current():
                self._server.leave()
                self._old.append(self._server)
                self._server = None
            if self._server is None and self._forks and self._deaths < _MOST_DEATHS:
                try:
                    self._server = WorkerServer.start(server_command(self._command))
                except OSError as error:
                    self._why_not = f"no server could be started: {error.strerror}"
                    return None
                for name, (preload, cwd, withheld) in self._kernels.items():
                    self._server.prepare(name, preload, cwd, withheld)
            return self._server

    def _drop(self, server: WorkerServer) -> None:
        """No more workers from one that has died."""
        with self._lock:
            if self._server is server:
                self._lose_server()
        server.close()

    def _lose_server(self) -> None:
        """Count a death, with the lock held."""
        self._deaths += 1
        self._server, self._why_not = None, "the server that forks them has died"


def _buried(server: WorkerServer) -> bool:
    """Whether a server has ended; then nothing is left of it."""
    if server.is_alive():
        return False
    server.close()
    return True
