"""What a kernel says, turned into records of the journal, within bounds.

Of a cell's text the head goes to the journal as it comes; beyond that only the tail is kept, in memory, until the
cell ends, so that a flood costs neither disk nor memory. Must not know sockets or limits of time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nbflow.core.attempt import CellState
from nbflow.kernels.memory import Mark
from nbflow.kernels.usage import Usage
from nbflow.worker import outputs
from nbflow.worker.journal import Journal, instant

HEAD = TAIL = 500_000
"""Characters of each stream of a cell that the notebook keeps from its beginning and from its end."""
PREVIEW = 2_000

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(slots=True)
class _Flood:
    """The text of one stream of one cell: how much of the head is written, and the tail so far."""

    written: int = 0
    tail: deque[str] = field(default_factory=deque)
    kept: int = 0
    omitted: int = 0

    def head(self, text: str) -> str:
        """The part of `text` that still belongs to the head; the rest goes to the tail."""
        room = max(0, HEAD - self.written)
        self.written += min(room, len(text))
        if len(text) > room:
            # A text that comes at once may be large: what is left out is not even copied.
            first = max(room, len(text) - TAIL)
            self.omitted += first - room
            self._keep(text[first:])
        return text[:room]

    def _keep(self, text: str) -> None:
        self.tail.append(text)
        self.kept += len(text)
        while self.kept > TAIL:
            first = self.tail.popleft()
            drop = min(len(first), self.kept - TAIL)
            if drop < len(first):
                self.tail.appendleft(first[drop:])
            self.kept -= drop
            self.omitted += drop

    def flush(self) -> tuple[str, int]:
        """The tail and how much is left out before it; both begin anew."""
        found = "".join(self.tail), self.omitted
        self.tail.clear()
        self.kept = self.omitted = 0
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Name and text of the last error that a cell showed; why a value that it wanted to hand on was refused."""

    shown: tuple[str, str] | None = None
    refused: str | None = None


class Recorder:
    """Writes what happens in an attempt to its journal. Raises JournalError where that fails."""

    def __init__(self, journal: Journal, *, heard: Callable[[int, str], None] | None = None) -> None:
        """`heard` is called with a cell's index and each piece of its text as it comes."""
        self._journal = journal
        self._heard = heard
        self._floods: dict[tuple[int, str], _Flood] = {}
        self._previews: dict[int, str] = {}
        self._displays: set[str] = set()
        self._values: dict[str, Any] = {}
        self._errors: dict[int, tuple[str, str]] = {}
        self._refused: dict[int, str] = {}

    def kernel_started(
        self, pid: int, runtime: str, *, forked: bool = False, reason: str | None = None, memory: Mark | None = None
    ) -> None:
        """A process runs; from here on there is something to clean up after a crash.

        `forked`: by a zygote; `reason` says why it was not. `memory` is what a lack of it will be told by.
        """
        mark = None if memory is None else asdict(memory)
        self._journal.append("kernel_started", pid=pid, runtime=runtime, forked=forked, reason=reason, memory=mark)

    def kernel_ready(self, info: Mapping[str, Any]) -> None:
        """The kernel answered; `info` is its kernel_info_reply."""
        known = {key: info[key] for key in ("implementation", "implementation_version", "language_info") if key in info}
        self._journal.append("kernel_ready", info=known)

    def cell_started(self, index: int) -> None:
        """A cell is about to be sent to the kernel."""
        self._journal.append("cell_started", cell=index, at=instant())

    def kernel_ended(self, used: Usage) -> None:
        """The process is gone; `used` is what it has used altogether."""
        self._journal.append("kernel_ended", **asdict(used))

    def cell_ended(
        self, index: int, state: CellState, duration: float | None = None, used: Usage | None = None
    ) -> None:
        """A cell has its end state. `duration` is in seconds; None, and `used` too, where it did not run."""
        self._flush(index)
        at = None if duration is None else instant()
        usage = {} if used is None else asdict(used)
        self._journal.append("cell_ended", cell=index, state=state.value, at=at, duration=duration, **usage)
        self._journal.sync_soon()

    def warn(self, text: str) -> None:
        """Something that people should know, and that changes no state."""
        self._journal.append("warning", text=text)

    def count(self, index: int, number: int) -> None:
        """The kernel has numbered the execution of a cell."""
        self._journal.append("count", cell=index, count=number)

    def output(self, index: int, kind: str, content: Mapping[str, Any], display_id: str | None = None) -> None:
        """One output of a cell, as the message `kind` (stream, display_data, execute_result, error) brings it."""
        if kind == "stream":
            self._text(index, str(content["name"]), str(content["text"]))
            return
        output = _output(kind, content)
        extra = {"display": display_id} if display_id else {}
        if display_id:
            self._displays.add(display_id)
        self._journal.append("output", cell=index, output=output, **extra)
        if kind == "error":
            self._errors[index] = (output["ename"], output["evalue"])
            self._preview(index, f"{output['ename']}: {output['evalue']}\n")
        else:
            self._preview(index, _text_of(output["data"]))
            self._hand_on(index, output["data"])

    def update(self, display_id: str, content: Mapping[str, Any]) -> None:
        """Displays that bear this id change; where there is none, nothing does."""
        if display_id in self._displays:
            shown = _output("display_data", content)
            self._journal.append("update", display=display_id, data=shown["data"], metadata=shown["metadata"])

    def clear(self, index: int, *, wait: bool, widget: str | None = None) -> None:
        """A cell's outputs go, or what an Output widget has captured; `wait`: when the next one comes."""
        if widget is not None:
            self._journal.append("widget_clear", comm=widget, wait=wait)
            return
        for key in [key for key in self._floods if key[0] == index]:
            del self._floods[key]
        self._previews.pop(index, None)
        self._errors.pop(index, None)
        self._journal.append("clear", cell=index, wait=wait)

    def widget(self, comm: str, state: Mapping[str, Any], buffers: list[dict[str, Any]]) -> None:
        """A part of a widget's state."""
        self._journal.append("widget", comm=comm, state=dict(state), buffers=buffers)

    def captured(self, index: int, kind: str, content: Mapping[str, Any], *, widget: str) -> None:
        """An output of a cell that an Output widget has captured."""
        output = _output(kind, content)
        self._journal.append("widget_output", comm=widget, output=output)
        self._hand_on(index, output.get("data", {}))

    def flush(self) -> None:
        """Write the tails of text that came after its cell had ended."""
        for index in sorted({index for index, _ in self._floods}):
            self._flush(index)

    def preview(self, index: int) -> str:
        """The end of a cell's text, without colours and control characters."""
        return _CONTROL.sub("", self._previews.get(index, ""))

    def faults(self, index: int) -> Faults:
        """What has gone wrong in a cell as far as its output tells."""
        return Faults(shown=self._errors.get(index), refused=self._refused.get(index))

    def _text(self, index: int, name: str, text: str) -> None:
        flood = self._floods.setdefault((index, name), _Flood())
        self._preview(index, text)
        if head := flood.head(text):
            self._journal.append("output", cell=index, output={"output_type": "stream", "name": name, "text": head})

    def _flush(self, index: int) -> None:
        for (cell, name), flood in self._floods.items():
            if cell == index and flood.kept:
                text, omitted = flood.flush()
                self._journal.append("tail", cell=index, name=name, text=text, omitted=omitted)

    def _preview(self, index: int, text: str) -> None:
        self._previews[index] = (self._previews.get(index, "") + text[-PREVIEW:])[-PREVIEW:]
        if self._heard is not None and text:
            self._heard(index, text)

    def _hand_on(self, index: int, data: Mapping[str, Any]) -> None:
        if outputs.MIME not in data:
            return
        try:
            name, value = outputs.read_output(data[outputs.MIME])
            outputs.check_room(self._values, name)
        except outputs.OutputError as error:
            self._refused.setdefault(index, str(error))
            self._text(index, "stderr", f"{error}\n")
            return
        self._values[name] = value
        self._journal.append("value", cell=index, name=name, value=value)


def _output(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """An output as nbformat has it. Raises ValueError for a message that is none."""
    match kind, content:
        case "stream", {"name": name, "text": text}:
            return {"output_type": kind, "name": str(name), "text": str(text)}
        case "error", {"ename": ename, "evalue": evalue, "traceback": list(lines)}:
            found = {"ename": str(ename), "evalue": str(evalue), "traceback": [str(line) for line in lines]}
            return {"output_type": kind, **found}
        case (("display_data" | "execute_result"), {"data": dict(data)}):
            output = {"output_type": kind, "data": data, "metadata": content.get("metadata") or {}}
            return output if kind == "display_data" else {**output, "execution_count": content.get("execution_count")}
        case _:
            raise ValueError(f"a message of type {kind[:40]!r} that is no output")


def _text_of(data: Mapping[str, Any]) -> str:
    text = data.get("text/plain", "")
    return f"{text}\n" if isinstance(text, str) else ""
