"""What /proc tells of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nbflow.kernels.proc import children, read


def test_a_file() -> None:
    assert read(f"/proc/{os.getpid()}/cmdline") == Path("/proc/self/cmdline").read_bytes()


def test_what_is_not_there_or_cannot_be_read_is_empty() -> None:
    assert read("/proc/0/stat") == b""
    assert read("/proc/self") == b""  # a folder


def test_children_are_those_that_live() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in (children(os.getpid()) or [])
        assert children(child.pid) == []
        child.communicate(b"\n")
    assert child.pid not in (children(os.getpid()) or [])
    assert children(child.pid) is None
