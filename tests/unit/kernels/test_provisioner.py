"""Plain papermill, nbclient and jupyter_client get forked kernels where a kernelspec names the provisioner."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_client.manager import AsyncKernelManager, KernelManager
from nbclient import NotebookClient

from nbflow.kernels import provisioner
from nbflow.kernels.provisioner import ForkedProcess
from support.attempts import notebook
from support.zygotes import SOON, is_gone, packages, private_runtime, until

QUIET = ["--HistoryManager.hist_file=:memory:"]
WHO = "import os\nprint(os.getppid(), os.getpid(), os.getcwd())"


@pytest.fixture(autouse=True)
def kernelspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kernel `forked`, whose zygote loads psutil."""
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    chosen = {"provisioner_name": "nbflow", "config": {"preload": ["psutil"]}}
    place = tmp_path / "kernels/forked"
    place.mkdir(parents=True)
    document = {"argv": argv, "display_name": "Forked", "language": "python"}
    (place / "kernel.json").write_text(json.dumps({**document, "metadata": {"kernel_provisioner": chosen}}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with private_runtime():
        yield
        provisioner._SHARED.close()


def zygotes() -> list[int]:
    return [one.process.pid for one in provisioner._SHARED._zygotes.values()]


def test_papermill(tmp_path: Path) -> None:
    """Several notebooks one after the other: one zygote, new kernels, each in its own folder."""
    source = tmp_path / "in.ipynb"
    source.write_text(json.dumps(notebook("x = 0", "print(x)", WHO, kernel="forked")))
    pids = set()
    for number in range(3):
        done = papermill.execute_notebook(
            str(source), str(tmp_path / "out.ipynb"), {"x": number}, cwd=str(tmp_path), progress_bar=False
        )
        printed, who = ("".join(cell.outputs[0].text) for cell in done.cells[-2:])
        assert printed == f"{number}\n" or printed == "0\n"
        parent, pid, cwd = who.split()
        pids.add(pid)
        assert cwd == str(tmp_path)
        assert is_gone(int(pid))
        assert is_gone(int(parent))
    assert len(pids) == 3
    assert len(zygotes()) == 1


def test_nbclient_and_an_error() -> None:
    for cells in ((WHO, "1 / 0"), ("import sys\nprint('psutil' in sys.modules)",)):
        document: Any = nbformat.from_dict(notebook(*cells, kernel="forked"))  # type: ignore[no-untyped-call]
        client = NotebookClient(document, kernel_name="forked", allow_errors=True)
        client.execute()
        assert document.cells[-1].outputs[0].get("ename", "") == ("ZeroDivisionError" if len(cells) == 2 else "")
    assert document.cells[0].outputs[0].text == "True\n"


def test_a_manager_sees_interrupts_and_death() -> None:
    async def talk() -> None:
        manager: Any = AsyncKernelManager(kernel_name="forked")
        await manager.start_kernel(extra_arguments=QUIET)
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=90)
        assert await manager.is_alive()
        assert isinstance(manager.provisioner.process, ForkedProcess)
        client.execute("import time\nprint('at it', flush=True)\ntime.sleep(1000)")
        while (await client.get_iopub_msg(timeout=SOON))["msg_type"] != "stream":
            continue
        await manager.interrupt_kernel()
        reply = await client.get_shell_msg(timeout=SOON)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        pid = manager.provisioner.pid
        os.kill(pid, signal.SIGKILL)
        while await manager.is_alive():
            await asyncio.sleep(0.01)
        assert await manager.provisioner.poll() == -signal.SIGKILL
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        assert is_gone(pid)

    asyncio.run(asyncio.wait_for(talk(), 120))


def test_a_restart_listens_where_the_first_kernel_did() -> None:
    manager: Any = KernelManager(kernel_name="forked")
    manager.start_kernel(extra_arguments=QUIET)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=90)
    first = manager.provisioner.pid
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=90)
    assert manager.provisioner.pid != first
    assert not isinstance(manager.provisioner.process, ForkedProcess)
    assert client.execute_interactive("1", timeout=90)["content"]["status"] == "ok"
    client.stop_channels()
    manager.shutdown_kernel()
    assert is_gone(first)


def test_its_end_is_waited_for_until_its_watcher_has_gone() -> None:
    """The folder is in the watcher's hands until then: who starts the kernel again uses the same one."""
    ours, watcher = socket.socketpair()
    ours.setblocking(False)  # as asyncio has left it
    reader, writer = os.pipe()
    os.close(writer)
    process = ForkedProcess(ours, {"pid": os.getpid()}, reader)
    waiting = threading.Thread(target=process.wait)
    waiting.start()
    watcher.sendall(b'{"exit": 0}\n{"left": []}\n')
    assert watcher.recv(1) == b""
    waiting.join(0.3)
    assert waiting.is_alive()
    watcher.close()
    waiting.join(SOON)
    assert not waiting.is_alive()
    assert process.poll() == 0


def start(environment: dict[str, str] | None = None, arguments: list[str] | None = None) -> bool:
    """Start a kernel and end it; whether it was forked."""
    manager: Any = KernelManager(kernel_name="forked")
    manager.start_kernel(env={**os.environ, **(environment or {})}, extra_arguments=arguments or [])
    try:
        return isinstance(manager.provisioner.process, ForkedProcess)
    finally:
        manager.shutdown_kernel(now=True)


def test_another_environment_has_a_zygote_of_its_own() -> None:
    assert start()
    assert start({"SECRET": "of this kernel only"})
    (first,) = zygotes()
    assert b"of this kernel only" not in Path(f"/proc/{first}/environ").read_bytes()
    assert start({"OMP_NUM_THREADS": "1"})
    assert len(zygotes()) == 2


def test_a_zygote_that_has_died_is_started_again() -> None:
    assert start()
    (first,) = zygotes()
    os.kill(first, signal.SIGKILL)
    until(lambda: is_gone(first))
    assert start()
    assert zygotes() != [first]


def test_what_cannot_be_forked_is_started_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert not start(arguments=["--debug"])
    broken = packages(tmp_path, {"ipykernel": "raise ImportError('none here')"})
    assert not start(broken)
    assert not start(broken)


def test_a_fork_leaves_its_parents_zygotes_alone() -> None:
    assert start()
    (pid,) = zygotes()
    child = os.fork()
    if child == 0:
        provisioner._SHARED.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert not is_gone(pid)
    assert start()
