"""Kernel zygotes for tests: one that runs, kernels of it in plain blocking calls, and what is left of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient

from nbflow.kernels.environ import zygote_environment
from nbflow.kernels.specs import find_kernel
from nbflow.kernels.zygotes import Zygote

SOON = 20.0
"""Seconds within which everything that dies has to be gone, on a busy machine."""
LONGEST = 60.0


def until(condition: Callable[[], bool], seconds: float = SOON) -> None:
    """Wait for a condition; an error after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def private_runtime() -> Iterator[Path]:
    """A runtime folder for all zygotes and kernels of this process; at the end nothing may be in it."""
    place = Path(tempfile.mkdtemp(prefix="nbz-", dir="/tmp"))
    saved = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(place)
    try:
        yield place
        until(lambda: not list(place.iterdir()))
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if saved is not None:
            os.environ["XDG_RUNTIME_DIR"] = saved
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def zygote(
    *modules: str, reserve: int = 1, environment: Mapping[str, str] | None = None, cwd: str = "/"
) -> Iterator[Zygote]:
    """A zygote that loads `modules`; it is loaded."""
    whole = {**zygote_environment(os.environ), **(environment or {})}
    made = Zygote.start(find_kernel("python3"), modules=modules, cwd=cwd, environment=whole, reserve=reserve)
    try:
        until(lambda: not made.is_alive() or made.is_loaded, LONGEST)
        yield made
    finally:
        made.close()
        until(lambda: is_gone(made.process.pid))


class Asker:
    """One who asks for a kernel, and the kernel."""

    def __init__(self, address: str, *, cwd: str = "/", environment: Mapping[str, str] | None = None) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(LONGEST)
        self.connection.connect(address)
        self._said = b""
        self.environment = {**zygote_environment(os.environ), **(environment or {})}
        self.cwd = cwd
        self.reply: dict[str, Any] = {}
        self.words = -1
        self.client: Any = None

    def ask(self) -> Asker:
        """Ask; who gets none finds `refused` in `reply`."""
        with suppress(BrokenPipeError):  # refused before it was read
            self.connection.sendall(json.dumps({"environment": self.environment, "cwd": self.cwd}).encode() + b"\n")
        data, descriptors, _, _ = socket.recv_fds(self.connection, 65_536, 1)
        self.words = descriptors[0] if descriptors else -1
        self._said = data
        self.reply = self.next()
        if "pid" in self.reply:
            self.client = BlockingKernelClient()
            info = {**self.reply["connection"], "key": self.reply["connection"]["key"].encode()}
            self.client.load_connection_info(info)
            self.client.start_channels(stdin=False, hb=False)
            self.client.wait_for_ready(timeout=LONGEST)
        return self

    @property
    def pid(self) -> int:
        return int(self.reply["pid"])

    @property
    def folder(self) -> Path:
        return Path(self.reply["folder"])

    @property
    def watcher(self) -> int:
        return psutil.Process(self.pid).ppid()

    def next(self) -> dict[str, Any]:
        """The next that is said on the connection; empty where it has ended."""
        while b"\n" not in self._said:
            part = self.connection.recv(65_536)
            if not part:
                return {}
            self._said += part
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self, source: str) -> str:
        """Run code; all that it printed, showed or raised."""
        parts: list[str] = []

        def hear(message: Any) -> None:
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    parts.append(content["text"])
                case "execute_result" | "display_data":
                    parts.append(content["data"].get("text/plain", ""))
                case "error":
                    parts.append(f"{content['ename']}: {content['evalue']}")

        self.client.execute_interactive(source, output_hook=hear, timeout=LONGEST)
        return "".join(parts).strip()

    def value(self, expression: str) -> Any:
        """The value of an expression that JSON can hold."""
        return json.loads(self.run(f"import json as _json; print(_json.dumps({expression}))"))

    def end(self) -> dict[str, Any]:
        """End it in good order: how it ended, with `left`."""
        self.client.shell_channel.send(self.client.session.msg("shutdown_request", {"restart": False}))
        return self.ended()

    def ended(self) -> dict[str, Any]:
        """Wait for its end, which is somebody else's doing: how it ended, with `left`."""
        found = {**self.next(), **self.next()}
        self.close()
        return found

    def close(self) -> None:
        """Let go of it, which ends it."""
        if self.client is not None:
            self.client.stop_channels()
            self.client = None
        if self.words >= 0:
            os.close(self.words)
            self.words = -1
        self.connection.close()


@contextmanager
def kernel(one: Zygote | str, *, cwd: str = "/", environment: Mapping[str, str] | None = None) -> Iterator[Asker]:
    """A kernel of a zygote; whatever happens, nothing is left of it."""
    asker = Asker(one if isinstance(one, str) else one.address, cwd=cwd, environment=environment).ask()
    try:
        yield asker
    finally:
        asker.close()
        if "pid" in asker.reply:
            until(lambda: is_gone(asker.pid) and not asker.folder.exists())


def packages(folder: Path, sources: Mapping[str, str]) -> dict[str, str]:
    """Packages that count as installed for a zygote with the environment that is returned."""
    version = f"python{'.'.join(map(str, __import__('sys').version_info[:2]))}"
    place = folder / "lib" / version / "site-packages"
    place.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        (place / f"{name}.py").write_text(source)
    return {"PYTHONUSERBASE": str(folder), "PYTHONPATH": str(place)}


def children(pid: int) -> Sequence[int]:
    """Processes that a process has started and that live."""
    try:
        return [child.pid for child in psutil.Process(pid).children() if not is_gone(child.pid)]
    except psutil.NoSuchProcess:
        return []
