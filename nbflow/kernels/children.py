"""Waiting for a child process with a limit. Must not know what children do."""

from __future__ import annotations

import os
import select
import subprocess


def has_ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until a child has ended, that long at most. True where it has; its exit code is then in `returncode`.

    The system tells of the end at once, where `Popen.wait` with a limit looks for it every 50 ms.
    """
    if child.poll() is not None:
        return True
    try:
        descriptor = os.pidfd_open(child.pid)
    except (AttributeError, OSError):  # another system, or too many open files
        return _has_ended(child, seconds)
    try:
        ending = select.poll()
        ending.register(descriptor, select.POLLIN)
        ending.poll(seconds * 1000)
    finally:
        os.close(descriptor)
    return child.poll() is not None


def _has_ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
