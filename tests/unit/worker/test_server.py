"""The worker server itself: what it loads when, and what it leaves to workers. More in executors/test_server.py."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

from nbflow.executors.process import WorkerProcess
from nbflow.executors.server import WorkerServer
from nbflow.worker.server import obstacle
from support.servers import program

LOADS = """
load.MODULES = ("json", "csv")
made._missing = [*load.MODULES]
loaded = []
load.module = loaded.append
load.pages = lambda: loaded.append("pages")
load.prose = lambda: loaded.append("prose")
"""


def said(worker: WorkerProcess, code: str) -> str:
    """What a worker prints for a line of Python, before it ends."""
    worker.send(f"print({code}, flush=True)\n".encode())
    worker._pipes.stdin.close()
    (line,) = worker.lines()
    assert worker.end() == 0
    return line.decode()


def test_whoever_asks_first_waits_for_what_every_attempt_needs() -> None:
    held = """
hear, answer = made._selector.select, []
made._selector.select = lambda timeout: hear(None)
"""
    server = WorkerServer.start(program(f"{LOADS}{held}"))
    assert said(server.fork(), "loaded") == "['json', 'csv', 'pages']"
    server.close()


def test_the_rest_is_loaded_while_nobody_asks() -> None:
    server = WorkerServer.start(program(f"{LOADS}\nwhile not made._is_ready: made._load_more()"))
    assert said(server.fork(), "loaded") == "['json', 'csv', 'pages', 'prose']"
    server.close()


def test_memory_is_shared_and_not_collected_by_the_server() -> None:
    server = WorkerServer.start(program())
    worker = server.fork()
    worker.send(b"import gc\n")
    assert said(worker, "gc.get_freeze_count() > 10_000") == "True"
    server.close()


def test_workers_are_adopted_by_nobody_and_lead_their_own_session() -> None:
    server = WorkerServer.start(program())
    assert said(server.fork(), "os.getppid(), os.getsid(0) == os.getpid()") == f"{server.pid} True"
    server.close()


def test_its_channel_is_not_its_stdin_any_more() -> None:
    code = "import os; from nbflow.worker.server import take_channel; c = take_channel(); c.send(b'x'); "
    code += "print(os.read(0, 1), os.get_inheritable(c.fileno()))"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        done = subprocess.run([sys.executable, "-c", code], stdin=theirs, capture_output=True, text=True, check=True)
        assert done.stdout == "b'' False\n"
        assert ours.recv(10) == b"x"


def test_threads_are_an_obstacle() -> None:
    code = "from nbflow.worker.server import obstacle; print(obstacle())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    release = threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    assert "threads" in str(obstacle())
    release.set()
    other.join()
