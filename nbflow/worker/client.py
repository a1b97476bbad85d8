"""The conversation with a kernel: cells go out, replies and output come back and are recorded.

Builds on nbclient, which knows the messages and plays the Output widget; unlike nbclient it keeps no notebook, reads
all messages for as long as the kernel lives, and gives late output to the cell that it belongs to. Must not know
limits of time, nor what a reply means for the attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import zmq
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat import from_dict

from nbflow.kernels import prelude
from nbflow.kernels.leaving import Leaving, Left
from nbflow.kernels.process import Kernel
from nbflow.kernels.wire import Line, unpacker
from nbflow.worker.captures import Captures, Capturing
from nbflow.worker.journal import JournalError
from nbflow.worker.recorder import Recorder
from nbflow.worker.snapshot import RAISES, has_tag

_ASK_AGAIN = 0.5
"""Seconds after which a kernel that has not answered is asked once more; the first message may have been too early."""
_SILENCE = 60.0
"""Seconds without any output after a reply, and without the message that ends the cell: it must have been lost."""
_LATE_REPLY = 0.5
"""Seconds that a reply may come after the end of its cell's output before the kernel is asked whether it is there."""
_INTERRUPTED = {"status": "error", "ename": "KeyboardInterrupt", "evalue": ""}
_HANG_UP = 0.5
"""Seconds for the sockets of a dead kernel to be closed; longer only where a process it forked still holds them."""
_REST = 0.3
"""Seconds without a message after which the recorder writes what it had put off."""
_OUTPUTS = frozenset({"stream", "display_data", "execute_result", "error"})


@dataclass(slots=True)
class Pending:
    """A cell that has been sent. Belongs to the running event loop.

    `running` is done when the kernel is at it, `interrupted` once it was interrupted, `settled` when its reply and all
    its output are there, or it is hopeless. `sent` is the instant of sending, in monotonic seconds.
    """

    index: int
    running: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    interrupted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    settled: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    sent: float = field(default_factory=time.monotonic)
    reply: Mapping[str, Any] | None = None
    idle: bool = False
    cut: bool = False
    watcher: asyncio.Task[None] | None = None

    def run(self) -> None:
        """The kernel is at it."""
        if not self.running.done():
            self.running.set_result(None)

    def interrupt(self) -> None:
        """It was interrupted."""
        if not self.interrupted.done():
            self.interrupted.set_result(None)

    def settle(self) -> None:
        """There is nothing more to wait for."""
        if not self.settled.done():
            self.settled.set_result(None)


@dataclass(slots=True)
class _Traffic:
    """What is known of the messages so far."""

    cells: dict[str, int] = field(default_factory=dict)
    last: int | None = None
    heard: int = 0


class JournalClient(NotebookClient):
    """nbclient's client, writing to a recorder.

    `broken` fails with the first error that ended the reading. `hung_up` is done once the kernel has closed its
    sockets, or has said that it restarts: it knows nothing of what was sent to it any more.
    """

    def __init__(self, notebook: Any, kernel: Kernel, recorder: Recorder) -> None:
        super().__init__(notebook, record_timing=False, store_widget_state=False)
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": Capturing}}
        self.captures = Captures()
        self.recorder = recorder
        self.kernel = kernel
        loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = loop.create_future()
        self.hung_up: asyncio.Future[None] = loop.create_future()
        self._traffic = _Traffic()
        self._pending: dict[str, Pending] = {}
        self._info: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self._leaving: Leaving | None = None
        self._questions: dict[str, asyncio.Future[None]] = {}
        self._listening = asyncio.Event()
        self._preluded: str | None = None
        self._prepared: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self._lines: list[Line] = []
        self._at_rest: asyncio.TimerHandle | None = None
        self._drained = False
        self.kc: Any = None

    def open(self) -> None:
        """Connect to the kernel and begin to read what it says."""
        self.kc = self.kernel.connect()
        unpack = unpacker(self.kc.session)
        shell, iopub = self.kc.shell_channel, self.kc.iopub_channel.socket
        gone = iopub.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._lines = [
            Line(shell.socket, unpack, self._take_reply, self._break),
            Line(iopub, unpack, self._take_output, self._break),
            Line(gone, lambda _: {}, self._note_hang_up, self._break),
        ]
        shell.sent = self._lines[0].look

    @property
    def is_ready(self) -> bool:
        """True once the kernel has answered."""
        return self._info.done()

    async def ready(self) -> None:
        """Wait until the kernel answers and its output arrives. Has no limit of its own."""
        while not (self._info.done() and self._listening.is_set()):
            self.kc.kernel_info()
            try:
                async with asyncio.timeout(_ASK_AGAIN):
                    await asyncio.shield(self._info)
                    await self._listening.wait()
            except TimeoutError:
                continue
        self.recorder.kernel_ready(self._info.result())
        if self.kernel.spec.runs_ipykernel and not self.kernel.is_forked:
            await self._prepare_kernel()
        self._leaving = Leaving(self.kernel.folder)
        if source := self._leaving.prelude(self._info.result().get("implementation")):
            self.kc.execute(source, silent=True, store_history=False, allow_stdin=False)

    def left(self) -> Left | None:
        """Whether the notebook has ended itself in a way that its kernel does not tell. Ask it after each cell."""
        return self._leaving.left() if self._leaving is not None else None

    async def _prepare_kernel(self) -> None:
        """Have an IPython kernel run the prelude, which leaves no trace in it."""
        self._preluded = self.kc.execute(_prelude(), silent=True, store_history=False, allow_stdin=False)
        reply = await asyncio.shield(self._prepared)
        if reply.get("status") != "ok":
            self.recorder.warn(f"the kernel could not be prepared for long output: {reply.get('evalue')}"[:500])

    def begin(self, index: int, cell: Mapping[str, Any]) -> Pending:
        """Send a cell. Its outcome is in the returned object once that is settled."""
        self.captures.sync()
        pending = Pending(index)
        message = self.kc.execute(
            cell["source"], store_history=True, allow_stdin=False, stop_on_error=not has_tag(cell, RAISES)
        )
        self._pending[message] = pending
        self._traffic.cells[message] = self._traffic.last = index
        return pending

    async def ask_to_end(self) -> None:
        """Ask the kernel to end in good order. Only while no cell runs."""
        if self.kernel.spec.runs_ipykernel:
            self.kernel.note_group()  # ipykernel itself ends what is left in it
            # Asked by the control channel, ipykernel answers in another thread than the one that ends: now and then
            # the two wait for each other, for ten seconds.
            self.kc.shell_channel.send(self.kc.session.msg("shutdown_request", {"restart": False}))
        else:
            await self.kernel.ask_to_end()

    async def drain(self) -> None:
        """Take in all that a kernel said before it ended. Only for one that has ended; settles what has a reply."""
        if self._drained:
            return
        self._drained = True
        await asyncio.wait({self.hung_up}, timeout=_HANG_UP)
        for line in self._lines:
            line.drain()
        for pending in self._pending.values():
            if pending.reply is not None:
                pending.settle()

    async def aclose(self) -> None:
        """Stop reading and close the sockets."""
        if self.kc is None:
            return
        if self._at_rest is not None:
            self._at_rest.cancel()
        self.captures.close()
        for line in self._lines:
            line.close()
        for pending in self._pending.values():
            if pending.watcher is not None:
                pending.watcher.cancel()
        socket = self.kc.iopub_channel.socket
        if socket is not None:
            socket.disable_monitor()
        self.kc.stop_channels()
        self.kc = None

    def _note_hang_up(self, _: Mapping[str, Any]) -> None:
        if not self.hung_up.done():
            self.hung_up.set_result(None)

    def _break(self, error: Exception) -> None:
        """What was said cannot be recorded."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def _rest(self, heard: int) -> None:
        """Have the recorder write what it had put off, once the kernel says nothing for a while."""
        self._at_rest = None
        if heard != self._traffic.heard:
            self._rest_later()
            return
        try:
            if self.recorder.flush(at_end=False):
                self._rest_later()
        except JournalError as error:
            self._break(error)

    def _rest_later(self) -> None:
        if self._at_rest is None:
            self._at_rest = asyncio.get_running_loop().call_later(_REST, self._rest, self._traffic.heard)

    def _take_reply(self, message: Mapping[str, Any]) -> None:
        kind = message["header"]["msg_type"]
        if kind == "kernel_info_reply" and not self._info.done():
            self._info.set_result(message["content"])
        parent = message["parent_header"].get("msg_id", "")
        if (question := self._questions.get(parent)) is not None and not question.done():
            question.set_result(None)
        if kind == "execute_reply" and parent == self._preluded and not self._prepared.done():
            self._prepared.set_result(message["content"])
        pending = self._pending.get(parent)
        if kind == "execute_reply" and pending is not None:
            pending.reply = message["content"]
            if pending.idle:
                pending.settle()
            elif pending.watcher is None:
                pending.watcher = asyncio.create_task(self._await_idle(pending))

    async def _await_idle(self, pending: Pending) -> None:
        """The end of a cell's output comes after its reply. As long as there is output at all, it is waited for."""
        heard = -1
        while heard != self._traffic.heard:
            heard = self._traffic.heard
            await asyncio.wait({pending.settled}, timeout=_SILENCE)
            if pending.settled.done():
                return
        pending.cut = True
        pending.settle()

    def _note_idle(self, pending: Pending) -> None:
        pending.idle = True
        self.captures.sync()
        if pending.reply is not None:
            pending.settle()
        elif pending.watcher is None:
            pending.watcher = asyncio.create_task(self._await_reply(pending))

    async def _await_reply(self, pending: Pending) -> None:
        """A reply may come after the end of its cell's output, or never: of a cell that was interrupted before its
        first line, or that the kernel choked on. Then the kernel answers what it is asked after the cell.
        """
        await asyncio.wait({pending.settled}, timeout=_LATE_REPLY)
        if not pending.settled.done():
            answered = self._questions[self.kc.kernel_info()] = asyncio.get_running_loop().create_future()
            await asyncio.wait({pending.settled, answered}, timeout=_SILENCE, return_when=asyncio.FIRST_COMPLETED)
        if not pending.settled.done():
            pending.reply = _INTERRUPTED if pending.interrupted.done() else _no_reply(self.kernel.last_words())
            pending.settle()

    def _take_output(self, message: dict[str, Any]) -> None:
        """Record one message of the kernel; what cannot be understood is noted and left out."""
        self._traffic.heard += 1
        self._rest_later()
        self._listening.set()
        parent = message["parent_header"].get("msg_id", "")
        kind = message["header"]["msg_type"]
        if message["content"].get("execution_state") == "restarting" and not self.hung_up.done():
            self.hung_up.set_result(None)
        index = self._traffic.cells.get(parent)
        if index is None and kind in _OUTPUTS:
            index = self._traffic.last  # said by nobody's request: threads, exit handlers
        if index is None:
            return
        if kind != "status" and parent in self._pending:
            self._pending[parent].run()
        try:
            self.process_message(message, from_dict({"outputs": [], "metadata": {}}), index)  # type: ignore[no-untyped-call]
        except CellExecutionComplete:
            if parent in self._pending:
                self._note_idle(self._pending[parent])
        except JournalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a kernel sends, the attempt has to go on
            self.recorder.warn(f"a message of type {kind!r} was left out: {error}"[:500])

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> None:
        """As nbclient's; the number of an execution is recorded too."""
        if msg["msg_type"] == "execute_input" and isinstance(msg["content"].get("execution_count"), int):
            self.recorder.count(cell_index, msg["content"]["execution_count"])
        super().process_message(msg, cell, cell_index)

    def output(
        self,
        outs: Any,  # noqa: ARG002 - nbclient's signature
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
    ) -> None:
        """Record an output, for the Output widget that captures it or for the cell."""
        kind, content = msg["msg_type"], msg["content"]
        if kind not in _OUTPUTS:
            return
        widget = self._capturing(msg)
        if widget is not None and self.captures.has_room(widget, kind, content):
            self.recorder.captured(cell_index, kind, content, widget=widget.comm_id)
            widget.take(msg)
        else:
            self.recorder.output(cell_index, kind, content, display_id)

    def clear_output(self, outs: Any, msg: dict[str, Any], cell_index: int) -> None:  # noqa: ARG002 - nbclient's
        """Record that outputs are cleared."""
        wait = bool(msg["content"].get("wait"))
        if (widget := self._capturing(msg)) is not None:
            self.captures.clear(widget)
            self.recorder.clear(cell_index, wait=wait, widget=widget.comm_id)
            widget.let_go(msg)
        else:
            self.recorder.clear(cell_index, wait=wait)

    def _capturing(self, msg: Mapping[str, Any]) -> Capturing | None:
        """The Output widget that captures what answers the same request as a message."""
        hooks = self.output_hook_stack.get(msg["parent_header"].get("msg_id"))
        return cast("Capturing", hooks[-1]) if hooks else None

    def handle_comm_msg(self, outs: Any, msg: dict[str, Any], cell_index: int) -> None:
        """Record a widget's state, as nbclient keeps it; an echo only repeats what this side has sent."""
        super().handle_comm_msg(outs, msg, cell_index)
        content = msg["content"]
        data = content["data"]
        if "state" in data and data.get("method") != "echo_update":
            buffers = self._get_buffer_data(msg) if data.get("buffer_paths") else []
            self.recorder.widget(content["comm_id"], data["state"], buffers)

    def _update_display_id(self, display_id: str, msg: dict[str, Any]) -> None:
        self.recorder.update(display_id, msg["content"])


@cache
def _prelude() -> str:
    """The source of the prelude as one line of code that leaves no name behind."""
    source = Path(prelude.__file__).read_text("utf-8") + "\nprepare()\n"
    return f"__import__('builtins').exec(compile({source!r}, '<nbflow>', 'exec'), {{'__name__': 'nbflow_prelude'}})"


def _no_reply(words: str) -> Mapping[str, str]:
    """The reply that stands for one that never comes. What the kernel writes to its stderr ends with the reason."""
    said = f"; it said last: {' '.join(words.splitlines()[-3:])}" if words else ""
    return {"status": "error", "ename": "NoReply", "evalue": f"the kernel ended the cell without a reply{said}"}
