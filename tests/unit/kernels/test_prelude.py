"""The prelude in a Python of its own, with ipykernel's streams and a reader that does not read."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from nbflow.kernels import prelude

SETUP = """
import os, sys, threading, types
import zmq
from ipykernel import kernelapp
from ipykernel.iostream import IOPubThread, OutStream
from jupyter_client.session import Session

context = zmq.Context()
publisher = context.socket(zmq.XPUB)
publisher.sndhwm = 4
publisher.bind("inproc://iopub")
reader = context.socket(zmq.SUB)
reader.rcvhwm = 4
reader.connect("inproc://iopub")
reader.subscribe(b"")
publisher.recv()
thread = IOPubThread(publisher)
thread.start()
session = Session(key=b"k")
sys.stdout = OutStream(session, thread, "stdout", watchfd=False)
app = types.SimpleNamespace(iopub_thread=thread, shell=None)
kernelapp.IPKernelApp.instance = lambda: app
exec(compile(PRELUDE, "<prelude>", "exec"), {"__name__": "prelude"})
namespace = {"__name__": "prelude"}
exec(compile(PRELUDE, "<prelude>", "exec"), namespace)
namespace["prepare"]()

def text(message):
    return session.deserialize(session.feed_identities(message)[1])["content"]["text"]

def tell(*words):
    print(*words, file=sys.__stdout__, flush=True)
"""


def run(code: str) -> list[str]:
    """Lines that a fresh Python prints that has the prelude."""
    source = Path(prelude.__file__).read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-c", f"PRELUDE = {source!r}\n{SETUP}\n{code}\nos._exit(0)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_can_be_sent_to_any_python_from_3_8_on() -> None:
    tree = ast.parse(Path(prelude.__file__).read_text("utf-8"), feature_version=(3, 8))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported <= {*sys.stdlib_module_names, "zmq", "ipykernel"}


def test_a_writer_waits_for_its_reader_and_nothing_is_dropped() -> None:
    code = """
done = threading.Event()
def write():
    for number in range(200):
        sys.stdout.write(f"{number:03d}" + "x" * 65533)
    done.set()
writer = threading.Thread(target=write, daemon=True)
writer.start()
tell(done.wait(1.0))
found = ""
while len(found) < 200 * 65536:
    found += text(reader.recv_multipart())
pieces = [found[start : start + 3] for start in range(0, len(found), 65536)]
tell(done.wait(10.0), pieces == [f"{number:03d}" for number in range(200)])
"""
    assert run(code) == ["False", "True True"]


def test_a_long_text_is_sent_in_pieces() -> None:
    code = """
threading.Thread(target=lambda: print("y" * 500_000, end=""), daemon=True).start()
sizes = []
while sum(sizes) < 500_000:
    sizes.append(len(text(reader.recv_multipart())))
tell(max(sizes), sum(sizes))
"""
    assert run(code) == ["65536 500000"]


def test_large_messages_wait_too() -> None:
    code = """
done = threading.Event()
def show():
    for number in range(400):
        thread.send_multipart([b"topic", bytes(20_000)])
    done.set()
threading.Thread(target=show, daemon=True).start()
tell(done.wait(1.0))
tell(sum(len(reader.recv_multipart()[1]) for _ in range(400)), done.wait(10.0))
"""
    assert run(code) == ["False", "8000000 True"]


def test_a_forked_process_does_not_send_again_what_its_parent_has_printed() -> None:
    code = """
thread._pipe_flag = False
sys.stdout.write("once")
if os.fork() == 0:
    held = "".join(buffer.getvalue() for buffer in sys.stdout._buffers.values())
    tell("child", repr(held))
    os._exit(0)
os.wait()
sys.stdout.flush()
tell(text(reader.recv_multipart()))
"""
    assert run(code) == ["child ''", "once"]


def test_tasks_of_the_kernel_itself_end_without_a_word() -> None:
    """Those of a notebook are told of, as anywhere."""
    code = """
import asyncio, gc, ipykernel
loop, told = asyncio.new_event_loop(), []
loop.set_exception_handler(lambda loop, context: told.append(context["task"].get_name()))
app.control_thread = types.SimpleNamespace(io_loop=types.SimpleNamespace(asyncio_loop=loop))
source = "async def wait(loop):\\n    await loop.create_future()"
for name, file in (("kernel", ipykernel.__path__[0] + "/kernelbase.py"), ("notebook", "cell.py")):
    space = {}
    exec(compile(source, file, "exec"), space)
    loop.create_task(space["wait"](loop), name=name)
loop.run_until_complete(asyncio.sleep(0))
namespace["_hush_tasks"]()
gc.collect()
tell(told)
"""
    assert run(code) == ["['notebook']"]
