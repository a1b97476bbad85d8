"""The worker zygote seen from its owner: start it, have it fork workers, notice when it is gone.

A forked worker is no child of this process: its end is told by the server, and where that is gone too, by the end of
the process itself. Must not know when a server is the right way to get a worker.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any

from nbflow.core.spec import Preload, PreloadMode
from nbflow.executors import ahead
from nbflow.executors.process import Pipes, WorkerProcess
from nbflow.kernels.children import has_ended
from nbflow.worker.protocol import LONGEST_REQUEST

_LONGEST = 4_096
_PATIENCE = 60.0
"""Seconds for a server to answer: what it loads first takes long on a machine that has much else to do."""
_LEAVING = 5.0
"""Seconds for a server to be gone once it has lost its owner; it ends its kernel zygotes in them."""


class RefusedError(Exception):
    """The server cannot fork, and says why."""


class ServerGoneError(Exception):
    """The server has died, or cannot be talked to."""


class ServerHangsError(Exception):
    """The server does not answer."""


class WorkerServer:
    """A server of our own. `fork`, `prepare` and `close` may be called from any thread."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, given: ahead.Inherited) -> None:
        self._process = process
        self._channel = channel
        self._given = given
        self._lock = threading.Lock()
        self._is_used = False
        self._hangs = False

    @classmethod
    def start(cls, command: Sequence[str]) -> WorkerServer:
        """Start a server, or take the one that was started ahead. Raises OSError.

        It can be asked for workers at once, and answers when it has loaded.
        """
        started = ahead.take(command) or ahead.Started(command)
        # Not its own timeout: that would have a message wait that is not to wait.
        started.channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(_PATIENCE), 0))
        return cls(started.process, started.channel, started.given)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """True until its process has ended."""
        return self._process.poll() is None

    def is_current(self) -> bool:
        """True where it was given what a process that is started now would be given."""
        return self._given == ahead.inherited()

    def prepare(self, kernel: str, preload: Preload, cwd: str, withheld: Collection[str]) -> None:
        """Have it start the zygote of a kernel. Only a hint: where it does not arrive, kernels start as usual."""
        self._is_used = True
        modules = None if preload.mode is PreloadMode.OFF else preload.modules
        message = {"prepare": kernel, "modules": modules, "cwd": cwd, "withheld": sorted(withheld)}
        line = _line(message)
        if len(line) > LONGEST_REQUEST:
            line = _line({**message, "modules": []})  # kernels are forked all the same, and load the rest themselves
        if len(line) > LONGEST_REQUEST:
            return
        try:
            self._channel.send(line, socket.MSG_DONTWAIT)
        except OSError:
            return  # the server is gone, or hangs, which the next `fork` finds out

    def fork(self) -> WorkerProcess:
        """A new worker. One request at a time. Raises RefusedError, ServerGoneError, ServerHangsError, OSError."""
        self._is_used = True
        with self._lock, ExitStack() as theirs, ExitStack() as ours:
            if self._hangs:
                raise ServerHangsError
            stdin, stdout, stderr = _pipe(ours, theirs, "wb"), _pipe(ours, theirs, "rb"), _pipe(ours, theirs, "rb")
            status, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.enter_context(status)
            theirs.enter_context(answers)
            status.settimeout(_PATIENCE)
            descriptors = [stdin[1], stdout[1], stderr[1], answers.fileno()]
            try:
                socket.send_fds(self._channel, [_line({"fork": True})], descriptors)
                theirs.close()
                answer = _answer(status)
            except (TimeoutError, BlockingIOError) as error:
                self._hangs = True
                raise ServerHangsError from error
            except OSError as error:
                raise ServerGoneError from error
            match answer:
                case {"pid": int(pid)}:
                    ours.pop_all()
                    pipes = Pipes(stdin=stdin[0], stdout=stdout[0], stderr=stderr[0])
                    return WorkerProcess(_Forked(pid, status), pipes)
                case {"refused": str(reason)}:
                    raise RefusedError(reason)
                case _:
                    raise ServerGoneError

    def leave(self) -> None:
        """Have it go by itself once its last worker has ended."""
        try:
            self._channel.send(_line({"leave": True}))
        except OSError:
            return  # it is gone

    def close(self) -> None:
        """End it and what it has started but the workers, which end with their own pipes."""
        self._channel.close()
        if not self._is_used or self._hangs:
            self._process.kill()  # it hears nothing; or is loading, and has started nothing that it would have to end
        if not has_ended(self._process, _LEAVING):
            self._process.kill()
            self._process.wait()


class _Forked:
    """A process that a server has forked. `status` is the socket by which the server tells its end."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        import psutil

        self.pid = pid
        self._status = status
        try:
            self._process: psutil.Process | None = psutil.Process(pid)  # knows it from a later one with the same pid
        except psutil.NoSuchProcess:
            self._process = None

    def wait(self, timeout: float | None) -> int | None:
        self._status.settimeout(timeout)
        try:
            answer = _answer(self._status)
        except ConnectionResetError:
            answer = {}
        match answer:
            case {"code": int(code)}:
                self._status.close()
                return code
            case _:
                self._wait_alone(timeout)
                self._status.close()
                return None

    def kill(self) -> None:
        import psutil

        try:
            if self._process is not None:
                self._process.kill()
        except psutil.NoSuchProcess:
            return

    def _wait_alone(self, timeout: float | None) -> None:
        """Wait for it without the server, which is dead."""
        import psutil

        try:
            if self._process is not None:
                self._process.wait(timeout)
        except psutil.TimeoutExpired as error:
            raise TimeoutError from error


def _pipe(ours: ExitStack, theirs: ExitStack, mode: str) -> tuple[IO[bytes], int]:
    """Our end of a pipe and the descriptor of theirs; each is closed with its stack."""
    ends = os.pipe()
    own, other = ends if mode == "rb" else (ends[1], ends[0])
    theirs.callback(os.close, other)
    return ours.enter_context(os.fdopen(own, mode, buffering=0)), other


def _answer(status: socket.socket) -> Mapping[str, Any]:
    """What the server says; empty where it has ended."""
    data = status.recv(_LONGEST)
    found: Mapping[str, Any] = json.loads(data) if data else {}
    return found


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"
