"""Whoever dies: the kernel's end is known at once, and nothing is left of it after five seconds."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from nbflow.kernels.zygotes import Zygote
from support.waiting import allowed
from support.zygotes import SOON, Asker, children, is_gone, kernel, private_runtime, until, zygote


@pytest.fixture(scope="module")
def shared() -> Iterator[Zygote]:
    with private_runtime(), zygote(reserve=2) as made:
        yield made


ENDS: list[tuple[str, Callable[[Asker], None], int]] = [
    ("killed", lambda one: os.kill(one.pid, signal.SIGKILL), -signal.SIGKILL),
    ("terminated", lambda one: os.kill(one.pid, signal.SIGTERM), -signal.SIGTERM),
    ("segfault", lambda one: one.client.execute("import ctypes; ctypes.string_at(0)") and None, -signal.SIGSEGV),
    ("os._exit", lambda one: one.client.execute("import os; os._exit(3)") and None, 3),
    ("exit", lambda one: one.client.execute("exit") and None, 0),
    ("abort", lambda one: one.client.execute("import os; os.abort()") and None, -signal.SIGABRT),
]


@pytest.mark.parametrize(("act", "code"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
def test_its_end_is_told(shared: Zygote, act: Callable[[Asker], None], code: int) -> None:
    with kernel(shared) as one:
        pid, folder, watcher = one.pid, one.folder, one.watcher
        began = time.monotonic()
        act(one)
        ended = one.ended()
        assert time.monotonic() - began < allowed(5)
        assert (ended["exit"], ended["left"]) == (code, [])
        assert ended["peak"] > 10_000_000
        until(lambda: is_gone(pid) and is_gone(watcher) and not folder.exists())


def test_what_a_notebook_leaves_behind_is_ended_and_named(shared: Zygote) -> None:
    with kernel(shared) as one:
        code = (
            "import subprocess, os, time\n"
            "subprocess.Popen(['sleep', '1001'], start_new_session=True)\n"
            "subprocess.run('setsid sleep 1002 > /dev/null 2>&1 &', shell=True)\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0: os.execvp('sleep', ['sleep', '1003'])\n"
            "    os._exit(0)\n"
            "os.wait()\n"
        )
        one.run(code)
        ended = one.end()
        assert [name.split()[0] for name in ended["left"]] == ["sleep"] * 3
        assert all(is_gone(int(name.split("pid ")[1][:-1])) for name in ended["left"])


def test_one_that_ignores_everything_ends_with_its_owner(shared: Zygote) -> None:
    with kernel(shared) as one:
        pid = one.pid
        code = "import signal, time\nfor s in (2, 15, 1, 3): signal.signal(s, signal.SIG_IGN)\nprint('up')"
        assert one.run(code) == "up"
        one.client.execute("while True: time.sleep(1000)")
        os.killpg(pid, signal.SIGTERM)
        one.close()
        until(lambda: is_gone(pid))


def test_an_interrupt_ends_a_cell_only(shared: Zygote) -> None:
    with kernel(shared) as one:
        source = "import time\nprint('at it', flush=True)\ntime.sleep(1000)"
        one.client.execute(source, stop_on_error=False)  # what is sent next is not to be given up with it
        while one.client.get_iopub_msg(timeout=SOON)["msg_type"] != "stream":
            continue
        os.killpg(one.pid, signal.SIGINT)
        reply = one.client.get_shell_msg(timeout=SOON)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert one.value("1 + 1") == 2


def test_its_owner_dies(shared: Zygote) -> None:
    """The one who has asked for it is another process, which is killed."""
    asker = Asker(shared.address).ask()
    pid, folder, watcher = asker.pid, asker.folder, asker.watcher
    asker.client.stop_channels()
    holder = os.fork()
    if holder == 0:
        signal.pause()
        os._exit(0)
    asker.client = None
    asker.close()
    assert not is_gone(pid)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    until(lambda: is_gone(pid) and is_gone(watcher) and not folder.exists(), allowed(5.0))


def test_its_watcher_dies(shared: Zygote) -> None:
    with kernel(shared) as one:
        pid, folder = one.pid, one.folder
        os.kill(one.watcher, signal.SIGKILL)
        assert one.next() == {}
        until(lambda: is_gone(pid))
        shutil.rmtree(folder)  # nobody is left to remove it but its owner


def test_its_zygote_dies_and_it_lives_on() -> None:
    with private_runtime(), zygote(reserve=2) as made:
        with kernel(made) as one:
            until(lambda: len(children(made.process.pid)) >= 2)
            spare = children(made.process.pid)
            made.process.kill()
            made.process.wait()
            assert one.value("6 * 7") == 42
            assert one.end()["exit"] == 0
            until(lambda: all(is_gone(pid) for pid in spare))
        assert not made.is_alive()


def test_one_in_reserve_that_dies_is_replaced(shared: Zygote) -> None:
    until(lambda: len(children(shared.process.pid)) >= 2)
    for watcher in children(shared.process.pid):
        for pid in children(watcher):
            os.kill(pid, signal.SIGKILL)
        until(lambda watcher=watcher: is_gone(watcher))  # type: ignore[misc]
    with kernel(shared) as one:
        assert one.value("1") == 1
