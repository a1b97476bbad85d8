"""A kernel started by the command of its kernelspec: its words, its end, its folder."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbflow.errors import UnreachableError
from nbflow.kernels.ordinary import Ordinary
from nbflow.kernels.process import Kernel
from nbflow.kernels.specs import KernelSpec, find_kernel
from support.zygotes import is_gone, private_runtime


def spec(folder: Path, monkeypatch: pytest.MonkeyPatch, *argv: str) -> KernelSpec:
    place = folder / "kernels/fake"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Fake", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    return find_kernel("fake")


def test_from_its_start_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['A'], os.environ['IPYTHONDIR']); sys.exit(7)"
    fake = spec(tmp_path, monkeypatch, sys.executable, "-c", code, "{connection_file}")

    async def talk() -> None:
        one = await Ordinary.start(fake, cwd=str(tmp_path), environment={**os.environ, "A": "b"})
        assert await asyncio.wait_for(one.exited, 20) == 7
        assert os.read(one.words, 1_000).decode().split() == [str(tmp_path), "b", f"{one.folder}/ipython"]
        assert one.usage is not None
        assert one.usage[1] > 1_000_000
        os.close(one.words)
        assert await one.close() == []
        assert is_gone(one.pid)
        assert not Path(one.folder).exists()

    with private_runtime():
        asyncio.run(talk())


@pytest.mark.parametrize(("refusals", "starts"), [(2, True), (100, False)])
def test_where_the_system_refuses_it_for_a_moment_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, starts: bool
) -> None:
    fake = spec(tmp_path, monkeypatch, sys.executable, "-c", "pass", "{connection_file}")
    monkeypatch.setattr("nbflow.kernels.patience.PAUSES", (0.0, 0.0))
    real, asked = subprocess.Popen, []

    def refusing(*arguments: Any, **options: Any) -> Any:
        asked.append(arguments)
        if len(asked) <= refusals:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(*arguments, **options)

    async def talk() -> None:
        if not starts:
            with pytest.raises(UnreachableError, match="Resource temporarily unavailable"):
                await Ordinary.start(fake, cwd=str(tmp_path), environment=dict(os.environ))
            return
        one = await Ordinary.start(fake, cwd=str(tmp_path), environment=dict(os.environ))
        assert await asyncio.wait_for(one.exited, 20) == 0
        os.close(one.words)
        await one.close()

    with private_runtime():  # where nothing may be left of those that were refused
        monkeypatch.setattr("jupyter_client.launcher.Popen", refusing)
        asyncio.run(talk())
        assert len(asked) == 3


def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process lives by then, though nobody knows its id: it would go on writing to its folder."""
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(100)"
    fake = spec(tmp_path, monkeypatch, sys.executable, "-c", code, "{connection_file}")

    async def talk() -> None:
        starting = asyncio.ensure_future(Ordinary.start(fake, cwd=str(tmp_path), environment=dict(os.environ)))
        while not psutil.Process().children():
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not psutil.Process().children()

    with private_runtime() as folder:
        before = psutil.Process().num_fds()
        asyncio.run(talk())
        assert psutil.Process().num_fds() == before
        assert list(Path(folder).iterdir()) == []


def test_a_program_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = spec(tmp_path, monkeypatch, "/no/such/program", "{connection_file}")
    with private_runtime(), pytest.raises(UnreachableError, match='"fake" cannot be started'):
        asyncio.run(Ordinary.start(fake, cwd=str(tmp_path), environment=dict(os.environ)))


def test_a_doubt_is_an_ordinary_start(tmp_path: Path) -> None:
    async def talk() -> None:
        kernel = Kernel(find_kernel("python3"), cwd="/", env=dict(os.environ), zygote=str(tmp_path / "none"))
        await kernel.start()
        assert not kernel.is_forked
        assert "No such file" in str(kernel.reason)
        await kernel.close()

    asyncio.run(talk())


def test_half_of_the_time_is_kept_for_an_ordinary_start(tmp_path: Path) -> None:
    """Where the zygote is still loading."""

    async def talk() -> None:
        kernel = Kernel(find_kernel("python3"), cwd="/", env=dict(os.environ), zygote=str(tmp_path / "z"))
        await kernel.start(0.5)
        assert not kernel.is_forked
        assert kernel.reason == "the zygote was still loading libraries after 0.25 s"
        assert not kernel.exited.done()
        await kernel.close()

    with private_runtime(), socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "z"))
        silent.listen(5)
        asyncio.run(talk())
