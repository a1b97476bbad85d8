"""Waiting for children: at once where they end, no longer than is allowed where they do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from nbflow.kernels.children import has_ended
from support.waiting import allowed


@pytest.fixture(params=["told by the system", "looked for"])
def child(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with its stdin, with exit code 3."""
    if request.param == "looked for":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    code = "import sys; sys.stdin.read(); sys.exit(3)"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE) as made:
        yield made
        made.kill()


def test_one_that_goes_on(child: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    assert not has_ended(child, 0.2)
    assert 0.2 <= time.monotonic() - began < allowed(5)
    assert child.returncode is None


def test_one_that_ends(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    assert has_ended(child, 30)
    assert child.returncode == 3
    assert has_ended(child, 30), "and it stays so"


def test_one_that_is_killed(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    assert has_ended(child, 30)
    assert child.returncode == -signal.SIGKILL


def test_no_descriptor_is_left(child: subprocess.Popen[bytes]) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert not has_ended(child, 0)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
