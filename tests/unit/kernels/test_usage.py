"""What a process uses, measured on processes that use something."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nbflow.kernels import usage
from nbflow.kernels.usage import Meter, Usage

linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is known on Linux only")

SERVER = """
import subprocess, sys, time
def burn(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds: pass
BURN = "import time\\nwhile time.process_time() < 0.3: pass\\n"
SLEEP = "print(1, flush=True); time.sleep(60)"
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Worker:
    """A process that does what it is told, one line at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@contextmanager
def working() -> Iterator[Worker]:
    worker = Worker()
    try:
        worker.do("pass")
        yield worker
    finally:
        worker.process.kill()
        worker.process.communicate()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with working() as made:
        yield made


def test_cpu_seconds_are_those_since_the_beginning(worker: Worker) -> None:
    meter = Meter(worker.process.pid)
    worker.do("burn(0.2)")
    meter.begin()
    worker.do("burn(0.3)")
    used = meter.end()
    assert used.cpu is not None
    assert 0.3 <= used.cpu < 0.4
    total = meter.total()
    assert total.cpu is not None
    assert total.cpu >= 0.5


def test_what_it_has_started_counts_alive_or_waited_for(worker: Worker) -> None:
    meter = Meter(worker.process.pid)
    meter.begin()
    worker.do("subprocess.run([sys.executable, '-c', BURN], check=True)")
    waited = meter.end()
    assert waited.cpu is not None
    assert waited.cpu >= 0.25
    meter.begin()
    worker.do("p = subprocess.Popen([sys.executable, '-c', BURN + SLEEP], stdout=subprocess.PIPE); p.stdout.readline()")
    living = meter.end()
    worker.do("p.kill(); p.wait()")
    assert living.cpu is not None
    assert living.cpu >= 0.25


@linux
def test_peak_memory_is_that_since_the_beginning_and_the_highest_of_all(worker: Worker) -> None:
    meter = Meter(worker.process.pid)
    meter.begin()
    worker.do("kept = bytearray(b'x') * 80_000_000; kept = None")
    high = meter.end()
    meter.begin()
    worker.do("kept = bytearray(b'x') * 20_000_000; kept = None")
    low = meter.end()
    assert high.memory is not None
    assert low.memory is not None
    assert high.memory > 80_000_000
    assert 20_000_000 < low.memory < 70_000_000
    assert meter.total().memory == high.memory


@linux
def test_a_peak_that_cannot_be_reset_is_not_given_for_what_comes_later(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_reset_peak", lambda _: False)
    meter = Meter(worker.process.pid)
    worker.do("kept = bytearray(b'x') * 80_000_000; kept = None")
    meter.begin()
    worker.do("kept = bytearray(b'x') * 20_000_000; kept = None")
    assert meter.end().memory is None
    worker.do("kept = bytearray(b'x') * 120_000_000; kept = None")
    higher = meter.end().memory
    assert higher is not None
    assert higher > 120_000_000


def test_of_a_process_that_has_ended_the_last_is_known() -> None:
    with working() as ending:
        meter = Meter(ending.process.pid)
        ending.do("burn(0.1)")
        meter.begin()
    assert meter.end() == Usage()
    total = meter.total()
    assert total.cpu is not None
    assert total.cpu >= 0.1
    told = Usage(cpu=total.cpu + 1.0, memory=10**12)
    assert meter.end(told) == Usage(cpu=1.0, memory=10**12)
    assert meter.total(told).memory == 10**12


def test_it_costs_little(worker: Worker) -> None:
    meter = Meter(worker.process.pid)
    times = []
    for _ in range(50):
        began = time.perf_counter()
        meter.begin()
        meter.end()
        times.append(time.perf_counter() - began)
    assert sorted(times)[len(times) // 2] < 0.001
