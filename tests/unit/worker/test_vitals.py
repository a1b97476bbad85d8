"""What is measured of a kernel, on a process that stands for one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from nbflow.core.spec import Limits
from nbflow.kernels.usage import Usage
from nbflow.worker.vitals import Vitals

SOURCE = "\nimport ctypes\nctypes.string_at(0)"
WORDS = """loading
Fatal Python error: Segmentation fault

Current thread 0x00 (most recent call first):
  File "/tmp/ipykernel_1/2.py", line 2 in <module>
  File "/venv/IPython/core/interactiveshell.py", line 3823 in run_code"""


class Kernel(SimpleNamespace):
    """A process that ends when it is told to."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "print(flush=True); input()"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        super().__init__(pid=self.process.pid, usage=None, spec=SimpleNamespace(runs_ipykernel=True))

    def last_words(self, longest: int) -> str:
        return WORDS[-longest:]

    def die(self, code: int, used: tuple[float, int] | None = None) -> None:
        self.process.kill()
        self.process.communicate()
        self.usage = used
        self.exited.set_result(code)


def watched(conversation: Callable[[Kernel, Vitals], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        kernel = Kernel()
        try:
            await conversation(kernel, Vitals(kernel))  # type: ignore[arg-type]
        finally:
            if not kernel.exited.done():
                kernel.die(-9)

    asyncio.run(main())


def test_a_limit_that_was_passed_is_the_reason() -> None:
    """Whatever the signal by which the kernel was ended: where it was belongs to it, the signal does not."""

    async def conversation(kernel: Kernel, vitals: Vitals) -> None:
        assert vitals.is_over_limit is False
        assert vitals.hold(Limits(memory=10**12)) is None
        assert vitals.is_over_limit is False
        assert vitals._enforcer is not None
        vitals._enforcer.excess = "memory limit: too much"
        assert vitals.is_over_limit is True
        kernel.die(-6)
        said = "memory limit: too much\nat line 3: ctypes.string_at(0)\nit said last: loading"
        assert vitals.explain("the kernel died in a cell", SOURCE) == (said, None)
        vitals.close()

    watched(conversation)


def test_before_there_is_a_process_nothing_is_known() -> None:
    async def conversation(kernel: Kernel, vitals: Vitals) -> None:
        vitals.begin()
        assert (vitals.end(), vitals.total(), vitals.mark) == (Usage(), Usage(), None)
        kernel.die(1)
        assert vitals.explain("it ended")[0].splitlines()[0] == "it ended: exit code 1"

    watched(conversation)


def test_a_cell_that_ends() -> None:
    async def conversation(kernel: Kernel, vitals: Vitals) -> None:
        vitals.watch()
        vitals.begin()
        used = vitals.end()
        assert used.cpu is not None
        assert vitals.total().cpu is not None

    watched(conversation)


def test_a_cell_in_which_the_kernel_dies_has_what_the_system_says() -> None:
    async def conversation(kernel: Kernel, vitals: Vitals) -> None:
        vitals.watch()
        vitals.begin()
        kernel.die(-11, (500.0, 10**12))
        used = vitals.end()
        assert used.cpu is not None
        assert 400 < used.cpu <= 500
        assert used.memory == 10**12
        assert vitals.total() == Usage(cpu=500.0, memory=10**12)
        text, number = vitals.explain("the kernel died", SOURCE)
        assert number == 11
        assert text.splitlines() == [
            "the kernel died: signal 11, SIGSEGV (segmentation fault); peak memory 1000 GB",
            "at line 3: ctypes.string_at(0)",
            "it said last: loading",
        ]

    watched(conversation)


def test_without_the_systems_word_it_is_what_was_seen_last() -> None:
    async def conversation(kernel: Kernel, vitals: Vitals) -> None:
        vitals.watch()
        vitals.begin()
        kernel.die(-9)
        assert vitals.end() == Usage()
        assert vitals.total().cpu is not None

    watched(conversation)
