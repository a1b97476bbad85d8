"""One kernel process: start, sockets, exit, interrupt, signals, end.

Forked by a zygote where there is one, else started the ordinary way: from outside nobody sees a difference but in time.
It leads a session of its own; its sockets lie in a private folder. Must not know notebooks, cells or limits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from nbflow.core.attempt import STILL_RUNNING
from nbflow.kernels.environ import OWNER_MARK
from nbflow.kernels.exits import last_words
from nbflow.kernels.ordinary import Ordinary
from nbflow.kernels.specs import KernelSpec
from nbflow.kernels.sweep import end_marked, group_members
from nbflow.kernels.warm import LOADING, Forked, NotForkedError, ask

_WORDS_KEPT = 16_384
"""Bytes of the process's own output (not of its cells) that are kept, the last ones."""
_RECONNECT_MS = 10
"""The kernel binds its sockets some time after we connect; ZMQ would look for them every 100 ms only."""
_READS = 16
"""Reads of that output in one go: more than a pipe holds, and not for ever where it is written all the time."""
_READ_AHEAD = 128
"""Messages that are read before anybody asks for them."""
_LAST_WAIT = 10.0
"""Seconds for a killed process to be gone; longer only where the system itself hangs."""


class Kernel:
    """A kernel that is started once. Belongs to the event loop in which it is made.

    `zygote` is the socket of a zygote, `reason` why there is none; once it is started, `is_forked` and `reason` say
    how it came to be. `ahead` is a connection on which the zygote has been asked already. `mask` is applied to its last
    words.
    """

    def __init__(
        self,
        spec: KernelSpec,
        *,
        cwd: str,
        env: Mapping[str, str],
        zygote: str | None = None,
        reason: str | None = None,
        ahead: socket.socket | None = None,
    ) -> None:
        self.spec = spec
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self.reason = reason
        self.mask: Callable[[str], str] = str
        self._cwd = cwd
        self._env = dict(env)
        self._zygote = zygote
        self._ahead = ahead
        self._process: Ordinary | Forked | None = None
        self._context: Any = None
        self._words = b""
        self._is_listening = False
        self._members: list[str] = []

    @property
    def is_forked(self) -> bool:
        """True for one that a zygote has given: it is initialised, its prelude has run."""
        return isinstance(self._process, Forked)

    @property
    def folder(self) -> str:
        """The private folder of the kernel that runs."""
        return self._process.folder if self._process is not None else ""

    @property
    def usage(self) -> tuple[float, int] | None:
        """CPU seconds and peak memory (bytes) of the process, once it has ended and where that is known."""
        return self._process.usage if self._process is not None else None

    async def start(self, longest: float | None = None) -> None:
        """Start the process; it is not ready yet. Raises UnreachableError where it cannot be started.

        `longest`: seconds that it has to be ready in. Half of them are kept for an ordinary start.
        """
        patience = LOADING if longest is None else min(LOADING, longest / 2)
        self._process = await self._forked(patience) or await Ordinary.start(
            self.spec, cwd=self._cwd, environment=self._env
        )
        self.pid = self._process.pid
        self._process.exited.add_done_callback(self._note_exit)
        asyncio.get_running_loop().add_reader(self._process.words, self._listen)
        self._is_listening = True

    async def _forked(self, patience: float) -> Forked | None:
        if self._zygote is None:
            return None
        ahead, self._ahead = self._ahead, None
        try:
            environment = {**self._env, **self.spec.env}
            return await ask(self._zygote, environment=environment, cwd=self._cwd, patience=patience, ahead=ahead)
        except NotForkedError as error:
            self.reason = str(error)
            return None

    def connect(self) -> Any:
        """A client with its shell and iopub channels open; there is no stdin: nobody could answer."""
        import zmq

        from nbflow.kernels.wire import Client

        assert self._process is not None  # noqa: S101 - it is started
        self._context = zmq.Context()
        self._tune(self._context, waits=self.spec.runs_ipykernel)
        client = Client(self._context, self._process.info)
        client.start_channels(stdin=False, hb=False, control=False)
        return client

    async def interrupt(self) -> None:
        """Interrupt what runs, in the way the kernelspec asks for."""
        if self._process is not None and not self.exited.done():
            await self._process.interrupt()

    async def ask_to_end(self) -> None:
        """Ask for a shutdown in good order, without waiting for it."""
        if self._process is not None and not self.exited.done():
            await self._process.ask_to_end()

    def note_group(self) -> None:
        """Remember what is in the kernel's process group besides it, to be named as left behind."""
        self._members += group_members(self.pid)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the kernel's whole process group; one that is empty by now is no error."""
        if self.pid:
            try:
                if self.exited.done():
                    os.killpg(self.pid, 0)  # raises at once where nobody is left
                    self.note_group()
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                return  # PermissionError: macOS says so of a group of zombies

    async def close(self) -> list[str]:
        """End the whole process group, wait for the process, give everything back.

        What else the notebook had left behind is ended too, and named.
        """
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None
        if self._process is None:
            return []
        self.signal_group(signal.SIGKILL)
        await asyncio.wait({self.exited}, timeout=_LAST_WAIT)
        self._listen()
        self._stop_listening()
        process, self._process = self._process, None
        os.close(process.words)
        left = await process.close()
        if isinstance(process, Forked) and process.is_unwatched and OWNER_MARK in self._env:
            left += await asyncio.to_thread(end_marked, self._env[OWNER_MARK])
        staying = {one.removesuffix(STILL_RUNNING) for one in left if one.endswith(STILL_RUNNING)}
        members = [one for one in self._members if one.removesuffix(")") not in staying]
        return list(dict.fromkeys([*members, *left]))

    def last_words(self, longest: int = 2_000) -> str:
        """The end of what the process itself (not a cell) wrote to stdout and stderr, without colours."""
        self._listen()
        return last_words(self._words, longest, self.mask)

    def _note_exit(self, exited: asyncio.Future[int]) -> None:
        if not self.exited.done():
            self.exited.set_result(exited.result())

    def _listen(self) -> None:
        for _ in range(_READS):
            if not self._is_listening or self._process is None:
                return
            try:
                part = os.read(self._process.words, 65_536)
            except BlockingIOError:
                return
            if not part:
                self._stop_listening()
                return
            self._words = (self._words + part)[-_WORDS_KEPT:]

    def _stop_listening(self) -> None:
        if self._is_listening and self._process is not None:
            asyncio.get_running_loop().remove_reader(self._process.words)
        self._is_listening = False

    @staticmethod
    def _tune(context: Any, *, waits: bool) -> None:
        """`waits`: the kernel waits for a slow reader. Any other drops in silence what is beyond the mark."""
        import zmq

        context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        context.setsockopt(zmq.RCVHWM, _READ_AHEAD if waits else 0)
