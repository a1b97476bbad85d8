"""What is prepared in a kernel, as far as it can be seen without one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ipykernel.kernelapp import IPKernelApp

from nbflow.kernels import prelude


class TestTasksAtTheEnd:
    @pytest.fixture
    def loop(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
        """The loop of a kernel that has stopped, with a request to stop that is still due."""
        made = asyncio.new_event_loop()
        kernel = SimpleNamespace(io_loop=SimpleNamespace(asyncio_loop=made))
        monkeypatch.setattr(IPKernelApp, "instance", lambda: SimpleNamespace(kernel=kernel))
        made.call_later(0.001, made.stop)
        yield made
        made.close()

    def test_they_get_time_to_end(self, loop: asyncio.AbstractEventLoop) -> None:
        said: list[str] = []

        async def work() -> None:
            await asyncio.sleep(0.05)
            said.append("done")

        task = loop.create_task(work())
        prelude._end_tasks(os.getpid())
        assert task.done()
        assert said == ["done"]

    def test_then_they_are_cancelled(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prelude, "TASKS", 0.05)
        said: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                said.append("cleaned")

        task = loop.create_task(work())
        prelude._end_tasks(os.getpid())
        assert task.cancelled()
        assert said == ["cleaned"]

    def test_one_that_does_not_listen_is_left(
        self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prelude, "TASKS", 0.05)
        is_over = False

        async def work() -> None:
            while not is_over:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    continue

        task = loop.create_task(work())
        begun = time.monotonic()
        prelude._end_tasks(os.getpid())
        assert time.monotonic() - begun < 5
        assert not task.done()
        is_over = True
        task.cancel()
        loop.run_until_complete(task)

    def test_a_process_that_the_kernel_has_forked_leaves_them_alone(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(asyncio.sleep(0))
        prelude._end_tasks(os.getpid() + 1)
        assert not task.done()
        loop.run_until_complete(task)

    def test_a_kernel_that_has_no_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(IPKernelApp, "instance", lambda: SimpleNamespace(kernel=None))
        prelude._end_tasks(os.getpid())
