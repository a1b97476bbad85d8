"""A provisioner for jupyter_client: whoever starts a kernel whose kernelspec names it gets a forked one.

The zygotes belong to the process that asks, and end with it. Whatever cannot be forked is started the ordinary way,
with a line in the log. Must not know notebooks or attempts.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.localinterfaces import LOCALHOST
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List, Unicode

from nbflow.errors import NbflowError
from nbflow.kernels.environ import zygote_environment
from nbflow.kernels.specs import KernelSpec, find_kernel, why_not_forked
from nbflow.kernels.warm import NotForkedError, request
from nbflow.kernels.zygote.kernel import AT_START
from nbflow.kernels.zygotes import Zygote

_USUAL = ["--HistoryManager.hist_file=:memory:"]
"""The options with which a zygote starts its kernels, and which nbclient and papermill ask for."""
_RESERVE = 1
_FAREWELL = 10.0
"""Seconds within which the watcher of a kernel that has ended removes its folder."""


class NbflowProvisioner(LocalProvisioner):
    """Starts one kernel. Such a kernel has no IPython profile of the user, and its history is in memory."""

    preload: List[str] = List(Unicode(), help="Modules that the zygote loads before it forks.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reason: str | None = None
        self._folder: str | None = None
        self._kernel = str(self.parent.kernel_name) if isinstance(self.parent, KernelManager) else ""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """As jupyter_client's own; notes whether the kernel that is asked for can be forked."""
        options = kwargs.get("extra_arguments") or []
        self._reason = self._why_not(options)
        return dict(await super().pre_launch(**kwargs))

    def _why_not(self, options: list[str]) -> str | None:
        if self._folder is not None:
            Path(self._folder).mkdir(mode=0o700, exist_ok=True)
            return "a kernel that is started again listens where the first one did"
        if options not in ([], _USUAL):
            return "it is asked for with options of its own"
        spec = self._spec()
        return spec if isinstance(spec, str) else why_not_forked(spec)

    def _spec(self) -> KernelSpec | str:
        try:
            return find_kernel(self._kernel)
        except NbflowError as error:
            return error.message

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel; where its sockets are, which the manager takes over."""
        if self._reason is None and getattr(self.parent, "curve_publickey", None) is not None:
            self._reason = "its connections are to be encrypted"
        if self._reason is None:
            try:
                return await self._fork(**kwargs)
            except NotForkedError as error:
                self._reason = str(error)
        self.log.info("Kernel %s is started the ordinary way: %s", self._kernel, self._reason)
        return await super().launch_kernel(cmd, **kwargs)

    async def _fork(self, *, env: Mapping[str, str], cwd: Any = None, **_: Any) -> Any:
        spec = self._spec()
        if isinstance(spec, str):
            raise NotForkedError(spec)
        environment = zygote_environment({**env, **spec.env})
        address = _SHARED.address(spec, tuple(self.preload), environment)
        folder = os.path.abspath(cwd or os.curdir)  # noqa: PTH100 - links stay as they were given
        connection, reply, words = await request(address, environment=environment, cwd=folder)
        process: Any = ForkedProcess(connection, reply, words)
        self.process, self.pid, self.pgid = process, process.pid, process.pid
        self.ip = LOCALHOST
        self.cwd = folder
        self._folder = str(reply["folder"])
        self._return_ports()
        found: Any = {**reply["connection"], "kernel_name": self._kernel}
        found["key"] = found["key"].encode("ascii")
        self.connection_info = found
        return self.connection_info

    def _return_ports(self) -> None:
        """Those that jupyter_client had picked are not needed, nor any for a start after this one."""
        if isinstance(self.parent, KernelManager):
            self.parent.cache_ports = False
        if self.ports_cached:
            from jupyter_client.connect import LocalPortCache

            ports: Any = self.connection_info
            for name in ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port"):
                LocalPortCache.instance().return_port(ports[name])
            self.ports_cached = False

    async def cleanup(self, restart: bool = False) -> None:
        """Give everything back."""
        await super().cleanup(restart=restart)
        if self._folder is not None and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class ForkedProcess:
    """A forked kernel with the manners of `subprocess.Popen`, as far as jupyter_client knows them."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket, reply: Mapping[str, Any], words: int) -> None:
        self.pid = int(reply["pid"])
        self.returncode: int | None = None
        self._connection = connection
        self._said = b""
        self._is_over = False
        threading.Thread(target=_pass_on, args=(words,), name="kernel-words", daemon=True).start()

    def poll(self) -> int | None:
        """Its exit code; None as long as it lives."""
        while not self._is_over and self._is_readable(0):
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and for that of all that it left behind. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._is_over:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._is_readable(left):
                raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
            self._hear()
        with contextlib.suppress(OSError):  # its watcher removes the folder and goes, unless it has been killed
            self._connection.settimeout(_FAREWELL)
            self._connection.shutdown(socket.SHUT_WR)
            while self._connection.recv(65_536):
                continue
        self._connection.close()
        assert self.returncode is not None  # noqa: S101 - it has ended
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to its process group; nothing where it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _is_readable(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def _hear(self) -> None:
        try:
            part = self._connection.recv(65_536)
        except ConnectionResetError:
            part = b""
        *lines, self._said = (self._said + part).split(b"\n")
        for line in lines:
            said = json.loads(line)
            self.returncode = said.get("exit", self.returncode)
            self._is_over = self._is_over or "left" in said
        if not part:  # whoever watched it was killed; that kills the kernel
            self.returncode = -signal.SIGKILL if self.returncode is None else self.returncode
            self._is_over = True


def _pass_on(words: int) -> None:
    """Write what the kernel itself says where this process writes its own errors, as an ordinary start does."""
    os.set_blocking(words, True)
    with contextlib.suppress(OSError), open(words, "rb", buffering=0) as file:
        while part := file.read(65_536):
            os.write(2, part)


class _Shared:
    """The zygotes of this process, by what kernels of theirs have in common."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zygotes: dict[object, Zygote] = {}
        self._owner = os.getpid()

    def address(self, spec: KernelSpec, modules: tuple[str, ...], environment: Mapping[str, str]) -> str:
        """The socket of a zygote for kernels with that environment. Raises NotForkedError."""
        at_start = {name: value for name, value in environment.items() if AT_START.fullmatch(name)}
        key = (spec.argv, modules, frozenset(spec.env.items()), frozenset(at_start.items()))
        with self._lock:
            if self._owner != os.getpid():  # a fork: the zygotes are its parent's
                self._zygotes, self._owner = {}, os.getpid()
            zygote = self._zygotes.get(key)
            if zygote is None or not (zygote.is_alive() or zygote.failure):
                if zygote is not None:
                    zygote.close()
                zygote = self._zygotes[key] = self._start(spec, modules, at_start)
            if zygote.failure:
                raise NotForkedError(f"the zygote could not be loaded: {zygote.failure}")
            return zygote.address

    def _start(self, spec: KernelSpec, modules: tuple[str, ...], at_start: Mapping[str, str]) -> Zygote:
        """What one kernel alone is given stays out of it, but for what has to be there when Python starts."""
        inherited = {name: value for name, value in os.environ.items() if not AT_START.fullmatch(name)}
        environment = {**zygote_environment(inherited), **spec.env, **at_start}
        try:
            return Zygote.start(spec, modules=modules, cwd="/", environment=environment, reserve=_RESERVE)
        except (OSError, NbflowError) as error:
            raise NotForkedError(f"no zygote could be started: {error}") from error

    def close(self) -> None:
        """End them; a fork leaves those of its parent alone."""
        with self._lock:
            zygotes = list(self._zygotes.values()) if self._owner == os.getpid() else []
            self._zygotes = {}
        for zygote in zygotes:
            zygote.close()


_SHARED = _Shared()
atexit.register(_SHARED.close)
