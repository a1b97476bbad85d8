"""The kernel zygotes of one process: started when it is known which kernels are needed, one for each.

A zygote is a process of the kernel's own Python that has ipykernel and the notebooks' imports loaded, and forks kernels
(`kernels/zygote`). Here is its owner's side: when the owner ends, so do they. Must not know notebooks or attempts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbflow.errors import NbflowError
from nbflow.kernels.children import has_ended
from nbflow.kernels.environ import zygote_environment
from nbflow.kernels.exits import describe_exit
from nbflow.kernels.runtime import RuntimeFolder
from nbflow.kernels.specs import KernelSpec, find_kernel, interpreter_options, why_not_forked

_SCRIPT = Path(__file__).with_name("zygote") / "__main__.py"
_PRELUDE = Path(__file__).with_name("prelude.py")
_BACKLOG = 512
_ENDING = 5.0
"""Seconds for a zygote to be gone after its owner has closed the connection to it."""
_LONGEST_LOAD = 120.0
"""Seconds for a zygote to load everything: one that takes longer may never be done, and all wait for it a while."""
_MOST_DEATHS = 2
"""Of zygotes that were still loading: what they load kills them."""


class Zygote:
    """One zygote process. Its socket can be connected to at once: who comes early waits until it is loaded."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, folder: RuntimeFolder) -> None:
        self.process = process
        self.address = str(folder.path / "z")
        self.left_out: Mapping[str, str] = {}
        self.failure: str | None = None
        self.is_loaded = False
        self._began = time.monotonic()
        self._control = control
        self._folder = folder
        self._said = b""

    @classmethod
    def start(
        cls, spec: KernelSpec, *, modules: Sequence[str], cwd: str, environment: Mapping[str, str], reserve: int
    ) -> Zygote:
        """Start a zygote for a kernel. Raises OSError and UnreachableError."""
        folder = RuntimeFolder.create()
        made: list[socket.socket] = []
        try:
            made += socket.socketpair()
            made.append(socket.socket(socket.AF_UNIX))
            ours, theirs, listening = made
            listening.bind(str(folder.path / "z"))
            listening.listen(_BACKLOG)
            settings = {
                "listen": listening.fileno(),
                "folder": str(folder.path),
                "base": str(folder.path.parent),
                "cwd": cwd,
                "modules": list(modules),
                "reserve": reserve,
                "at_once": max(2, os.cpu_count() or 1),
                "prelude": str(_PRELUDE),
                "options": interpreter_options(spec),
            }
            process = subprocess.Popen(
                [spec.interpreter, *interpreter_options(spec), str(_SCRIPT), json.dumps(settings)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=dict(environment),
                pass_fds=(listening.fileno(),),
                start_new_session=True,
            )
        except OSError:
            for one in made[:1]:
                one.close()
            folder.remove()
            raise
        finally:
            for one in made[1:]:
                one.close()
        ours.setblocking(False)
        return cls(process, ours, folder)

    def is_alive(self) -> bool:
        """Whether it can be asked for kernels; takes in what it has said."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while part := self._control.recv(65_536):
                self._said += part
        *lines, self._said = self._said.split(b"\n")
        for line in lines:
            said = json.loads(line)
            self.left_out = said.get("left_out", self.left_out)
            self.failure = said.get("failed", self.failure)
            self.is_loaded = said.get("ready", self.is_loaded)
        return self.process.poll() is None and self.failure is None

    @property
    def is_stuck(self) -> bool:
        """Whether it has been loading for too long."""
        return not self.is_loaded and time.monotonic() - self._began > _LONGEST_LOAD

    def close(self) -> None:
        """End it, with the kernels that nobody has."""
        if self.is_alive() and not self.is_loaded:
            self.process.kill()  # it has no kernel yet, and would hear of its end when it has loaded everything only
        self._control.close()
        if not has_ended(self.process, _ENDING):
            self.process.kill()
            self.process.wait()
        self._folder.remove()


class KernelZygotes:
    """The zygotes of this process, by kernel name. Belongs to one thread."""

    def __init__(self, *, reserve: int = 1) -> None:
        self._reserve = reserve
        self._wanted: dict[str, tuple[KernelSpec, tuple[str, ...], str, frozenset[str]]] = {}
        self._zygotes: dict[str, Zygote] = {}
        self._reasons: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()

    def prepare(
        self, kernel: str, modules: Sequence[str] | None, cwd: str, withheld: frozenset[str] = frozenset()
    ) -> None:
        """Have kernels of that name forked from now on; returns at once.

        `modules` are loaded before the fork; None: kernels are not to be forked. `withheld` are environment variables
        that the zygote must not have. A kernel that cannot be forked has its reason in `reasons`. The second time other
        `modules` change nothing: they only save time, and to load all anew costs it. Others that are `withheld` do, for
        the zygote may have them: then it is replaced.
        """
        if kernel in self._reasons or (kernel in self._wanted and self._wanted[kernel][-1] == withheld):
            return
        if kernel in self._zygotes:
            self._zygotes.pop(kernel).close()
        reason: str | None = "preload = false"
        if modules is not None:
            try:
                spec = find_kernel(kernel)
                reason = why_not_forked(spec)
            except NbflowError as error:
                reason = error.message
        if reason is not None or modules is None:
            self._reasons[kernel] = str(reason)
            return
        self._wanted[kernel] = (spec, tuple(modules), cwd, withheld)
        self._start(kernel)

    def addresses(self) -> dict[str, str]:
        """Paths of the sockets of the zygotes that live; one that has died is started again."""
        for kernel, zygote in list(self._zygotes.items()):
            if zygote.is_alive() and not zygote.is_stuck:
                continue
            reason = self._why_no_other(kernel, zygote)
            zygote.close()
            del self._zygotes[kernel]
            if reason is None:
                self._start(kernel)
            else:
                self._reasons[kernel] = reason
        return {kernel: zygote.address for kernel, zygote in self._zygotes.items()}

    def _why_no_other(self, kernel: str, zygote: Zygote) -> str | None:
        """Why a zygote that is of no use any more is not followed by another one."""
        if zygote.failure is not None:
            return f"the zygote could not be loaded: {zygote.failure}"
        code = zygote.process.poll()
        if code is None:
            return f"the zygote was still loading libraries after {_LONGEST_LOAD:g} s"
        self._deaths[kernel] += not zygote.is_loaded
        if self._deaths[kernel] < _MOST_DEATHS:
            return None
        return f"the zygote ended {_MOST_DEATHS} times while it was loading libraries ({describe_exit(code)[0]})"

    def reasons(self) -> dict[str, str]:
        """Why a kernel is started the ordinary way."""
        return dict(self._reasons)

    def close(self) -> None:
        """End all zygotes, and the kernels that nobody has."""
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()

    def _start(self, kernel: str) -> None:
        spec, modules, cwd, withheld = self._wanted[kernel]
        environment = {**zygote_environment(os.environ, withheld), **spec.env}
        try:
            self._zygotes[kernel] = Zygote.start(
                spec, modules=modules, cwd=cwd, environment=environment, reserve=self._reserve
            )
        except (OSError, NbflowError) as error:
            self._reasons[kernel] = f"no zygote could be started: {error}"
