"""`python -m nbflow.worker`: one process, one attempt; with `--serve`, a server that forks one for each attempt."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from nbflow.worker.once import serve_order


def main(arguments: list[str] | None = None) -> int:
    """Serve one order, or be the server until its owner has gone. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m nbflow.worker", description="Executes one attempt of a task.")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that an interrupted cell gets to end")
    parser.add_argument("--serve", action="store_true", help="fork a worker for each request; stdin is a socket")
    parser.add_argument("--alone", metavar="REASON", help="why it was started, and not forked")
    options = parser.parse_args(arguments)
    if not options.serve:
        reasons = {"": f"its worker was not forked: {options.alone}"} if options.alone else {}
        return serve_order(options.grace, reasons=reasons)
    from nbflow.kernels.zygotes import KernelZygotes
    from nbflow.worker.server import Server, take_channel

    Server(take_channel(), partial(serve_order, options.grace), KernelZygotes()).run()
    return 0


if __name__ == "__main__":
    code = main()
    # Everything is on disk and reported; a thread still waits for stdin, and tearing the interpreter down takes time.
    sys.stderr.flush()
    os._exit(code)
