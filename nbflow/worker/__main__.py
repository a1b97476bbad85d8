"""`python -m nbflow.worker`: one process, one attempt. An order comes on stdin, reports go to stdout.

Whatever else writes to stdout (a library, a child) goes to stderr, so that it cannot break the protocol.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from importlib import import_module
from typing import IO

# jsonschema loads this one for a format that notebooks do not use; it costs more than all the rest (seconds).
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]


def main(arguments: list[str] | None = None) -> int:
    """Serve one order. 0: an outcome was reported, or none was wanted any more; 2: not an order."""
    parser = argparse.ArgumentParser(prog="python -m nbflow.worker", description="Executes one attempt of a task.")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that an interrupted cell gets to end")
    options = parser.parse_args(arguments)
    reports = _take_stdout()
    _import_early()
    orders = os.fdopen(os.dup(0), "rb")
    line = orders.readline()
    if not line:
        return 0  # kept in reserve, and not needed
    return _serve(line, orders, reports, options.grace)


def _serve(line: bytes, orders: IO[bytes], reports: int, grace: float) -> int:
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
        _write(reports, encode_report(one))

    outcome = execute(order, control, report, grace=grace) if reason is None else recover(order, reason)
    report(Finished(task=order.task, attempt=order.attempt, outcome=outcome))
    return 0


def _take_stdout() -> int:
    """A private descriptor for the reports; stdout itself becomes stderr."""
    reports = os.dup(1)
    os.dup2(2, 1)
    return reports


def _write(descriptor: int, line: bytes) -> None:
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except BrokenPipeError:
        return  # nobody reads any more; stdin has ended too, and that is what ends the attempt


def _import_early() -> None:
    """Load what every attempt needs while there is no order yet."""
    import papermill  # noqa: F401

    for name in ("nbflow.worker.attempt", "nbflow.worker.runner", "nbflow.worker.recover"):
        import_module(name)
    # The last thing that an attempt needs is the slowest to load; there is time while a kernel starts.
    threading.Thread(target=import_module("nbflow.worker.publish").warm_up, name="warm-up", daemon=True).start()


if __name__ == "__main__":
    code = main()
    # Everything is on disk and reported; a thread still waits for stdin, and tearing the interpreter down takes time.
    sys.stderr.flush()
    os._exit(code)
