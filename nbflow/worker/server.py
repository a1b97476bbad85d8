"""The worker zygote: a process that has loaded what attempts need, and forks one worker for each of them.

Requests come through a socket of whole messages, one JSON line each; `fork` brings four descriptors: the new worker's
stdin, stdout and stderr, and a socket for what the server says of it (its pid or why there is none, its exit code).
The server has one thread only: a process with more cannot be forked safely. Must not know what a worker does.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from nbflow.kernels.runtime import sweep
from nbflow.worker import load
from nbflow.worker.protocol import LONGEST_REQUEST

DESCRIPTORS = 4
"""How many a request to fork brings."""

_TASKS = Path("/proc/self/task")
_OPEN = Path("/proc/self/fd")

Work = Callable[[Mapping[str, str], Mapping[str, str]], int]
"""What a forked worker does, given the zygotes of kernels and why others have none; returns its exit code."""


class Zygotes(Protocol):
    """The zygotes of kernels, which this process owns."""

    def prepare(self, kernel: str, modules: Sequence[str] | None, cwd: str, withheld: frozenset[str]) -> None:
        """Start one that loads `modules`, or note that there is to be none; returns at once."""
        ...

    def addresses(self) -> dict[str, str]:
        """The sockets of those that live."""
        ...

    def reasons(self) -> dict[str, str]:
        """Why a kernel has none."""
        ...

    def close(self) -> None:
        """End them."""
        ...


class Server:
    """Forks workers that do `work`, until its channel ends, or it is told to leave and its last worker has ended."""

    def __init__(self, channel: socket.socket, work: Work, zygotes: Zygotes) -> None:
        self._channel = channel
        self._work = work
        self._zygotes = zygotes
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, self._hear)
        self._workers: dict[int, tuple[int, socket.socket]] = {}
        self._missing = [*load.MODULES]
        self._can_fork = False
        self._is_ready = False
        self._is_leaving = False
        self._is_over = False

    def run(self) -> None:
        """Serve to the end. What is not loaded yet is loaded while nobody asks for anything."""
        gc.disable()  # a collection would write to the pages of memory that workers share
        while not self._is_over and not (self._is_leaving and not self._workers):
            ready = self._selector.select(None if self._is_ready else 0)
            for key, _ in ready:
                key.data()
            if not ready:
                self._load_more()
        self._zygotes.close()

    def _load_more(self) -> None:
        if self._missing:
            load.module(self._missing.pop(0))
        elif not self._can_fork:
            load.pages()
            self._can_fork = True
        else:
            load.prose()
            sweep()  # what was killed with its owner could not clean up
            gc.collect()
            self._is_ready = True

    def _hear(self) -> None:
        """One message; its end means that the owner is gone, or wants nothing more."""
        flags = socket.MSG_CMSG_CLOEXEC
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, LONGEST_REQUEST, DESCRIPTORS, flags)
        except ConnectionResetError:
            data, descriptors = b"", []
        try:
            self._obey(_message(data) if data else None, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _obey(self, message: Any, descriptors: list[int]) -> None:
        match message:
            case {"fork": True} if len(descriptors) == DESCRIPTORS:
                self._fork(*descriptors)
            case {"prepare": str(kernel), "modules": modules, "cwd": str(cwd), "withheld": list(withheld)}:
                self._zygotes.prepare(kernel, modules, cwd, frozenset(withheld))
            case {"leave": True}:
                self._is_leaving = True
            case None:
                self._is_over = True
            case _:
                # Not a message; or no descriptors came with it, since too many are open, and the sender sees its own
                # socket close unanswered.
                pass

    def _fork(self, stdin: int, stdout: int, stderr: int, status: int) -> None:
        """Fork a worker and say so."""
        while not self._can_fork:
            self._load_more()  # what is missing would be loaded by each worker, while its kernel is loading too
        told = socket.socket(fileno=os.dup(status))
        addresses, reasons = self._zygotes.addresses(), self._zygotes.reasons()
        reason = obstacle()
        if reason is None:
            gc.freeze()
            try:
                pid = os.fork()
            except OSError as error:
                reason = f"no process could be forked: {error.strerror}"
            else:
                if pid == 0:
                    self._become_worker((stdin, stdout, stderr), addresses, reasons)
                self._watch(pid, told)
        if reason is not None:
            _say(told, {"refused": reason})
            told.close()

    def _watch(self, pid: int, told: socket.socket) -> None:
        _say(told, {"pid": pid})
        ending = os.pidfd_open(pid)
        self._workers[ending] = pid, told
        self._selector.register(ending, selectors.EVENT_READ, lambda: self._reap(ending))

    def _reap(self, ending: int) -> None:
        """Tell how a worker ended."""
        pid, told = self._workers.pop(ending)
        self._selector.unregister(ending)
        os.close(ending)
        _, status = os.waitpid(pid, 0)
        _say(told, {"code": os.waitstatus_to_exitcode(status)})
        told.close()

    def _become_worker(
        self, standard: tuple[int, int, int], addresses: Mapping[str, str], reasons: Mapping[str, str]
    ) -> NoReturn:
        """What a forked process does. It never comes back to the server's loop, whatever happens."""
        code = 1
        try:
            os.setsid()
            for target, source in enumerate(standard):
                os.dup2(source, target)
            _close_others()
            gc.enable()
            code = self._work(addresses, reasons)
        except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a process of its own
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def take_channel() -> socket.socket:
    """The socket that this process got as its stdin, which no child of it inherits any more."""
    channel = socket.socket(fileno=os.dup(0))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return channel


def obstacle() -> str | None:
    """Why this process cannot be forked safely; None where it can."""
    threads = sum(1 for _ in _TASKS.iterdir())
    if threads > 1:
        return f"its process has {threads} threads: a library that it has loaded has left some running"
    return None


def _message(data: bytes) -> Any:
    """What was asked; nothing that anybody can have meant where it was cut off."""
    try:
        return json.loads(data)
    except ValueError:
        return {}


def _close_others() -> None:
    """Close every descriptor but the standard ones: what the server holds is not the worker's.

    The objects that hold them live as long as the process, so that none closes a number that is in use again.
    """
    for descriptor in [int(found.name) for found in _OPEN.iterdir()]:
        if descriptor > 2:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the one by which the folder itself was read


def _say(status: socket.socket, message: Mapping[str, Any]) -> None:
    try:
        status.send(json.dumps(message).encode("ascii"))
    except (BrokenPipeError, ConnectionResetError):
        return  # nobody waits for this worker any more
