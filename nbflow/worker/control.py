"""Requests to stop an attempt: lines on stdin, the end of stdin, signals.

The end of stdin means that the owner has died: nobody waits for the outcome, but the notebook is still to be kept.
Must not know what stopping means for a kernel.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import IO

from nbflow.core.attempt import TaskError
from nbflow.worker.protocol import ProtocolError, decode_cancel


class StopCause(StrEnum):
    """Why the attempt is asked to stop."""

    CANCELLED = "cancelled"
    SIGNAL = "signal"
    OWNER_GONE = "owner_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A request to stop; `force`: kill the kernel at once. `error`: what the attempt fails with for it."""

    cause: StopCause
    force: bool = False
    error: TaskError | None = None


class Control:
    """Collects requests to stop, from any thread. The first cause stays; force only ever grows.

    A signal says less than what comes after it: who sends one to all processes there are has the owner ask too.
    """

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self._lock = threading.Lock()
        self._listener: Callable[[Stop], None] | None = None

    def request(self, stop: Stop) -> None:
        """Note a request and tell the listener."""
        with self._lock:
            if self.stop is not None:
                first = stop if self.stop.cause is StopCause.SIGNAL else self.stop
                stop = replace(first, force=self.stop.force or stop.force)
            self.stop = stop
            listener = self._listener
        if listener is not None:
            listener(stop)

    def listen(self, listener: Callable[[Stop], None] | None) -> None:
        """Tell `listener` of each request from now on, and of one that was made before; None: nobody."""
        with self._lock:
            self._listener = listener
            stop = self.stop
        if listener is not None and stop is not None:
            listener(stop)

    def follow(self, stream: IO[bytes]) -> None:
        """Read requests from `stream` in a thread, until its end."""
        threading.Thread(target=self._read, args=(stream,), name="control", daemon=True).start()

    def follow_signals(self) -> None:
        """SIGINT and SIGTERM end the attempt; the second one forces. Only for the main thread of a worker process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        # A handler may interrupt `request` while it holds the lock: another thread must take it.
        again = self.stop is not None
        stop = Stop(cause=StopCause.SIGNAL, force=again)
        threading.Thread(target=self.request, args=(stop,), name="signal", daemon=True).start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            try:
                force, error = decode_cancel(line)
            except ProtocolError:
                continue  # a newer executor may say more than this worker understands
            self.request(Stop(cause=StopCause.CANCELLED, force=force, error=error))
        self.request(Stop(cause=StopCause.OWNER_GONE))
