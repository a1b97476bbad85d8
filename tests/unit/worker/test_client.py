"""The conversation with a kernel, without one: messages are put in, records and settled cells come out."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nbformat import NotebookNode

from nbflow.worker import client as cl
from nbflow.worker.client import JournalClient, Pending
from nbflow.worker.recorder import Recorder
from support.attempts import code


class Kept:
    """A journal that only keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, kind: str, **body: Any) -> None:
        self.records.append({"type": kind, **body})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] == kind]


class Talk:
    """A client whose kernel is this test."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.sent: list[str] = []
        kernel: Any = SimpleNamespace(
            spec=SimpleNamespace(runs_ipykernel=False), folder="", last_words=lambda: "it choked\non it"
        )
        self.client = JournalClient(NotebookNode(cells=[]), kernel, Recorder(self.kept))  # type: ignore[arg-type]
        self.client.kc = SimpleNamespace(
            execute=self._execute, kernel_info=lambda: "question", session=None, shell_channel=None
        )

    def _execute(self, source: str, **options: Any) -> str:
        self.sent.append(source)
        return f"m{len(self.sent)}"

    def begin(self, index: int, *tags: str) -> Pending:
        return self.client.begin(index, code("x", *tags))

    def hear(self, kind: str, parent: str = "m1", **content: Any) -> None:
        message = {"header": {"msg_type": kind}, "msg_type": kind, "parent_header": {"msg_id": parent}}
        self.client._take_output({**message, "content": content, "buffers": content.pop("buffers", [])})

    def reply(self, parent: str = "m1", kind: str = "execute_reply", **content: Any) -> None:
        self.client._take_reply(
            {"header": {"msg_type": kind}, "parent_header": {"msg_id": parent}, "content": {"status": "ok", **content}}
        )

    def idle(self, parent: str = "m1") -> None:
        self.hear("status", parent, execution_state="idle")


async def turn() -> None:
    """Let tasks and callbacks run."""
    for _ in range(3):
        await asyncio.sleep(0)


def talk(conversation: Any) -> None:
    """Run a conversation in a loop of its own."""

    async def held() -> None:
        await conversation(Talk())

    asyncio.run(held())


@pytest.mark.parametrize("first", ["reply", "idle"])
def test_a_cell_is_settled_by_its_reply_and_its_idle_in_any_order(first: str) -> None:
    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        calls = [one.reply, one.idle] if first == "reply" else [one.idle, one.reply]
        calls[0]()
        await turn()
        assert not pending.settled.done()
        calls[1]()
        await turn()
        assert pending.settled.done()
        assert pending.reply == {"status": "ok"}
        assert not pending.cut

    talk(conversation)


def test_an_idle_that_never_comes_is_waited_for_as_long_as_there_is_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cl, "_SILENCE", 0.05)

    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        one.reply()
        for _ in range(4):
            await asyncio.sleep(0.03)
            assert not pending.settled.done()
            one.hear("stream", name="stdout", text="more")
        await asyncio.wait_for(pending.settled, 5)
        assert pending.cut

    talk(conversation)


def test_a_cell_runs_once_the_kernel_says_more_than_that_it_is_busy() -> None:
    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        one.hear("status", execution_state="busy")
        assert not pending.running.done()
        one.hear("execute_input", code="x", execution_count=1)
        one.hear("stream", name="stdout", text="on")
        assert pending.running.done()

    talk(conversation)


@pytest.mark.parametrize(
    ("interrupted", "ename", "said"),
    [(True, "KeyboardInterrupt", ""), (False, "NoReply", "without a reply; it said last: it choked on it")],
)
def test_a_kernel_that_answers_the_next_question_has_no_reply(
    monkeypatch: pytest.MonkeyPatch, interrupted: bool, ename: str, said: str
) -> None:
    monkeypatch.setattr(cl, "_LATE_REPLY", 0.02)

    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        one.idle()
        if interrupted:
            pending.interrupt()
        await asyncio.sleep(0.1)
        assert not pending.settled.done()
        one.reply("question", "kernel_info_reply")
        await asyncio.wait_for(pending.settled, 5)
        assert pending.reply is not None
        assert pending.reply["ename"] == ename
        assert said in pending.reply["evalue"]

    talk(conversation)


def test_a_kernel_that_says_that_it_restarts_has_hung_up() -> None:
    async def conversation(one: Talk) -> None:
        one.begin(0)
        one.hear("status", execution_state="busy")
        assert not one.client.hung_up.done()
        one.hear("status", "of nobody", execution_state="restarting")
        assert one.client.hung_up.done()

    talk(conversation)


def test_a_kernel_that_answers_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cl, "_LATE_REPLY", 0.02)
    monkeypatch.setattr(cl, "_SILENCE", 0.02)

    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        one.idle()
        await asyncio.wait_for(pending.settled, 5)
        assert pending.reply is not None
        assert pending.reply["ename"] == "NoReply"

    talk(conversation)


def test_a_reply_that_comes_after_the_end_of_the_output_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        one.idle()
        pending.interrupt()
        await turn()
        one.reply(status="ok")
        await asyncio.wait_for(pending.settled, 5)
        assert pending.reply == {"status": "ok"}

    talk(conversation)


def test_output_belongs_to_the_cell_that_asked_for_it() -> None:
    async def conversation(one: Talk) -> None:
        one.hear("stream", "m1", name="stdout", text="before any cell")
        one.begin(4)
        one.begin(7)
        one.hear("stream", "m1", name="stdout", text="late")
        one.hear("stream", "m2", name="stdout", text="now")
        one.hear("stream", "elsewhere", name="stdout", text="said by nobody")
        one.idle("elsewhere")
        found = [(record["cell"], record["output"]["text"]) for record in one.kept.of("output")]
        assert found == [(4, "late"), (7, "now"), (7, "said by nobody")]

    talk(conversation)


def test_numbers_displays_and_clears_are_recorded() -> None:
    async def conversation(one: Talk) -> None:
        one.begin(0)
        one.hear("execute_input", code="x", execution_count=3)
        one.hear("display_data", data={"text/plain": "a"}, metadata={}, transient={"display_id": "d"})
        one.hear("update_display_data", data={"text/plain": "b"}, metadata={}, transient={"display_id": "d"})
        one.hear("clear_output", wait=True)
        one.hear("execute_result", data={}, metadata={}, execution_count=3, transient=None)
        kinds = [record["type"] for record in one.kept.records]
        assert kinds == ["count", "output", "update", "clear", "output"]
        assert one.kept.records[0]["count"] == 3
        assert one.kept.records[1]["display"] == "d"

    talk(conversation)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("stream", {"name": "stdout"}),
        ("display_data", {"data": "no mapping"}),
        ("comm_open", {"comm_id": "c", "data": {"state": 3}}),
        ("error", {"ename": 1}),
    ],
)
def test_a_message_that_makes_no_sense_is_noted_and_the_next_one_heard(kind: str, content: dict[str, Any]) -> None:
    async def conversation(one: Talk) -> None:
        pending = one.begin(0)
        one.hear(kind, **content)
        one.hear("stream", name="stdout", text="on")
        one.idle()
        one.reply()
        assert f"a message of type '{kind}' was left out" in one.kept.of("warning")[0]["text"]
        assert [record["output"]["text"] for record in one.kept.of("output")] == ["on"]
        assert pending.settled.done()

    talk(conversation)


def test_messages_of_unknown_types_are_none_of_our_business() -> None:
    async def conversation(one: Talk) -> None:
        one.begin(0)
        one.hear("debug_event", event="stopped")
        one.hear("invented_later", text="x")
        assert one.kept.records == []

    talk(conversation)


def test_widgets_are_recorded_and_echoes_are_not() -> None:
    async def conversation(one: Talk) -> None:
        one.begin(0)
        state = {"_model_name": "IntSliderModel", "_model_module": "@jupyter-widgets/controls", "value": 1}
        one.hear("comm_open", comm_id="c", target_name="jupyter.widget", data={"state": state})
        one.hear("comm_msg", comm_id="c", data={"method": "echo_update", "state": {"value": 1}})
        data = {"method": "update", "state": {"value": 2}, "buffer_paths": [["pixels"]]}
        one.hear("comm_msg", comm_id="c", data=data, buffers=[b"hi"])
        one.hear("comm_msg", comm_id="c", data={"method": "custom"})
        first, second = one.kept.of("widget")
        assert (first["state"]["value"], second["state"]) == (1, {"value": 2})
        assert second["buffers"] == [{"data": "aGk=", "encoding": "base64", "path": ["pixels"]}]

    talk(conversation)


def test_an_output_widget_captures_what_its_cell_shows() -> None:
    async def conversation(one: Talk) -> None:
        sent: list[Any] = []
        one.client.kc.session = SimpleNamespace(msg=lambda *arguments, **fields: fields)
        one.client.kc.shell_channel = SimpleNamespace(send=sent.append)
        one.begin(0)
        state = {"_model_name": "OutputModel", "_model_module": "@jupyter-widgets/output", "outputs": [], "msg_id": ""}
        one.hear("comm_open", comm_id="o", target_name="jupyter.widget", data={"state": state})
        one.hear("comm_msg", comm_id="o", data={"method": "update", "state": {"msg_id": "m1"}})
        one.hear("stream", name="stdout", text="inside")
        one.hear("clear_output", wait=True)
        one.hear("comm_msg", comm_id="o", data={"method": "update", "state": {"msg_id": ""}})
        one.hear("stream", name="stdout", text="outside")
        assert [record["output"]["text"] for record in one.kept.of("widget_output")] == ["inside"]
        assert [record["comm"] for record in one.kept.of("widget_clear")] == ["o"]
        assert [record["output"]["text"] for record in one.kept.of("output")] == ["outside"]
        assert sent == []
        one.idle()
        assert len(sent) == 1
        assert one.kept.of("warning") == []

    talk(conversation)


def test_the_kernel_is_ready_when_it_answers_and_is_heard() -> None:
    async def conversation(one: Talk) -> None:
        asked: list[bool] = []
        one.client.kc.kernel_info = lambda: asked.append(True)
        waiting = asyncio.ensure_future(one.client.ready())
        await turn()
        assert not one.client.is_ready
        one.reply("info", "kernel_info_reply", implementation="x", language_info={"name": "python"})
        await turn()
        assert not waiting.done()
        one.hear("status", "info", execution_state="idle")
        await asyncio.wait_for(waiting, 5)
        assert one.client.is_ready
        assert one.kept.of("kernel_ready")[0]["info"] == {"implementation": "x", "language_info": {"name": "python"}}
        assert asked

    talk(conversation)


def test_a_kernel_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cl, "_ASK_AGAIN", 0.01)

    async def conversation(one: Talk) -> None:
        asked = asyncio.Event()
        times = iter(range(100))
        one.client.kc.kernel_info = lambda: asked.set() if next(times) == 2 else None
        waiting = asyncio.ensure_future(one.client.ready())
        await asyncio.wait_for(asked.wait(), 5)
        waiting.cancel()

    talk(conversation)


def test_cells_that_may_raise_do_not_stop_the_kernels_queue() -> None:
    async def conversation(one: Talk) -> None:
        options: list[dict[str, Any]] = []
        one.client.kc.execute = lambda source, **found: options.append(found) or "m"
        one.begin(0)
        one.begin(1, "raises-exception")
        assert [found["stop_on_error"] for found in options] == [True, False]
        assert all(found["allow_stdin"] is False for found in options)

    talk(conversation)
