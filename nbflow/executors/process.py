"""A worker process seen from its owner: orders in, report lines out, the end of its stderr.

Its stdin stays open as long as its owner lives: the end of it tells the worker that the owner is gone. Must not know
what orders and reports mean.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
from collections.abc import Iterator, Sequence

from nbflow.kernels.exits import describe_exit, last_words

_STDERR_KEPT = 16_384
_PART = 65_536
_LEAVING = 5.0
"""Seconds for a worker to be gone once it has closed its output."""


class WorkerProcess:
    """One worker, in a session of its own: a Ctrl-C on the terminal is its owner's business."""

    def __init__(self, process: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
        self._process = process
        self._environment = environment
        self._stderr = b""
        self._lock = threading.Lock()

    @classmethod
    def start(cls, command: Sequence[str]) -> WorkerProcess:
        """Start a worker; it waits for its first line. Raises OSError."""
        environment = dict(os.environ)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        return cls(process, environment)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_usable(self) -> bool:
        """True where it lives and was started with the environment that there is now."""
        return self._process.poll() is None and self._environment == dict(os.environ)

    def send(self, line: bytes) -> None:
        """Write a line to it; one that has died reads nothing, which its end will tell."""
        with self._lock:
            try:
                if self._process.stdin is not None and not self._process.stdin.closed:
                    self._process.stdin.write(line)
                    self._process.stdin.flush()
            except (BrokenPipeError, ConnectionResetError):
                return

    def lines(self) -> Iterator[bytes]:
        """The lines of its output, until it closes it; its stderr is read along."""
        rest = b""
        with selectors.DefaultSelector() as selector:
            for stream in (self._process.stdout, self._process.stderr):
                assert stream is not None  # noqa: S101 - both are pipes
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            is_open = True
            while is_open:
                for key, _ in selector.select():
                    part = os.read(key.fd, _PART)
                    if not part:
                        selector.unregister(key.fileobj)
                        is_open = is_open and key.fileobj is not self._process.stdout
                    elif key.fileobj is self._process.stderr:
                        self._stderr = (self._stderr + part)[-_STDERR_KEPT:]
                    else:
                        *whole, rest = (rest + part).split(b"\n")
                        yield from whole
        self._read_rest()

    def end(self) -> int:
        """Wait for it to be gone, kill it if it does not go, give its pipes back. Its exit code, as Popen has it."""
        try:
            code = self._process.wait(_LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._close()
        return code

    def dismiss(self) -> None:
        """Send away one that has no order."""
        self._process.kill()
        self._process.wait()
        self._close()

    def kill(self) -> None:
        """Kill the process, not what it has started."""
        self._process.kill()

    def autopsy(self) -> str:
        """How it ended and what it said last; only after `end`."""
        how, _ = describe_exit(self._process.returncode)
        words = last_words(self._stderr)
        return f"{how}; it said last: {words}" if words else how

    def _read_rest(self) -> None:
        """What is left in stderr. Not until its end: a process that the worker forked may hold it open."""
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        while True:
            try:
                part = os.read(self._process.stderr.fileno(), _PART)
            except BlockingIOError:
                return
            if not part:
                return
            self._stderr = (self._stderr + part)[-_STDERR_KEPT:]

    def _close(self) -> None:
        with self._lock:
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        continue  # something unsent was left in the buffer of a dead worker's stdin


class Reserve:
    """Workers that are started and loaded before there is an order for them. May be used from any thread."""

    def __init__(self, command: Sequence[str], *, size: int) -> None:
        self._command = command
        self._size = size
        self._lock = threading.Lock()
        self._waiting: list[WorkerProcess] = []
        self._is_closed = False

    def take(self) -> WorkerProcess:
        """A worker without an order: one of those in reserve, else a new one. Raises OSError."""
        while True:
            with self._lock:
                if not self._waiting:
                    break
                worker = self._waiting.pop()
            if worker.is_usable():
                return worker
            worker.dismiss()
        return WorkerProcess.start(self._command)

    def stock(self) -> None:
        """Fill the reserve up. One that cannot be started now is started when it is needed, and fails there."""
        with self._lock:
            try:
                while not self._is_closed and len(self._waiting) < self._size:
                    self._waiting.append(WorkerProcess.start(self._command))
            except OSError:
                return

    def close(self) -> None:
        """Send all in reserve away, and keep none from now on."""
        with self._lock:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
        for worker in waiting:
            worker.dismiss()
