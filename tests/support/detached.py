"""Servers for tests that are nobody's children.

A test may count the children of its process, and what it tests ends every descendant that it finds. A server that
others use as well must be neither; it ends with its input, so that it outlives no test process, however that dies.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from os import PathLike

_LEAVE = "import os, sys; os.fork() and os._exit(0); os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"


def detached(command: Sequence[str | PathLike[str]], *, quiet: bool = False) -> subprocess.Popen[str]:
    """Start a process that somebody else is the parent of. It is talked to through `stdin` and `stdout` alone.

    `quiet`: what it says on standard error is lost.

    `communicate` ends its input and returns once it is gone, and whatever else has its output.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LEAVE, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    )
    assert process.wait() == 0, "what should have forked it has failed"
    return process
