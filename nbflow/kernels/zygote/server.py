"""The zygote's loop: keeps initialised kernels in reserve and gives one to each who connects.

One thread, no ZMQ context, no database, nothing of any task. A connection is not read here but handed on, so that no
environment, and no secret in one, ever gets into the process that later kernels are forked from.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import shutil
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, NoReturn

from . import kernel, preload, shell, system, watcher
from .deferred import Deferred

_MOST_FAILURES = 3
"""Kernels in a row that die before they are ready; after these, whoever asks is told to start one the ordinary way."""
_PAUSE = 60.0
"""Seconds after the last of them in which no other is tried: the system may have been short of something."""


_LONGEST_WORD = 1_024
"""Bytes of what a watcher says at once."""


class _Forked(Exception):
    """Raised in a process that is not the zygote any more, to leave its loop."""

    def __init__(self, channel: socket.socket, folder: str) -> None:
        super().__init__()
        self.channel = channel
        self.folder = folder


@dataclass
class _Child:
    """A kernel in the making or in reserve, by its watcher."""

    pid: int
    channel: socket.socket
    is_ready: bool = False


def main(argument: str) -> None:
    """Load, then serve until the owner is gone. In a forked process this returns when its kernel has ended."""
    settings = json.loads(argument)
    began_with = dict(os.environ)
    owner = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        loaded = _load(settings, owner, began_with)
    except Exception as error:  # whatever ipykernel raises, the ordinary start will show it
        _tell(owner, {"failed": f"{type(error).__name__}: {error}"})
        return
    open(_mark(settings), "wb").close()
    _tell(owner, {"ready": True, "left_out": settings.get("left_out", {})})
    listening = socket.socket(fileno=settings["listen"])
    try:
        if _Server(settings, owner, listening).serve():
            _begin_anew(settings, owner, began_with)
    except _Forked as forked:
        found = forked
    else:
        shutil.rmtree(settings["folder"], ignore_errors=True)  # the owner may have died
        os._exit(0)
    kernel.run(loaded, settings, found.channel, found.folder)


def _mark(settings: dict[str, Any]) -> str:
    """The file that is there as long as all is loaded: who asks then waits only for those who have asked before."""
    return os.path.join(settings["folder"], "loaded")


def _tell(owner: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # an owner that is gone already is seen next
        system.send(owner, message)


def _load(settings: dict[str, Any], owner: socket.socket, environment: dict[str, str]) -> kernel.Loaded:
    """Import everything; where a module turns out to be unfit, begin anew without it."""
    os.chdir(settings["cwd"])
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as ipykernel does in a kernel
    gc.disable()
    application = preload.load_kernel()
    deferred, before = Deferred(), set(sys.modules)
    faults = preload.load_modules(settings["modules"], deferred)
    if faults:
        settings["modules"] = [name for name in settings["modules"] if name not in faults]
        settings["left_out"] = {**settings.get("left_out", {}), **faults}
        _begin_anew(settings, owner, environment)
    loaded = frozenset(name for name in {*sys.modules} - before if "." not in name)
    has_left = dict(os.environ)
    begun = shell.Begun(application, os.path.join(settings["folder"], "ipython"))
    gc.freeze()  # also what nobody needs any more: to look for that takes longer than it is worth
    return kernel.Loaded(begun, environment, has_left, loaded, deferred)


def _begin_anew(settings: dict[str, Any], owner: socket.socket, environment: dict[str, str]) -> NoReturn:
    """Load again in a fresh Python, with the same sockets: who connects meanwhile waits."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_mark(settings))
    os.dup2(owner.fileno(), 0)
    command = [sys.executable, *settings["options"], sys.argv[0], json.dumps(settings)]
    os.execve(sys.executable, command, environment)


class _Server:
    """The zygote's state: who waits for a kernel, and which kernels there are."""

    def __init__(self, settings: dict[str, Any], owner: socket.socket, listening: socket.socket) -> None:
        self._settings = settings
        self._owner = owner
        self._listening = listening
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[socket.socket] = deque()
        self._children: list[_Child] = []
        self._failures = 0
        self._failed = 0.0
        self._given: set[int] = set()
        self._stamp = preload.stamp()

    def serve(self) -> bool:
        """Until the owner has closed its end (False), or packages were installed since it was loaded (True).

        Then all but the kernels that somebody has are ended.
        """
        listening = self._listening
        listening.setblocking(False)
        self._selector.register(self._owner, selectors.EVENT_READ)
        self._selector.register(listening, selectors.EVENT_READ)
        while True:
            self._reap()
            self._stock()
            for key, _ in self._selector.select():
                is_stale = key.fileobj is listening and preload.stamp() != self._stamp
                if is_stale or key.fileobj is self._owner:
                    self._refuse("packages were installed since it was loaded")
                    self._end_reserve()
                    return is_stale
                if key.fileobj is listening:
                    self._accept()
                else:
                    self._hear(key.data)
            self._give()

    def _reap(self) -> None:
        """Take note of watchers that have ended: what they and their kernels used then counts as used by us."""
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._given.discard(pid)

    def _end_reserve(self) -> None:
        for child in self._children:
            child.channel.close()
        for child in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)

    def _accept(self) -> None:
        try:
            asker, _ = self._listening.accept()
        except BlockingIOError:
            return
        except OSError as error:  # too many open files: those who wait hold some
            self._refuse(f"it could not take more requests: {error.strerror}")
            return
        asker.setblocking(True)
        credentials = asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] == os.geteuid():
            self._waiting.append(asker)
        else:
            asker.close()

    def _hear(self, child: _Child) -> None:
        """A kernel is ready, or has ended before anybody wanted it."""
        try:
            said = child.channel.recv(_LONGEST_WORD).decode()
        except OSError:
            said = ""
        if said.startswith(watcher.NOT_FORKED):
            self._drop(child)
            self._refuse(_not_forked(said.removeprefix(watcher.NOT_FORKED)))
            return
        if said:
            child.is_ready = True
            self._failures = 0
            return
        if not child.is_ready:
            self._failures += 1
            self._failed = time.monotonic()
        self._drop(child)

    def _give(self) -> None:
        """Hand connections to kernels that are ready, in the order in which they came."""
        for child in [child for child in self._children if child.is_ready]:
            if not self._waiting:
                return
            asker = self._waiting[0]
            try:
                socket.send_fds(child.channel, [b"g"], [asker.fileno()])
            except OSError:
                self._drop(child)
                continue
            self._waiting.popleft().close()
            self._given.add(child.pid)
            self._drop(child)

    def _drop(self, child: _Child) -> None:
        self._selector.unregister(child.channel)
        child.channel.close()
        self._children.remove(child)

    def _stock(self) -> None:
        """Fork what is wanted and still missing; only as many at a time as there are cores.

        While all cores have a kernel, one in reserve would take memory, and time of theirs, for nothing.
        """
        has_room = len(self._given) + len(self._waiting) < self._settings["at_once"]
        wanted = len(self._waiting) + (self._settings["reserve"] if has_room else 0)
        while len(self._children) < wanted and self._in_the_making() < self._settings["at_once"]:
            reason = self._reason_not_to_fork() or self._fork()
            if reason is not None:
                self._refuse(reason)
                return

    def _in_the_making(self) -> int:
        return sum(not child.is_ready for child in self._children)

    def _reason_not_to_fork(self) -> str | None:
        if self._failures >= _MOST_FAILURES and time.monotonic() - self._failed < _PAUSE:
            return "kernels that it forked ended before they were ready"
        threads = system.unsafe_threads()
        return f"it has a second thread ({threads[0]})" if threads else None

    def _refuse(self, reason: str) -> None:
        while self._waiting:
            with contextlib.suppress(OSError), self._waiting.popleft() as asker:
                system.send(asker, {"refused": reason})

    def _fork(self) -> str | None:
        """Fork one kernel, with its watcher; why that cannot be done just now."""
        made: list[socket.socket] = []
        try:
            made += socket.socketpair()
            made += socket.socketpair()
            pid = os.fork()
        except OSError as error:
            for one in made:
                one.close()
            return _not_forked(error.strerror)
        ours, theirs, above, below = made
        if pid == 0:
            self._leave(ours)
            watcher.run(self._settings["base"], theirs, (above, below), _be_kernel)
        for one in (theirs, above, below):
            one.close()
        child = _Child(pid, ours)
        self._children.append(child)
        self._selector.register(ours, selectors.EVENT_READ, child)
        return None

    def _leave(self, ours: socket.socket) -> None:
        """In the forked process, which becomes a watcher: give back all that is the zygote's."""
        self._selector.close()
        for one in (ours, self._owner, self._listening, *self._waiting, *(child.channel for child in self._children)):
            one.close()


def _not_forked(reason: str | None) -> str:
    return f"no kernel could be forked: {reason}"


def _be_kernel(channel: socket.socket, folder: str) -> NoReturn:
    raise _Forked(channel, folder)
