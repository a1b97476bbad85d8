"""One kernel process on this machine: start, connect, interrupt, signal, end of its whole process group.

It leads a session of its own; its sockets lie in a private folder; its exit is noticed at once, by waiting for the
process. Must not know notebooks, cells or limits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

from nbflow.errors import UnreachableError
from nbflow.kernels.exits import last_words
from nbflow.kernels.runtime import RuntimeFolder
from nbflow.kernels.specs import KernelSpec

_WORDS_KEPT = 16_384
"""Bytes of the process's own output (not of its cells) that are kept, the last ones."""
_RECONNECT_MS = 10
"""The kernel binds its sockets some time after we connect; ZMQ would look for them every 100 ms only."""
_READ_AHEAD = 128
"""Messages that are read before anybody asks for them."""
_LAST_WAIT = 10.0
"""Seconds for a killed process to be gone; longer only where the system itself hangs."""


class Kernel:
    """A kernel that is started once. Belongs to the event loop that calls `start`."""

    def __init__(self, spec: KernelSpec, *, cwd: str, env: Mapping[str, str], runtime: RuntimeFolder) -> None:
        from jupyter_client.manager import AsyncKernelManager

        self.spec = spec
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self._cwd = cwd
        self._env = dict(env)
        self._words = b""
        self._words_fd: int | None = None
        self._manager = AsyncKernelManager(
            kernel_name=spec.name,
            transport="ipc",
            ip=str(runtime.socket_prefix),
            connection_file=str(runtime.connection_file),
        )
        self._tune(self._manager.context, waits=spec.runs_ipykernel)

    async def start(self) -> None:
        """Start the process; it is not ready yet. Raises UnreachableError where it cannot be started."""
        self._words_fd, write_end = os.pipe()
        os.set_blocking(self._words_fd, False)
        asyncio.get_running_loop().add_reader(self._words_fd, self._listen)
        options = ["--HistoryManager.hist_file=:memory:"] if self.spec.runs_ipykernel else []
        try:
            await self._manager.start_kernel(
                extra_arguments=options, cwd=self._cwd, env=self._env, stdout=write_end, stderr=write_end
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise UnreachableError(f'kernel "{self.spec.name}" cannot be started: {error}') from error
        finally:
            os.close(write_end)
        provisioner: Any = self._manager.provisioner
        process = provisioner.process
        self.pid = process.pid
        threading.Thread(
            target=_watch, args=(process, asyncio.get_running_loop(), self.exited), name="kernel-exit", daemon=True
        ).start()

    def connect(self) -> Any:
        """A client with its shell and iopub channels open; there is no stdin: nobody could answer."""
        client = self._manager.client(context=self._manager.context)
        client.shell_channel_class = _channel_class()
        client.start_channels(stdin=False, hb=False, control=False)
        return client

    async def interrupt(self) -> None:
        """Interrupt what runs, in the way the kernelspec asks for."""
        if not self.exited.done():
            await self._manager.interrupt_kernel()

    async def ask_to_end(self) -> None:
        """Ask for a shutdown in good order, without waiting for it."""
        if not self.exited.done():
            await self._manager.request_shutdown()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the kernel's whole process group; one that is empty by now is no error."""
        if self.pid:
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                return  # PermissionError: macOS says so of a group of zombies

    async def close(self) -> None:
        """End the whole process group, wait for the process, give sockets and connection file back."""
        if self.pid:
            self.signal_group(signal.SIGKILL)
            await asyncio.wait({self.exited}, timeout=_LAST_WAIT)
        await self._manager.cleanup_resources()
        if self._words_fd is not None:
            self._listen()
            asyncio.get_running_loop().remove_reader(self._words_fd)
            os.close(self._words_fd)
            self._words_fd = None

    def last_words(self) -> str:
        """The end of what the process itself (not a cell) wrote to stdout and stderr, without colours."""
        self._listen()
        return last_words(self._words)

    def _listen(self) -> None:
        while self._words_fd is not None:
            try:
                part = os.read(self._words_fd, 65_536)
            except BlockingIOError:
                return
            if not part:
                asyncio.get_running_loop().remove_reader(self._words_fd)
                return
            self._words = (self._words + part)[-_WORDS_KEPT:]

    @staticmethod
    def _tune(context: Any, *, waits: bool) -> None:
        """`waits`: the kernel waits for a slow reader. Any other drops in silence what is beyond the mark."""
        import zmq

        context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        context.setsockopt(zmq.RCVHWM, _READ_AHEAD if waits else 0)


def _channel_class() -> Any:
    """A channel that looks for replies after each message that it sends.

    jupyter_client sends behind the back of the asynchronous socket; ZMQ's only notice of a reply that comes in at that
    moment would be lost, and with it every later one.
    """
    import zmq
    from jupyter_client.channels import AsyncZMQSocketChannel

    class Channel(AsyncZMQSocketChannel):
        def send(self, msg: dict[str, Any]) -> None:
            super().send(msg)
            if self.socket is not None:
                self.socket.get(zmq.EVENTS)

    return Channel


def _watch(process: Any, loop: asyncio.AbstractEventLoop, exited: asyncio.Future[int]) -> None:
    """Wait for the process in a thread: it works on every POSIX system, and costs no polling."""
    code = process.wait()

    def tell() -> None:
        if not exited.done():
            exited.set_result(code)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return  # the loop is closed: nobody asks any more
