"""A worker process seen from its owner: orders in, report lines out, the end of its stderr.

Its stdin stays open as long as its owner lives: the end of it tells the worker that the owner is gone. Must not know
what orders and reports mean, nor who made the process.
"""

from __future__ import annotations

import math
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from nbflow.kernels.children import has_ended
from nbflow.kernels.exits import describe_exit, last_words, without_traceback
from nbflow.worker.protocol import BEAT_SECONDS

_STDERR_KEPT = 16_384
_PART = 65_536
_UNKNOWN = "its exit code is not known, since the server that had forked it died before it"
_LEAVING = 5.0
"""Seconds for a worker to be gone once it has closed its output."""
_SILENT, _HURRIED = 20, 3
"""Beats in a row that a worker may miss: while it works, and once it is to end at once. Each is waited for on its own,
so that a pause of all processes, of a container, say, counts as one.
"""
_SAVING = 120.0
"""Seconds for one that is to end at once to save what it has. What it leaves is then saved by another one."""


class Handle(Protocol):
    """A process that somebody has made."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    def wait(self, timeout: float | None) -> int | None:
        """Its exit code as Popen has it, once it has ended; None where nobody can know. Raises TimeoutError."""
        ...

    def kill(self) -> None:
        """Kill it; one that has ended is no error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """Our ends of a worker's standard streams, unbuffered."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def close(self) -> None:
        """Give them back."""
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()


class WorkerProcess:
    """One worker, in a session of its own: a Ctrl-C on the terminal is its owner's business."""

    def __init__(self, handle: Handle, pipes: Pipes) -> None:
        self._handle = handle
        self._pipes = pipes
        self._code: int | None = None
        self._stderr = b""
        self._watched = 0.0
        self._hurried = math.inf
        self._hung = ""
        self._lock = threading.Lock()

    @classmethod
    def start(cls, command: Sequence[str]) -> WorkerProcess:
        """Start a worker; it waits for its first line. Raises OSError."""
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - all three are pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        return cls(_Child(process), Pipes(stdin=process.stdin, stdout=process.stdout, stderr=process.stderr))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._handle.pid

    def send(self, line: bytes) -> None:
        """Write a line to it; one that has died reads nothing, which its end will tell."""
        with self._lock:
            try:
                while line and not self._pipes.stdin.closed:
                    line = line[self._pipes.stdin.write(line) :]
            except (BrokenPipeError, ConnectionResetError):
                return

    def hurry(self, after: float = 0.0) -> None:
        """Have it killed where it is not gone soon, once so many seconds have passed.

        Seconds in which nobody watched it do not count: it was paused as well, or its machine slept.
        """
        self._hurried = min(self._hurried, self._watched + after)

    def lines(self) -> Iterator[bytes]:
        """The lines of its output but the empty ones, until it closes it; its stderr is read along.

        It is killed where it does not beat, or does not come to its end though it is to hurry.
        """
        rest, missed, before = b"", 0, time.monotonic()
        with selectors.DefaultSelector() as selector:
            for stream in (self._pipes.stdout, self._pipes.stderr):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            is_open = True
            while is_open:
                ready = selector.select(BEAT_SECONDS)
                now = time.monotonic()
                self._watched, before = self._watched + min(now - before, BEAT_SECONDS), now
                missed = 0 if ready else missed + 1
                self._judge(missed)
                for key, _ in ready:
                    part = os.read(key.fd, _PART)
                    if not part:
                        selector.unregister(key.fileobj)
                        is_open = is_open and key.fileobj is not self._pipes.stdout
                    elif key.fileobj is self._pipes.stderr:
                        self._stderr = (self._stderr + part)[-_STDERR_KEPT:]
                    else:
                        *whole, rest = (rest + part).split(b"\n")
                        yield from filter(None, whole)
        self._read_rest()

    def _judge(self, missed: int) -> None:
        """Kill one that hangs, by the beats that it has missed. Stopped by a signal, say, it would hang for ever. One
        that beats may hang too: in a system call for a disk that does not answer, say.
        """
        hurried = self._watched - self._hurried
        if missed >= (_SILENT if hurried < 0 else _HURRIED):
            self._hung = self._hung or f"it hung: no sign of life for {missed * BEAT_SECONDS:.0f} s"
        elif hurried > _SAVING:
            self._hung = self._hung or f"it was still there {_SAVING:g} s after the time at which it had to end"
        if self._hung:
            self.kill()

    def end(self) -> int | None:
        """Wait for it to be gone, kill it if it does not go, give its pipes back. Its exit code, where it is known."""
        try:
            self._code = self._handle.wait(_LEAVING)
        except TimeoutError:
            self._handle.kill()
            self._code = self._handle.wait(None)
        with self._lock:
            self._pipes.close()
        return self._code

    def kill(self) -> None:
        """Kill the process, not what it has started."""
        self._handle.kill()

    def autopsy(self) -> str:
        """How it ended and what it said last; only after `end`."""
        how = self._hung or (_UNKNOWN if self._code is None else describe_exit(self._code)[0])
        words = last_words(self._stderr, mask=without_traceback)
        return f"{how}; it said last: {words}" if words else how

    def _read_rest(self) -> None:
        """What is left in stderr. Not until its end: a process that the worker forked may hold it open."""
        while True:
            try:
                part = os.read(self._pipes.stderr.fileno(), _PART)
            except BlockingIOError:
                return
            if not part:
                return
            self._stderr = (self._stderr + part)[-_STDERR_KEPT:]


class _Child:
    """A process that this one has started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float | None) -> int:
        if timeout is not None and not has_ended(self._process, timeout):
            raise TimeoutError
        return self._process.wait()

    def kill(self) -> None:
        self._process.kill()
