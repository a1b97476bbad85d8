"""One process, one attempt: an order comes on stdin, reports go to stdout.

Whatever else writes to stdout (a library, a child) goes to stderr, so that it cannot break the protocol. Must not know
whether the process was started or forked.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO

from nbflow.core.spec import EMPTY
from nbflow.worker import load
from nbflow.worker.protocol import BEAT, BEAT_SECONDS


class _Reports:
    """Where the lines for the owner go. May be written to from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Write a line, whole."""
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except BrokenPipeError:
                return  # nobody reads any more; stdin has ended too, and that is what ends the attempt

    def beat(self) -> None:
        """Show for ever that this process lives: its owner cannot tell one that hangs from one that has much to do."""
        while True:
            self.write(BEAT)
            time.sleep(BEAT_SECONDS)


def serve_order(grace: float, zygotes: Mapping[str, str] = EMPTY, reasons: Mapping[str, str] = EMPTY) -> int:
    """Serve one order; the exit code of the process. 0: an outcome was reported, or none was wanted; 2: not an order.

    `grace`: seconds that an interrupted cell gets to end. `zygotes` and `reasons` are those of `attempt.execute`, where
    the empty name stands for any kernel.
    """
    reports = _Reports(_take_stdout())
    threading.Thread(target=reports.beat, name="beat", daemon=True).start()
    load.modules()
    # The last thing that an attempt needs is slow to load; there is time while a kernel starts.
    threading.Thread(target=load.pages, name="warm-up", daemon=True).start()
    orders = os.fdopen(os.dup(0), "rb")
    line = orders.readline()
    if not line:
        return 0  # whoever wanted a worker is gone
    return _serve(line, orders, reports, grace=grace, zygotes=zygotes, reasons=reasons)


def _serve(
    line: bytes,
    orders: IO[bytes],
    reports: _Reports,
    *,
    grace: float,
    zygotes: Mapping[str, str],
    reasons: Mapping[str, str],
) -> int:
    from nbflow.core.messages import Finished, Report
    from nbflow.kernels.sweep import adopt_orphans
    from nbflow.worker.attempt import execute
    from nbflow.worker.control import Control
    from nbflow.worker.protocol import ProtocolError, decode_order, encode_report
    from nbflow.worker.recover import recover

    try:
        order, reason = decode_order(line)
    except ProtocolError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    control = Control()
    control.follow_signals()
    control.follow(orders)
    adopt_orphans()

    def report(one: Report) -> None:
        reports.write(encode_report(one))

    if reason is None:
        outcome = execute(order, control, report, grace=grace, zygotes=zygotes, reasons=reasons)
    else:
        outcome = recover(order, reason)
    report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))
    return 0


def _take_stdout() -> int:
    """A private descriptor for the reports; stdout itself becomes stderr."""
    reports = os.dup(1)
    os.dup2(2, 1)
    return reports
