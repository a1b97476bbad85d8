"""The sockets of a kernel in an event loop: every message is taken once, checked, and nothing holds up the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from nbflow.kernels.wire import Client, Line, unpacker

KEY = b"a key"


def talk(conversation: Callable[[Any, Any], Coroutine[Any, Any, None]]) -> None:
    """Run a conversation between two sockets in a loop of its own."""

    async def held() -> None:
        context = zmq.Context()
        left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        right.bind("inproc://line")
        left.connect("inproc://line")
        try:
            await asyncio.wait_for(conversation(left, right), 20)
        finally:
            context.destroy(linger=0)

    asyncio.run(held())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def numbered(frames: Any) -> dict[str, Any]:
    return {"number": int(frames[0])}


def test_all_messages_are_taken_in_order_while_the_loop_goes_on() -> None:
    taken: list[int] = []
    turns = 0

    async def conversation(left: Any, right: Any) -> None:
        nonlocal turns
        for number in range(500):
            left.send(str(number).encode())
        line = Line(right, numbered, lambda message: taken.append(message["number"]), pytest.fail)
        while len(taken) < 500:
            turns += 1
            await asyncio.sleep(0)
        left.send(b"500")
        await until(lambda: len(taken) == 501)
        line.close()

    talk(conversation)
    assert taken == list(range(501))
    assert turns > 10


def test_a_message_that_came_unnoticed_is_found_by_looking() -> None:
    taken: list[int] = []

    async def conversation(left: Any, right: Any) -> None:
        line = Line(right, numbered, lambda message: taken.append(message["number"]), pytest.fail)
        await asyncio.sleep(0)
        left.send(b"1")
        right.getsockopt(zmq.EVENTS)  # as a send does: ZMQ's only notice is gone
        line.look()
        await until(lambda: taken == [1])
        line.close()

    talk(conversation)


def test_draining_takes_the_rest_at_once_and_closing_leaves_it() -> None:
    taken: list[int] = []

    async def conversation(left: Any, right: Any) -> None:
        line = Line(right, numbered, lambda message: taken.append(message["number"]), pytest.fail)
        for number in range(50):
            left.send(str(number).encode())
        line.drain()
        assert taken == list(range(50))
        left.send(b"50")
        line.look()
        await asyncio.sleep(0.01)
        line.drain()
        line.close()
        assert taken == list(range(50))

    talk(conversation)


def test_what_the_taker_raises_ends_the_reading_and_is_told() -> None:
    taken: list[int] = []
    failures: list[Exception] = []

    def take(message: dict[str, Any]) -> None:
        taken.append(message["number"])
        raise OSError("no room")

    async def conversation(left: Any, right: Any) -> None:
        Line(right, numbered, take, failures.append)
        left.send(b"1")
        left.send(b"2")
        await until(lambda: bool(failures))
        await asyncio.sleep(0.01)

    talk(conversation)
    assert taken == [1]
    assert str(failures[0]) == "no room"


def test_messages_are_unpacked_and_their_signature_is_checked() -> None:
    ours, theirs = Session(key=KEY), Session(key=b"another")
    unpack = unpacker(ours)
    message = ours.msg("stream", {"name": "stdout", "text": "é"}, parent=ours.msg("execute_request", {}))
    found = unpack(ours.serialize(message))
    assert found is not None
    assert found["msg_type"] == found["header"]["msg_type"] == "stream"
    assert found["content"] == {"name": "stdout", "text": "é"}
    assert found["parent_header"]["msg_type"] == "execute_request"
    assert found["buffers"] == []
    assert unpack([b"topic", *ours.serialize(message), b"raw"])["buffers"] == [b"raw"]  # type: ignore[index]
    assert unpack(theirs.serialize(message)) is None


@pytest.mark.parametrize(
    "content",
    [b"[1]", b"{", b"\xff", b"null", b'"text"', b"[" * 100_000],
    ids=["list", "cut", "bytes", "null", "text", "deep"],
)
def test_what_is_no_message_is_left_out(content: bytes) -> None:
    session = Session(key=KEY)
    parts = [*session.serialize(session.msg("stream", {}))[2:5], content]
    assert unpacker(session)([b"<IDS|MSG>", session.sign(parts), *parts]) is None
    assert unpacker(session)([b"<IDS|MSG>", session.sign([b"{}"]), b"{}"]) is None
    assert unpacker(session)([b"no message"]) is None


def test_the_client_tells_of_what_it_has_sent(tmp_path: Path) -> None:
    sent: list[str] = []
    context = zmq.Context()
    info = {"transport": "ipc", "ip": str(tmp_path / "k"), "key": KEY, "signature_scheme": "hmac-sha256"}
    info |= {f"{name}_port": port for port, name in enumerate(("shell", "iopub", "stdin", "hb", "control"))}
    client = Client(context, info)
    with context.socket(zmq.ROUTER) as kernel:
        kernel.bind(f"ipc://{tmp_path / 'k'}-0")
        client.start_channels(stdin=False, hb=False, control=False)
        client.shell_channel.sent = lambda: sent.append("one")
        client.execute("x = 1")
        frames = kernel.recv_multipart()
        assert json.loads(frames[-1])["code"] == "x = 1"
        client.stop_channels()
    context.destroy(linger=0)
    assert sent == ["one"]
