"""The zygote's loop: who asks gets a kernel, whatever others do to its socket, and it ends with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from nbflow.kernels.specs import find_kernel
from nbflow.kernels.zygotes import Zygote
from support.zygotes import SOON, Asker, children, is_gone, kernel, packages, private_runtime, until, zygote

REST = 100
"""So many looks, 10 ms apart, have to find the same."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Zygote]:
    with private_runtime(), zygote(reserve=1) as made:
        yield made


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def at_rest(pid: int) -> int:
    """The descriptors of a zygote once it has let go of who was there before, without that of a kernel in reserve.

    It may have none: while others end, which nobody tells it, it forks none.
    """
    found: list[int] = []

    def is_at_rest() -> bool:
        spare = len(children(pid))
        found.append(descriptors(pid) - spare if spare <= 1 else -1)
        return found[-1] >= 0 and found[-REST:] == [found[-1]] * REST

    until(is_at_rest)
    return found[-1]


@pytest.mark.parametrize("data", [b"garbage\n", b"\x00" * 70_000 + b"\n", b"{}\n", b'{"environment": 1, "cwd": 2}\n'])
def test_garbage_is_refused(shared: Zygote, data: bytes) -> None:
    one = Asker(shared.address)
    one.connection.sendall(data)
    said = one.connection.recv(65_536)
    assert said == b"" or "refused" in json.loads(said.splitlines()[0])
    one.close()
    with kernel(shared) as good:
        assert good.value("1") == 1


def test_those_who_go_away_cost_nothing(shared: Zygote) -> None:
    with kernel(shared):
        pass
    before = at_rest(shared.process.pid)
    for text in (b"", b'{"environment"', b""):
        one = Asker(shared.address)
        one.connection.sendall(text)
        one.close()
    with kernel(shared) as good:
        assert good.value("1") == 1
    assert at_rest(shared.process.pid) == before


def many(shared: Zygote, count: int) -> float:
    """Ask for so many kernels at once, and have each compute something."""
    began = time.monotonic()

    def one(number: int) -> tuple[int, str, str, str]:
        with kernel(shared, environment={"NUMBER": str(number)}) as found:
            assert found.value("int(__import__('os').environ['NUMBER'])") == number
            connection = found.reply["connection"]
            return found.pid, connection["key"], connection["ip"], found.run("print(__import__('random').random())")

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(one, range(count)))
    for column in zip(*found, strict=True):
        assert len(set(column)) == count
    return time.monotonic() - began


def test_forty_at_once(shared: Zygote) -> None:
    many(shared, 40)


@pytest.mark.slow
def test_two_hundred_at_once(shared: Zygote) -> None:
    many(shared, 200)


def test_kernels_that_die_at_initialisation(tmp_path: Path) -> None:
    """After three in a row whoever asks is told so, and can have one in the ordinary way."""
    environment = packages(
        tmp_path, {"fatal": "import os\nos.register_at_fork(after_in_child=lambda: die())\n" + FATAL}
    )
    with private_runtime(), zygote("fatal", environment=environment) as made:
        one = Asker(made.address, environment=environment).ask()
        assert one.reply == {"refused": "kernels that it forked ended before they were ready"}
        one.close()
        assert made.is_alive()


FATAL = """
import os
zygote = os.getpid()
def die():
    if os.getppid() != zygote:
        os._exit(1)
"""


def refusal(made: Zygote, environment: dict[str, str]) -> str:
    """What one is told who asks for a kernel and gets none."""
    one = Asker(made.address, environment=environment)
    one.connection.settimeout(SOON)
    try:
        return str(one.ask().reply["refused"])
    finally:
        one.close()


SHORT = """
import os, sys
zygote, fork, short = os.getpid(), os.fork, __file__ + ".short"
def scarce():
    if os.path.exists(short) and os.getpid() != zygote:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = scarce
"""
DYING = """
import os, sys
zygote, short = os.getpid(), __file__ + ".short"
def die():
    if os.path.exists(short) and os.getppid() != zygote:
        with open(short, "a") as file:
            file.write(".")
        os._exit(1)
os.register_at_fork(after_in_child=die)
sys.modules["_nbflow_zygote.server"]._PAUSE = 5.0
"""


def test_a_system_that_is_short_of_processes_for_a_moment(tmp_path: Path) -> None:
    """Those who wait are told why, it leaves nothing, and is not held against what is loaded."""
    environment = packages(tmp_path, {"scarce": SHORT})
    short = next(tmp_path.rglob("scarce.py")).with_name("scarce.py.short")
    with private_runtime() as runtime, zygote("scarce", environment=environment, reserve=0) as made:
        short.touch()
        for _ in range(5):
            assert refusal(made, environment) == "no kernel could be forked: Resource temporarily unavailable"
        until(lambda: not children(made.process.pid))
        assert len(list(runtime.iterdir())) == 1  # the zygote's own folder
        short.unlink()
        with kernel(made, environment=environment) as one:
            assert one.value("1") == 1


def test_kernels_that_die_for_a_while(tmp_path: Path) -> None:
    """Some failures in a row are not tried again for a while; then kernels are forked again."""
    environment = packages(tmp_path, {"dying": DYING})
    short = next(tmp_path.rglob("dying.py")).with_name("dying.py.short")
    with private_runtime(), zygote("dying", environment=environment, reserve=0) as made:
        short.touch()
        ended = "kernels that it forked ended before they were ready"
        assert refusal(made, environment) == ended
        until(lambda: not children(made.process.pid))
        tried = len(short.read_text())
        assert tried >= 3
        assert refusal(made, environment) == ended
        assert len(short.read_text()) == tried
        short.unlink()

        def is_given() -> bool:
            with kernel(made, environment=environment) as one:
                return "pid" in one.reply

        until(is_given)


def test_a_runtime_folder_that_is_gone_for_a_moment(tmp_path: Path) -> None:
    """As a full one: nothing is forked, those who wait are told why, and it is not held against what is loaded."""
    with private_runtime() as runtime, zygote(reserve=0) as made:
        away = runtime.with_name(f"{runtime.name}-away")
        address = made.address
        runtime.rename(away)
        try:
            made.address = address.replace(str(runtime), str(away))
            for _ in range(5):
                assert refusal(made, {}) == "no kernel could be forked: No such file or directory"
        finally:
            away.rename(runtime)
            made.address = address
        with kernel(made) as one:
            assert one.value("1") == 1


def test_no_more_processes(tmp_path: Path) -> None:
    """Where the system forks no more, those who wait are told; later it goes on."""
    with private_runtime() as runtime, zygote(reserve=0) as made:
        with kernel(made) as one:
            assert one.value("1") == 1
        soft, hard = resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (descriptors(made.process.pid) + 1, hard))
        refused = Asker(made.address)
        refused.connection.settimeout(SOON)
        refused.ask()
        assert "Too many open files" in refused.reply["refused"]
        refused.close()
        resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        with kernel(made) as one:
            assert one.value("1") == 1
        assert made.is_alive()
        assert runtime.exists()


OWNER = """
import sys
from nbflow.kernels.specs import find_kernel
from nbflow.kernels.zygotes import Zygote
from nbflow.kernels.environ import zygote_environment
import os
made = Zygote.start(find_kernel("python3"), modules=[], cwd="/", environment=zygote_environment(os.environ), reserve=2)
print(made.process.pid, made.address, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_loaded", [True, False])
def test_its_owner_is_killed(is_loaded: bool) -> None:
    with private_runtime():
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert owner.stdout is not None
        pid, address = owner.stdout.readline().split()
        spare = []
        if is_loaded:
            with kernel(address) as one:
                assert one.value("1") == 1
            until(lambda: len(children(int(pid))) >= 2, 20)
            spare = [child.pid for child in psutil.Process(int(pid)).children(recursive=True)]
        owner.kill()
        owner.wait()
        until(lambda: is_gone(int(pid)) and all(is_gone(child) for child in spare), SOON)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03])
def test_it_is_killed_while_it_forks(delay: float) -> None:
    """Who waits is told at once; nothing of the half-made kernel is left."""
    with private_runtime(), zygote(reserve=0) as made:
        askers = [Asker(made.address) for _ in range(3)]
        for one in askers:
            one.connection.sendall(json.dumps({"environment": one.environment, "cwd": "/"}).encode() + b"\n")
        until(lambda: len(children(made.process.pid)) > 0)
        time.sleep(delay)  # nothing to wait for: any moment of the making may be the last
        started = psutil.Process(made.process.pid).children(recursive=True)
        os.kill(made.process.pid, signal.SIGKILL)
        for one in askers:
            one.connection.settimeout(SOON)
            with contextlib.suppress(ConnectionResetError):
                said = one.connection.recv(65_536)
                assert said == b"" or b'"pid"' in said
            one.close()
        until(lambda: all(is_gone(process.pid) for process in started))


def test_asking_while_it_loads() -> None:
    environment = dict(os.environ)
    with private_runtime():
        made = Zygote.start(find_kernel("python3"), modules=["numpy"], cwd="/", environment=environment, reserve=1)
        try:
            assert not made.is_loaded
            one = Asker(made.address)
            one.environment = environment
            with_kernel = one.ask()
            assert with_kernel.value("'numpy' in __import__('sys').modules") is True
            assert with_kernel.end()["exit"] == 0
        finally:
            made.close()
