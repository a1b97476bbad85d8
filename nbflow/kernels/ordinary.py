"""A kernel started by the command of its kernelspec, as Jupyter starts any: every language, any machine.

Its sockets lie in a private folder of its own; its exit is noticed at once, by waiting for the process. Must not know
notebooks, cells or limits.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nbflow.errors import UnreachableError
from nbflow.kernels.patience import insist_async
from nbflow.kernels.runtime import RuntimeFolder
from nbflow.kernels.specs import KernelSpec
from nbflow.kernels.sweep import end_descendants


class Ordinary:
    """A kernel that was started the ordinary way. Belongs to the event loop that started it.

    `words` is a descriptor to read what the process itself says. `exited` has its exit code as subprocess gives it.
    """

    def __init__(self, spec: KernelSpec, folder: RuntimeFolder) -> None:
        from jupyter_client.manager import AsyncKernelManager

        self.pid = 0
        self.folder = str(folder.path)
        self.words, self._write_end = os.pipe()
        os.set_blocking(self.words, False)
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.usage: tuple[float, int] | None = None
        self._spec = spec
        self._folder = folder
        self._manager = AsyncKernelManager(
            kernel_name=spec.name,
            transport="ipc",
            ip=str(folder.socket_prefix),
            connection_file=str(folder.connection_file),
        )

    @classmethod
    async def start(cls, spec: KernelSpec, *, cwd: str, environment: Mapping[str, str]) -> Ordinary:
        """Start the process; it is not ready yet. Raises UnreachableError where it cannot be started."""
        try:
            return await insist_async(lambda: cls._started(spec, cwd, environment))
        except (OSError, RuntimeError, ValueError) as error:
            raise UnreachableError(f'kernel "{spec.name}" cannot be started: {error}') from error

    @classmethod
    async def _started(cls, spec: KernelSpec, cwd: str, environment: Mapping[str, str]) -> Ordinary:
        made = cls(spec, RuntimeFolder.create())
        try:
            await made._launch(cwd, {**environment, "IPYTHONDIR": str(made._folder.ipython)})
        except BaseException:
            os.close(made.words)
            await asyncio.to_thread(made._kill)
            await made.close()
            raise
        finally:
            os.close(made._write_end)
        return made

    async def _launch(self, cwd: str, environment: Mapping[str, str]) -> None:
        options = ["--HistoryManager.enabled=False"] if self._spec.runs_ipykernel else []
        await self._manager.start_kernel(
            extra_arguments=options, cwd=cwd, env=dict(environment), stdout=self._write_end, stderr=self._write_end
        )
        provisioner: Any = self._manager.provisioner
        self.pid = provisioner.process.pid
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(provisioner.process, loop), name="kernel-exit", daemon=True).start()

    @property
    def info(self) -> dict[str, Any]:
        """Where its sockets are, and its key."""
        return dict(self._manager.get_connection_info())

    async def interrupt(self) -> None:
        """Interrupt what runs, in the way the kernelspec asks for."""
        await self._manager.interrupt_kernel()

    async def ask_to_end(self) -> None:
        """Ask for a shutdown in good order, without waiting for it."""
        await self._manager.request_shutdown()

    async def close(self) -> list[str]:
        """Give sockets, connection file and folder back; for one that has ended. What it had left behind is ended."""
        await self._manager.cleanup_resources()
        left = await asyncio.to_thread(end_descendants)
        self._folder.remove()  # last: a process on its way out may still write to it
        return left

    def _kill(self) -> None:
        """Kill the process where there is one, known or not: a start may be cancelled right behind it."""
        provisioner: Any = self._manager.provisioner
        process = getattr(provisioner, "process", None)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _watch(self, process: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the process in a thread: it works on every POSIX system, and costs no polling."""
        code = process.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the worker of an attempt has no other child
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

        def tell() -> None:
            self.usage = used.ru_utime + used.ru_stime, peak
            if not self.exited.done():
                self.exited.set_result(code)

        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop is closed: nobody asks any more
