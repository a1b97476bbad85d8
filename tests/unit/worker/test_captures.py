"""Output widgets capture within bounds, and tell the kernel seldom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from nbflow.worker import captures as cp
from nbflow.worker.captures import Captures, Capturing


class Bench:
    """A widget whose kernel is this test."""

    def __init__(self) -> None:
        self.captures = Captures()
        self.sent: list[list[Any]] = []
        session = SimpleNamespace(msg=lambda _, content, **__: content["data"]["state"]["outputs"])
        kc: Any = SimpleNamespace(session=session, shell_channel=SimpleNamespace(send=self.sent.append))
        self.widget = Capturing("w", {"outputs": []}, kc, SimpleNamespace(captures=self.captures))

    def show(self, kind: str = "display_data", **content: Any) -> bool:
        content = content or {"data": {"text/plain": "x"}, "metadata": {}}
        if not self.captures.has_room(self.widget, kind, content):
            return False
        message = {"header": {"msg_type": kind}, "parent_header": {}, "content": content}
        self.widget.take(message)
        return True

    def clear(self, *, wait: bool) -> None:
        self.captures.clear(self.widget)
        self.widget.let_go({"parent_header": {}, "content": {"wait": wait}})


def test_texts_are_joined_and_clears_wait() -> None:
    async def use() -> None:
        bench = Bench()
        for text in ("a", "b"):
            bench.show("stream", name="stdout", text=text)
        bench.show("stream", name="stderr", text="c")
        bench.clear(wait=True)
        assert [output["text"] for output in bench.widget.outputs] == ["ab", "c"]
        bench.show("stream", name="stdout", text="d")
        assert [output["text"] for output in bench.widget.outputs] == ["d"]
        bench.clear(wait=False)
        bench.captures.sync()
        assert bench.sent == [[]]

    asyncio.run(use())


def test_the_kernel_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp, "_SYNC_AFTER", 0.01)

    async def use() -> None:
        bench = Bench()
        for _ in range(500):
            bench.show()
        assert bench.sent == []
        while not bench.sent:
            await asyncio.sleep(0.005)
        bench.show()
        bench.captures.sync()
        bench.captures.sync()
        assert [len(outputs) for outputs in bench.sent] == [500, 501]
        bench.show()
        bench.captures.close()
        await asyncio.sleep(0.05)
        assert len(bench.sent) == 2

    asyncio.run(use())


def test_there_is_room_for_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp, "MOST", 3)
    monkeypatch.setattr(cp, "CAPTURED", 1_000)
    monkeypatch.setattr(cp, "IN_ALL", 1_500)

    async def use() -> None:
        bench = Bench()
        assert [bench.show() for _ in range(5)] == [True] * 3 + [False] * 2
        bench.clear(wait=True)
        assert [bench.show("stream", name="stdout", text="x" * 100) for _ in range(9)] == [True] * 7 + [False] * 2
        other = Bench()
        other.captures = bench.captures
        other.widget.comm_id = "other"
        other.widget.executor = SimpleNamespace(captures=bench.captures)
        assert [other.show("stream", name="stdout", text="x" * 100) for _ in range(9)] == [True] * 4 + [False] * 5
        bench.clear(wait=False)
        assert other.show("stream", name="stdout", text="x" * 100)
        bench.captures.close()

    asyncio.run(use())
