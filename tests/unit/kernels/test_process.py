"""A kernel process, with small programs in the place of kernels: its start, its words, its end and its group's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from nbflow.errors import UnreachableError
from nbflow.kernels.process import Kernel
from nbflow.kernels.specs import find_kernel


@pytest.fixture
def with_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Callable[[Kernel], Awaitable[None]]], None]:
    """Runs a conversation with a kernel that is a program of the test's; the kernel is closed at the end."""

    def run(program: str, conversation: Callable[[Kernel], Awaitable[None]], *, cwd: str = "") -> None:
        place = tmp_path / "kernels/fake"
        place.mkdir(parents=True, exist_ok=True)
        argv = ["python", "-c", program, "{connection_file}"]
        (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Fake", "language": "python"}))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

        async def held() -> None:
            kernel = Kernel(find_kernel("fake"), cwd=cwd or str(tmp_path), env=dict(os.environ))
            try:
                await conversation(kernel)
            finally:
                folder = kernel.folder
                await kernel.close()
                assert not kernel.pid or not psutil.pid_exists(kernel.pid)
                assert not folder or not Path(folder).exists()

        asyncio.run(held())

    return run


def test_its_exit_is_noticed_at_once_with_its_last_words(with_kernel: Callable[..., None]) -> None:
    async def conversation(kernel: Kernel) -> None:
        await kernel.start()
        assert await asyncio.wait_for(kernel.exited, 20) == 7
        assert kernel.last_words() == "to stdout\nto stderr"

    with_kernel("import sys; print('to stdout', flush=True); sys.stderr.write('to stderr'); sys.exit(7)", conversation)


def test_its_words_are_bounded(with_kernel: Callable[..., None]) -> None:
    async def conversation(kernel: Kernel) -> None:
        await kernel.start()
        await asyncio.wait_for(kernel.exited, 20)
        assert kernel.last_words().endswith("xlast")
        assert len(kernel.last_words()) < 3_000

    with_kernel("print('x' * 3_000_000 + 'last')", conversation)


def test_it_leads_a_session_and_the_whole_group_ends_with_it(with_kernel: Callable[..., None], tmp_path: Path) -> None:
    found: list[int] = []

    async def conversation(kernel: Kernel) -> None:
        await kernel.start()
        pids = tmp_path / "pids"
        while not pids.exists() or not pids.read_text().endswith("."):
            await asyncio.sleep(0.02)
        session, child = map(int, pids.read_text()[:-1].split())
        assert session == kernel.pid
        assert psutil.pid_exists(child)
        found.append(child)

    program = (
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "open('pids', 'w').write(f'{os.getsid(0)} {child.pid}.')\n"
        "time.sleep(1000)"
    )
    with_kernel(program, conversation)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(found[0]) and psutil.Process(found[0]).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline


def test_interrupts_and_signals(with_kernel: Callable[..., None], tmp_path: Path) -> None:
    async def conversation(kernel: Kernel) -> None:
        await kernel.start()
        while not (tmp_path / "up").exists():
            await asyncio.sleep(0.02)
        await kernel.interrupt()
        while not (tmp_path / "interrupted").exists():
            await asyncio.sleep(0.02)
        kernel.signal_group(signal.SIGTERM)
        assert await asyncio.wait_for(kernel.exited, 20) == -signal.SIGTERM
        kernel.signal_group(signal.SIGTERM)
        await kernel.interrupt()
        await kernel.ask_to_end()

    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, lambda *a: open('interrupted', 'w').close())\n"
        "open('up', 'w').close()\n"
        "while True: time.sleep(1000)"
    )
    with_kernel(program, conversation)


def test_a_program_that_cannot_be_started(with_kernel: Callable[..., None], tmp_path: Path) -> None:
    async def conversation(kernel: Kernel) -> None:
        with pytest.raises(UnreachableError, match='kernel "fake" cannot be started'):
            await kernel.start()

    with_kernel("", conversation, cwd=str(tmp_path / "none"))


def test_closing_one_that_was_never_started(with_kernel: Callable[..., None]) -> None:
    async def conversation(kernel: Kernel) -> None:
        assert kernel.pid == 0
        kernel.signal_group(signal.SIGKILL)

    with_kernel("", conversation)
