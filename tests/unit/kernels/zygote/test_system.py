"""What a zygote asks of the system: threads, parents, children, messages with descriptors."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nbflow.kernels.zygote import system
from support.zygotes import is_gone, until

ENDS = """
import signal, subprocess, sys, time
from nbflow.kernels.zygote import system
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
system.adopt_orphans()
print(system.end_children())
child = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
one = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True)
one.stdout.readline()
subprocess.run("setsid sh -c 'trap : TERM; while :; do sleep 0.02; done' >/dev/null 2>&1 &", shell=True)
time.sleep(0.2)
subprocess.Popen(["true"])
print(*sorted({name.split(" (pid")[0][:6] for name in system.end_children()} - {"sleep"}))
print(system._descendants())
print(system.end_children())
"""
DENIED = """
import os, signal, subprocess
from nbflow.kernels.zygote import system
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
def deny(pid, number):
    if pid == foreign.pid:
        raise PermissionError(1, "Operation not permitted")
    kill(pid, number)
kill, os.kill = os.kill, deny
system._TERMINATED = system._KILLED = 0.05
foreign = subprocess.Popen(["sleep", "1001"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
other = subprocess.Popen(["sleep", "1002"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(system.end_children() == [f"sleep (pid {other.pid})", f"sleep (pid {foreign.pid}, still running)"])
print(system._descendants() == [foreign.pid])
kill(foreign.pid, signal.SIGKILL)
"""
DIES = """
import os, signal
from nbflow.kernels.zygote import system
parent = os.getpid()
if os.fork() == 0:
    system.die_with_parent(parent)
    print(os.getpid(), flush=True)
    signal.pause()
signal.pause()
"""


def test_threads_beside_the_one_that_asks() -> None:
    there = set(system.unsafe_threads())
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        names = system.unsafe_threads()
        assert len(names) == len(system.unsafe_threads())
        assert names
    finally:
        stop.set()
        thread.join()
    until(lambda: set(system.unsafe_threads()) <= there)  # the system lets go of a thread after Python has


def test_children_are_ended_and_named_orphans_included() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "python sh", "[]", "[]"], done.stderr


def test_one_that_may_not_be_ended_is_named_as_such() -> None:
    """As one of another user: the others are ended all the same."""
    done = subprocess.run([sys.executable, "-c", DENIED], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["True", "True"], done.stderr
    assert done.returncode == 0, done.stderr


def test_a_process_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", DIES], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: is_gone(child))


def test_a_message_brings_descriptors() -> None:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    with ours, theirs:
        sender = threading.Thread(target=system.send, args=(ours, {"text": "x" * 1_000_000}, (write_end,)))
        sender.start()
        data, descriptors, _, _ = socket.recv_fds(theirs, 10, 1)
        data += system.receive_line(theirs)
        sender.join()
        assert len(data) > 1_000_000
        os.write(descriptors[0], b"through")
        assert os.read(read_end, 10) == b"through"
        for one in (read_end, write_end, *descriptors):
            os.close(one)


def test_half_a_line_is_none() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b'{"half":')
        ours.close()
        assert system.receive_line(theirs) == b""


@pytest.mark.parametrize("path", sorted(Path(system.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_it_can_be_read_by_the_oldest_python_of_a_kernel(path: Path) -> None:
    """Standard library and ipykernel only, in the language of Python 3.9."""
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
    known = {*sys.stdlib_module_names, "IPython", "ipykernel", "tornado", "traitlets"}
    for found in ast.walk(tree):
        names = [alias.name for alias in found.names] if isinstance(found, ast.Import) else []
        if isinstance(found, ast.ImportFrom) and not found.level:
            names = [str(found.module)]
        assert not [name for name in names if name.partition(".")[0] not in known]
    code = [found for found in ast.walk(tree) if isinstance(found, ast.Match)]
    assert not code
