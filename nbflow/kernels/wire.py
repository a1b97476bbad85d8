"""The sockets of one kernel in an event loop: what comes is checked, unpacked and handed on, a few messages at a time.

jupyter_client makes the sockets and sends; its reading costs several futures and a parsed date for each message, which
for small cells is most of the work. Must not know what the messages mean.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.channels import ZMQSocketChannel

_AT_ONCE = 16
"""Messages that are taken before the event loop may look at something else: a flood must not stop its clocks."""

Message = dict[str, Any]


class Line:
    """One socket that is read in the running event loop: each message goes to `take`.

    What `take` raises goes to `fail`, and ends the reading.
    """

    def __init__(
        self,
        socket: Any,
        unpack: Callable[[Sequence[bytes]], Message | None],
        take: Callable[[Message], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._socket = socket
        self._unpack = unpack
        self._take = take
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = socket.getsockopt(zmq.FD)
        self._loop.add_reader(self._descriptor, self._look)
        self.look()

    def look(self) -> None:
        """Look for messages soon. ZMQ tells of one once only, perhaps while something else was done with its socket."""
        if self._descriptor is not None:
            self._loop.call_soon(self._look)

    def drain(self) -> None:
        """Take all that is there, now, and stop reading."""
        while self._descriptor is not None and self._next():
            continue
        self.close()

    def close(self) -> None:
        """Stop reading; what is there stays there."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None

    def _look(self) -> None:
        for _ in range(_AT_ONCE):
            if self._descriptor is None or not self._next():
                return
        self.look()

    def _next(self) -> bool:
        """Take one message; False where there is none."""
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        try:
            message = self._unpack(frames)
            if message is not None:
                self._take(message)
        except Exception as error:  # noqa: BLE001 - the one who listens decides what it means
            self.close()
            self._fail(error)
        return True


class Channel(ZMQSocketChannel):
    """jupyter_client's channel; `sent` is called after each message that was sent by it."""

    sent: Callable[[], None] = staticmethod(lambda: None)

    def send(self, msg: Mapping[str, Any]) -> None:
        """Send a message."""
        super().send(dict(msg))
        self.sent()


class Client(BlockingKernelClient):
    """jupyter_client's client with channels of ours, of which nobody reads but a Line."""

    def __init__(self, context: Any, info: Mapping[str, Any]) -> None:
        super().__init__(context=context)
        self.shell_channel_class = Channel
        found: Any = dict(info)
        self.load_connection_info(found)


def unpacker(session: Any) -> Callable[[Sequence[bytes]], Message | None]:
    """What makes a message of its frames; None for one that is not from this kernel, or for no message at all."""

    def unpack(frames: Sequence[bytes]) -> Message | None:
        try:
            _, parts = session.feed_identities(frames)
            signature, signed = parts[0], parts[1:5]
            if session.auth is not None and not hmac.compare_digest(signature, session.sign(signed)):
                return None
            header, parent, metadata, content = (json.loads(part) for part in signed)
            return {
                "header": header,
                "msg_id": header["msg_id"],
                "msg_type": header["msg_type"],
                "parent_header": {**parent},
                "metadata": metadata,
                "content": {**content},
                "buffers": [memoryview(part) for part in parts[5:]],
            }
        except (ValueError, LookupError, TypeError, RecursionError):
            return None

    return unpack
