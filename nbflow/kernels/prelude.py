"""What runs in an IPython kernel before its first cell, so that nothing it says is lost and no buffer grows for ever.

Complete in itself, for any Python from 3.8 on: it is sent to kernels whose Python has ipykernel only. It must import
nothing of nbflow, leave no name in the notebook's namespace, and show in no output and no count.
"""

from __future__ import annotations

import asyncio
import atexit
import codecs
import collections
import contextlib
import faulthandler
import functools
import io
import os
import select
import sys
import threading
from typing import Any

PIECE = 65536
"""Characters that are printed at once, and after which a thread waits until they are on their way."""
UNSENT = 1048576
"""Bytes of other messages after which a thread waits until they are on their way."""
QUEUE = 128
"""Messages that wait for a slow reader within ZMQ."""
LOOK_AGAIN = 1.0
"""Seconds after which a thread that waits makes sure that there is still somebody to wait for."""
TASKS = 1.0
"""Seconds that tasks of asyncio get to end after the last cell, and again once they are cancelled."""
LINGER_MS = 60000
"""Milliseconds that a process the kernel has forked waits for the kernel to take what it printed."""

_local = threading.local()


def prepare() -> None:
    """Make the running ipykernel wait for its reader, flush at its exit and tell where it crashed. Once per process."""
    from ipykernel import iostream
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    thread = app.iopub_thread
    thread.schedule(lambda: _never_drop(thread.socket))
    if not getattr(iostream.OutStream.write, "waits", False):
        _bound_text(iostream.OutStream)
        _bound_messages(iostream.IOPubThread)
    if app.shell is not None:
        _bound_history(app.shell, iostream.OutStream)
    os.register_at_fork(after_in_child=_start_empty)
    watchers = [_Watcher(stream) for stream in (sys.stdout, sys.stderr) if getattr(stream, "_should_watch", False)]
    if watchers and app.shell is not None:
        app.shell.events.register("post_execute", functools.partial(_drain, watchers))
    # Handlers run last in, first out: these come after all of the notebook's and send what those printed, before the
    # kernel closes its sockets.
    atexit.register(_flush_streams)
    atexit.register(_drain, watchers)
    atexit.register(_hush_tasks)
    atexit.register(_end_tasks, os.getpid())
    # The process's own stderr: fd 2 leads into the notebook, by a thread that does not survive a crash.
    own = getattr(sys.stderr, "_original_stdstream_copy", None)
    if own is not None:
        faulthandler.enable(file=own)


def _never_drop(socket: Any) -> None:
    """A full queue makes the sender wait; as it is, what does not fit is dropped. In the thread of the socket."""
    import zmq

    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.setsockopt(zmq.SNDHWM, QUEUE)


def _bound_text(stream_class: Any) -> None:
    """Print in pieces, and wait for each as long as it takes. Classes are changed, not streams: tools copy those."""
    write_at_once, flush_for_a_while = stream_class.write, stream_class.flush

    def write(self: Any, string: Any) -> Any:
        """Write to the stream; waits where what reads it is slower."""
        if not isinstance(string, str):
            return write_at_once(self, string)
        if len(string) <= PIECE:
            written = write_at_once(self, string)
            _wrote(self, len(string))
            return written
        for start in range(0, len(string), PIECE):
            write_at_once(self, string[start : start + PIECE])
            _wrote(self, PIECE)
        return len(string)

    def flush(self: Any) -> Any:
        """Send what was written; returns when it is on its way."""
        if self.pub_thread is None or not _must_wait(self.pub_thread):
            return flush_for_a_while(self)
        self.pub_thread.schedule(self._flush)
        return _wait(self.pub_thread)

    def _wrote(stream: Any, size: int) -> None:
        pending = getattr(stream, "_unflushed", 0) + size
        if pending >= PIECE:
            pending = 0
            stream.flush()
        stream._unflushed = pending

    write.waits = True  # type: ignore[attr-defined]
    stream_class.write, stream_class.flush = write, flush


def _bound_messages(thread_class: Any) -> None:
    """The same for displays and all other messages; a process that was forked gets time to hand over its text."""
    send_at_once, connect_to_kernel = thread_class.send_multipart, thread_class._setup_pipe_out

    def send_multipart(self: Any, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Schedule the sending; waits where what reads it is slower."""
        send_at_once(self, msg, *args, **kwargs)
        if _must_wait(self):
            _local.unsent = getattr(_local, "unsent", 0) + sum(len(memoryview(frame)) for frame in msg)
            if _local.unsent >= UNSENT:
                _local.unsent = 0
                _wait(self)

    def _setup_pipe_out(self: Any) -> Any:
        context, socket = connect_to_kernel(self)
        socket.linger = LINGER_MS
        return context, socket

    thread_class.send_multipart, thread_class._setup_pipe_out = send_multipart, _setup_pipe_out


def _bound_history(shell: Any, stream_class: Any) -> None:
    """IPython 9 keeps all that was ever shown, to export the notebook; it is in the executed notebook anyhow."""
    if hasattr(shell, "_tee"):
        shell._tee = _no_tee
    history: Any = getattr(shell, "history_manager", None)
    if hasattr(history, "outputs"):
        history.outputs = _Forgetful(list)

    def uncover() -> None:
        """Take away the method that a tee, perhaps of this very execution, has put over the one of the class."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, stream_class):
                vars(stream).pop("write", None)
        shell.events.unregister("pre_execute", uncover)

    shell.events.register("pre_execute", uncover)


def _no_tee(channel: str) -> Any:
    """In place of what copies a stream; called with the stream's name."""
    del channel
    return contextlib.nullcontext()


class _Watcher:
    """Reads what is written to a descriptor (by subprocesses, by C), in place of ipykernel's own thread for that: that
    one cuts characters of several bytes in two, and lags behind the end of a cell.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.waiting: collections.deque[threading.Event] = collections.deque()
        self.pipe, write_end = os.pipe()
        self.asked, self.ask = os.pipe()
        os.dup2(write_end, stream._original_stdstream_fd)
        os.close(write_end)
        stream._fid = self.pipe
        self.thread = threading.Thread(target=self.watch, name=f"watch {stream.name}", daemon=True)
        stream.watch_fd_thread = self.thread
        self.thread.start()

    def drain(self) -> None:
        """Wait until all is read that was written so far."""
        if self.thread.is_alive():
            done = threading.Event()
            self.waiting.append(done)
            os.write(self.ask, b"x")
            while not done.wait(LOOK_AGAIN) and self.thread.is_alive():
                pass

    def watch(self) -> None:
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        poll.register(self.asked, select.POLLIN)
        while self.stream._should_watch:
            ready = dict(poll.poll())
            if self.asked in ready:
                os.read(self.asked, 1)
                self.empty()
                self.waiting.popleft().set()
            elif not self.take(PIECE):
                poll.unregister(self.pipe)  # the notebook has closed the descriptor

    def empty(self) -> None:
        """Read what there is; not what is written meanwhile, which may never end."""
        poll, left = select.poll(), PIECE
        poll.register(self.pipe, select.POLLIN)
        while left > 0 and poll.poll(0):
            left -= self.take(left) or PIECE

    def take(self, most: int) -> int:
        """Show what there is, and its size; 0: nothing more will ever come."""
        data = os.read(self.pipe, most)
        if self.stream._should_watch:
            os.write(self.stream._original_stdstream_copy, data)
            self.stream.write(self.decoder.decode(data))
        return len(data)


class _Forgetful(collections.defaultdict):  # type: ignore[type-arg]
    """A mapping to lists that are not kept."""

    def __missing__(self, key: Any) -> Any:
        return []


def _must_wait(thread: Any) -> bool:
    """False where waiting would be for ever: in the sending thread itself, in a forked process, after the end."""
    return bool(
        thread.thread.is_alive()
        and thread.thread is not threading.current_thread()
        and thread._master_pid == os.getpid()
        and not thread._stopped
    )


def _wait(thread: Any) -> None:
    """Wait until all that was scheduled before has been done. An interrupt ends the wait, as it ends any."""
    done = threading.Event()
    thread.schedule(done.set)
    while not done.wait(LOOK_AGAIN):
        if not _must_wait(thread):
            return


def _start_empty() -> None:
    """What the kernel has printed and not sent is not the forked process's to send again, nor is a lock its to wait for
    that another thread of the kernel held.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "_buffers") and hasattr(stream, "_buffer_lock"):
            stream._buffer_lock = threading.RLock()
            stream._buffers = type(stream._buffers)(io.StringIO)


def _drain(watchers: list[_Watcher]) -> None:
    for watcher in watchers:
        watcher.drain()


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _end_tasks(kernel: int) -> None:
    """Let pending tasks of asyncio come to an end, as they would where somebody looks on; `kernel` is its process.

    Those that do not are cancelled, as `asyncio.run` does it, so that their clean-up runs and what it says is kept.
    """
    from ipykernel.kernelapp import IPKernelApp

    loop = getattr(getattr(IPKernelApp.instance().kernel, "io_loop", None), "asyncio_loop", None)
    if os.getpid() != kernel or loop is None or loop.is_closed() or loop.is_running():
        return
    for cancelled in (False, True):
        pending = _tasks_of_notebook(loop)
        for task in pending if cancelled else ():
            task.cancel()
        waiting = loop.create_task(asyncio.wait(pending, timeout=TASKS)) if pending else None
        while waiting is not None and not waiting.done() and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # ipykernel's own request to stop may still be due
                loop.run_until_complete(waiting)


def _hush_tasks() -> None:
    """ipykernel ends with tasks of its own pending; in older versions asyncio would tell of them in the notebook."""
    from ipykernel.kernelapp import IPKernelApp

    thread = getattr(IPKernelApp.instance(), "control_thread", None)
    loop = getattr(getattr(thread, "io_loop", None), "asyncio_loop", None)
    for task in asyncio.all_tasks(loop) - _tasks_of_notebook(loop) if loop is not None else ():
        task._log_destroy_pending = False


def _tasks_of_notebook(loop: Any) -> Any:
    """Pending tasks but those of ipykernel: cancelled, the one that ends the kernel would tell of it as of a failure.

    A task is of who wrote its coroutine.
    """
    import ipykernel
    import zmq

    ours = tuple(folder + os.sep for one in (ipykernel, zmq) for folder in one.__path__)
    return {task for task in asyncio.all_tasks(loop) if not _file_of(task.get_coro()).startswith(ours)}


def _file_of(coroutine: Any) -> str:
    """Where it is written; one that is not written in Python (Cython's) is nowhere."""
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    return getattr(code, "co_filename", "")
