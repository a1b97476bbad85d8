"""The parent of one kernel: tells its owner how it ended, ends what it leaves behind, ends it with its owner.

Forked from the zygote, and independent of it once the kernel is given away: a zygote may die without harm to the
kernels that are in use. Standard library only. Must not know what a kernel does.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable

from . import system

READY, NOT_FORKED = "r", "x"
"""What it says to the zygote: of its kernel, or, followed by why, that it has none."""
_REAP_EVERY = 30_000
"""Milliseconds after which orphans that the kernel left and that have ended are collected."""


def run(
    base: str,
    zygote: socket.socket,
    channel: tuple[socket.socket, socket.socket],
    be_kernel: Callable[[socket.socket, str], None],
) -> None:
    """Fork a kernel and watch it to its end. In the kernel's process this returns when the kernel has ended.

    Its folder is made in `base`, here and not in the zygote, which may be killed at any moment and leaves nothing;
    `channel` has our end and the kernel's.
    """
    ours, theirs = channel
    watcher = os.getpid()
    system.adopt_orphans()
    folder = ""
    try:
        folder = tempfile.mkdtemp(prefix="nbflow-", dir=base)
        pid = os.fork()
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        zygote.send(f"{NOT_FORKED}{error.strerror}".encode())
        os._exit(1)
    if pid == 0:
        system.die_with_parent(watcher)
        ours.close()
        zygote.close()
        be_kernel(theirs, folder)
        return
    theirs.close()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        _Watch(pid).run(zygote, ours)
    except BaseException:
        traceback.print_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


class _Watch:
    """One kernel from its fork to its end."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._exit = os.pidfd_open(pid)

    def run(self, zygote: socket.socket, kernel: socket.socket) -> None:
        """Wait for it to be ready, then for somebody to want it, then for its end."""
        owner = self._until_given(zygote, kernel)
        zygote.close()
        if owner is not None:
            self._pass_on(kernel, owner)
        kernel.close()
        ended = owner is not None and self._until_ended(owner)
        if not ended:
            self._kill()
        _, status, usage = os.wait4(self._pid, 0)
        # Nobody may be there to be told: then the owner is gone, and that is why the kernel was ended.
        with contextlib.suppress(OSError):
            if owner is not None:
                code = os.waitstatus_to_exitcode(status)
                cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
                system.send(owner, {"exit": code, "cpu": round(cpu, 6), "peak": peak})
        left = system.end_children()
        with contextlib.suppress(OSError):
            if owner is not None:
                system.send(owner, {"left": left})
                owner.recv(1)  # it removes the folder, and hangs up; where it dies, that is left to us

    def _until_given(self, zygote: socket.socket, kernel: socket.socket) -> socket.socket | None:
        """The connection of the one who gets the kernel; None where it has ended before, or the zygote has."""
        poll = select.poll()
        for descriptor in (zygote.fileno(), kernel.fileno(), self._exit):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._exit in ready:
                return None
            if kernel.fileno() in ready:
                poll.unregister(kernel.fileno())
                with contextlib.suppress(OSError):  # whichever of the two has ended is seen next
                    if kernel.recv(1):
                        zygote.sendall(READY.encode())
            if zygote.fileno() in ready:
                return _receive_socket(zygote)

    def _pass_on(self, kernel: socket.socket, owner: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the kernel has just ended, which is seen next
            socket.send_fds(kernel, [b"g"], [owner.fileno()])

    def _until_ended(self, owner: socket.socket) -> bool:
        """Wait for the kernel's end (True) or its owner's (False)."""
        poll = select.poll()
        poll.register(self._exit, select.POLLIN)
        poll.register(owner.fileno(), select.POLLRDHUP)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(_REAP_EVERY)}
            if self._exit in ready:
                return True
            if ready:
                return False
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        while True:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid == self._pid:
                return
            os.waitpid(found.si_pid, 0)

    def _kill(self) -> None:
        """The whole group; before the kernel has made it its own, the process alone."""
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                end(self._pid, signal.SIGKILL)


def _receive_socket(channel: socket.socket) -> socket.socket | None:
    """The socket that is handed over; None where the other side has closed the channel, or died."""
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except ConnectionResetError:
        return None
    return socket.socket(fileno=descriptors[0]) if descriptors else None
