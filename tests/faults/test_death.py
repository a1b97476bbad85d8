"""Kernels that die, each in its way: what is said of it is what is known, and it is said in time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nbflow.core.attempt import ErrorKind, Outcome, Verdict, WorkOrder
from nbflow.core.messages import Started
from nbflow.kernels.memory import MemoryWatch
from support.attempts import Bench, Watched, archived, bench, order, states, text
from support.consistent import assert_consistent
from support.waiting import allowed, until
from support.zygotes import is_gone

IN_TIME = 5.0
"""Seconds within which the record and the notebook of an attempt are right after a kill."""
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(100)"
GROUPS = Path("/sys/fs/cgroup")

linux = pytest.mark.skipif(sys.platform != "linux", reason="the system says nothing of memory elsewhere")


@pytest.fixture(scope="module")
def runs() -> Iterator[Bench]:
    with bench(grace=1.0) as made:
        yield made


def assert_died(outcome: Outcome, number: int | None) -> str:
    """The message of an attempt whose kernel has died in its second cell."""
    assert outcome.verdict is Verdict.FAILED
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.cell, outcome.error.signal) == (ErrorKind.KERNEL_DIED, 1, number)
    assert len(outcome.error.message.splitlines()) <= 5
    assert "most recent call first" not in outcome.error.message
    return outcome.error.message


DEEP = "class Deep:\n    def __eq__(self, other): return [self] == [other]\nDeep() == Deep()"


class TestHow:
    @pytest.mark.parametrize(
        ("death", "number", "said"),
        [
            ("os.kill(os.getpid(), 9)", 9, ["signal 9, SIGKILL"]),
            ("os._exit(0)", None, ["exit code 0"]),
            ("os._exit(3)", None, ["exit code 3"]),
            ("\nctypes.string_at(0)", 11, ["SIGSEGV (segmentation fault)", "\nat line 4: ctypes.string_at(0)"]),
            ("for n in range(9):\n    crash(n)", 11, ["SIGSEGV", "\nat line 4: crash(n)"]),
            ("os.abort()", 6, ["SIGABRT", "\nat line 3: os.abort()"]),
            (f"import sys\nsys.setrecursionlimit(10**8)\n{DEEP}", 11, ["SIGSEGV", "\nin the function __eq__"]),
            ("os.execv('/bin/sleep', ['sleep', '1000'])", None, ["the kernel restarted in a cell"]),
        ],
    )
    def test_it_is_told(self, runs: Bench, tmp_path: Path, death: str, number: int | None, said: list[str]) -> None:
        first = "import ctypes, os, time\ndef crash(n):\n    return ctypes.string_at(n)"
        outcome, document = runs.run(
            order(tmp_path, first, f"\nprint('before', flush=True); time.sleep(0.3)\n{death}", "print('never')")
        )
        message = assert_died(outcome, number)
        assert [words for words in said if words not in message] == []
        assert states(document) == ["ok", "killed", "not_run"]
        assert text(document["cells"][1]) == "before\n"
        used = document["cells"][1]["metadata"]["nbflow"]
        assert used["end"] is not None
        assert used["cpu_seconds"] is not None

    @linux
    def test_nothing_is_said_of_memory_where_nothing_speaks_for_it(self, runs: Bench, tmp_path: Path) -> None:
        if MemoryWatch(os.getpid()).mark is None:
            pytest.skip("this machine does not count processes that it ends for lack of memory")
        outcome, _ = runs.run(order(tmp_path, "1", "import os\nos.kill(os.getpid(), 9)"))
        assert "out of memory" not in assert_died(outcome, 9)

    def test_its_own_last_lines_are_repeated(self, runs: Bench, tmp_path: Path) -> None:
        words = "import os\nos.write(os.open('/proc/self/fd/2', os.O_WRONLY), b'')\nimport sys\n"
        tell = "getattr(sys.stderr, '_original_stdstream_copy', 2)"
        outcome, _ = runs.run(order(tmp_path, "1", f"{words}os.write({tell}, b'cannot go on')\nos._exit(1)"))
        assert "exit code 1" in assert_died(outcome, None)
        assert outcome.error is not None
        assert outcome.error.message.endswith("it said last: cannot go on")


@linux
class TestMemory:
    def test_the_system_ends_it(self, runs: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a control group of its own, which allows less than the notebook wants."""
        group, limit = small_group()
        try:
            place = tmp_path / "jupyter/kernels/small"
            place.mkdir(parents=True)
            join = f'echo $$ > {group / "cgroup.procs"}; exec {sys.executable} -m ipykernel_launcher -f "$0"'
            argv = ["/bin/sh", "-c", join, "{connection_file}"]
            (place / "kernel.json").write_text(
                json.dumps({"argv": argv, "display_name": "Small", "language": "python"})
            )
            monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
            cells = ("1", "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * 10_000_000)", "2")
            outcome, document = runs.run(order(tmp_path, *cells, kernel="small"))
            message = assert_died(outcome, 9)
            assert (
                "signal 9, SIGKILL; possibly out of memory: the system ended a process of its control group" in message
            )
            assert f"limit {limit / 1e6:.0f} MB" in message
            assert states(document) == ["ok", "killed", "not_run"]
            peak = document["cells"][1]["metadata"]["nbflow"]["peak_memory"]
            assert limit / 2 < peak <= 1.1 * limit
        finally:
            group.rmdir()


def small_group(limit: int = 300_000_000) -> tuple[Path, int]:
    """A control group with a limit of memory: its folder and the limit as the system has it."""
    names = {
        GROUPS: ("memory.max", "memory.swap.max"),
        GROUPS / "memory": ("memory.limit_in_bytes", "memory.swappiness"),
    }
    for top, (most, swap) in names.items():
        group = top / f"nbflow-test-{os.getpid()}"
        if not (top / "cgroup.procs").exists() or not os.access(top, os.W_OK):
            continue
        try:
            group.mkdir()
            (group / most).write_text(str(limit))
        except OSError:
            if group.exists():
                group.rmdir()
            continue
        with suppress(OSError):
            (group / swap).write_text("0")
        return group, int((group / most).read_text())
    pytest.skip("a control group needs the right to make one, and one that counts memory")


class TestInTime:
    """From the kill to the last report there is all: the outcome, the whole notebook, its page, and nothing is left."""

    def begin(self, runs: Bench, folder: Path) -> tuple[Watched, psutil.Process]:
        watched = runs.submit(order(folder, "print('first')", SLEEP, "print('never')"))
        assert watched.started.wait(30)
        deadline = time.monotonic() + 30
        while not Path(watched.order.journal).read_text("utf-8").count('"text":"begun'):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        started = next(report for report in watched.reports if isinstance(report, Started))
        assert started.pid is not None
        return watched, psutil.Process(started.pid)

    def end(self, watched: Watched) -> Outcome:
        assert watched.ended.wait(allowed(IN_TIME)), f"nothing was right {IN_TIME:g} s after the kill"
        outcome = watched.outcome()
        document = archived(watched.order)
        assert_consistent(outcome, document)
        assert states(document) == ["ok", "killed", "not_run"]
        assert text(document["cells"][1]) == "begun\n"
        assert sorted(Path(file.path).suffix for file in outcome.files) == [".html", ".ipynb"]
        return outcome

    def test_the_kernel_is_killed(self, runs: Bench, tmp_path: Path) -> None:
        watched, kernel = self.begin(runs, tmp_path)
        kernel.kill()
        outcome = self.end(watched)
        assert_died(outcome, 9)
        runs.assert_clean(watched.order)

    def test_the_worker_is_killed(self, runs: Bench, tmp_path: Path) -> None:
        watched, kernel = self.begin(runs, tmp_path)
        worker_of(watched.order).kill()
        outcome = self.end(watched)
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.cell) == (ErrorKind.LOST, 1)
        until(lambda: is_gone(kernel.pid))  # nobody has to have reaped it
        runs.assert_clean(watched.order)


def worker_of(done: WorkOrder) -> psutil.Process:
    """The worker of a running attempt, as its journal names it."""
    header = json.loads(Path(done.journal).read_text("utf-8").splitlines()[0])
    return psutil.Process(header["worker"]["pid"])
