"""What a kernel says, turned into records of the journal, within bounds.

What is too long or too large for a notebook goes to files beside the journal. Must not know sockets or limits of time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nbflow.core.attempt import CellState
from nbflow.core.exceptions import exception_text
from nbflow.core.overwrite import collapse
from nbflow.kernels.memory import Mark
from nbflow.kernels.usage import Usage
from nbflow.worker import outputs
from nbflow.worker.displays import Displays
from nbflow.worker.journal import Journal, instant
from nbflow.worker.paced import Body, Cleared, Newest
from nbflow.worker.spool import Spools
from nbflow.worker.surplus import Surplus
from nbflow.worker.texts import Texts

PREVIEW = 2_000

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Name and text of the last error that a cell showed; why a value that it wanted to hand on was refused."""

    shown: tuple[str, str] | None = None
    refused: str | None = None


class Recorder:
    """Writes what happens in an attempt to its journal. Raises JournalError where that fails."""

    def __init__(
        self, journal: Journal, *, heard: Callable[[int, str], None] | None = None, spools: Spools | None = None
    ) -> None:
        """`heard` is called with a cell's index and each piece of its text as it comes.

        Without `spools`, what is too long or too large for the notebook is left out.
        """
        self._journal = journal
        self._heard = heard
        self._shown = Cleared(journal)
        self._texts = Texts(self._shown, spools)
        self._bounds = Displays(spools, self.warn)
        self._surplus = Surplus(self._shown, spools)
        self._updates = Newest(self._write_update)
        self._widgets = Newest(lambda comm, body: journal.append("widget", comm=comm, **body), _merged)
        self._handed = Newest(lambda name, body: journal.append("value", name=name, **body))
        self._clearing: set[int | str] = set()
        self._previews: dict[int, str] = {}
        self._values: dict[str, Any] = {}
        self._errors: dict[int, tuple[str, str]] = {}
        self._refused: dict[int, str] = {}

    def kernel_started(
        self,
        pid: int,
        runtime: str,
        *,
        forked: bool = False,
        reason: str | None = None,
        memory: Mark | None = None,
        session: Mapping[str, Any] | None = None,
    ) -> None:
        """A process runs; from here on there is something to clean up after a crash.

        `forked`: by a zygote; `reason` says why it was not. `memory` is what a lack of it will be told by, `session`
        what its session will be known by.
        """
        mark = None if memory is None else asdict(memory)
        how = {"forked": forked, "reason": reason}
        self._journal.append("kernel_started", pid=pid, runtime=runtime, **how, memory=mark, session=session)

    def kernel_ready(self, info: Mapping[str, Any]) -> None:
        """The kernel answered; `info` is its kernel_info_reply."""
        known = {key: info[key] for key in ("implementation", "implementation_version", "language_info") if key in info}
        self._journal.append("kernel_ready", info=known)

    def cell_started(self, index: int) -> None:
        """A cell is about to be sent to the kernel."""
        self._journal.append("cell_started", cell=index, at=instant())

    def cell_ended(
        self, index: int, state: CellState, duration: float | None = None, used: Usage | None = None
    ) -> None:
        """A cell has its end state. `duration` is in seconds; None, and `used` too, where it did not run."""
        self._texts.end(index)
        self._surplus.end(index)
        self._write_held()
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
        output = _output(kind, content)
        if index in self._clearing:
            self._clear(index, is_followed=True)
        if kind == "stream":
            self._text(index, output["name"], output["text"])
            return
        self._texts.interrupt(index)
        self._show(index, output, display_id)
        if kind == "error":
            self._errors[index] = (output["ename"], output["evalue"])
            self._preview(index, f"{exception_text(output['ename'], output['evalue'])}\n")
        else:
            self._preview(index, _text_of(output["data"]))
            self._hand_on(index, output["data"])

    def update(self, display_id: str, content: Mapping[str, Any]) -> None:
        """Displays that bear this id change; where there is none, nothing does."""
        if (found := self._bounds.update(display_id, _output("display_data", content))) is not None:
            shown, files = found
            body = {"data": shown["data"], "metadata": shown["metadata"]} | ({"files": files} if files else {})
            self._updates.add(display_id, body)

    def clear(self, index: int, *, wait: bool, widget: str | None = None) -> None:
        """A cell's outputs go, or what an Output widget has captured; `wait`: when the next one comes."""
        if not wait:
            self._clear(index if widget is None else widget, is_followed=False)
        elif widget is not None:
            self._clearing.add(widget)
            self._captures(widget, "widget_clear", wait=True)
        else:
            self._texts.write_tails(index)
            self._surplus.end(index)
            self._clearing.add(index)
            self._shown.append("clear", cell=index, wait=True)

    def widget(self, comm: str, state: Mapping[str, Any], buffers: list[dict[str, Any]]) -> None:
        """A part of a widget's state."""
        if self._bounds.takes_widget(comm, state, buffers):
            if "outputs" in state:
                self._shown.flush(comm)
            self._widgets.add(comm, {"state": dict(state), "buffers": buffers})

    def captured(self, index: int, kind: str, content: Mapping[str, Any], *, widget: str) -> None:
        """An output of a cell that an Output widget has captured."""
        output = _output(kind, content)
        if widget in self._clearing:
            self._clear(widget, is_followed=True)
        self._captures(widget, "widget_output", output=output)
        self._hand_on(index, output.get("data", {}))

    def flush(self, *, at_end: bool = True) -> bool:
        """Write what was put off: all of it `at_end` of the attempt, else what a crash could lose meanwhile.

        True where something is held still: more often is not to be written what takes the place of what was there.
        """
        if not at_end:
            self._texts.rest()
            self._surplus.rest()
            held = [one.rest() for one in (self._shown, self._updates, self._widgets, self._handed)]
            return any(held)
        self._texts.flush()
        self._surplus.flush()
        self._write_held()
        return False

    def preview(self, index: int) -> str:
        """The end of a cell's text, without colours and control characters."""
        return _CONTROL.sub("", collapse(self._previews.get(index, "")))

    def faults(self, index: int) -> Faults:
        """What has gone wrong in a cell as far as its output tells."""
        return Faults(shown=self._errors.get(index), refused=self._refused.get(index))

    def _text(self, index: int, name: str, text: str) -> None:
        self._preview(index, text)
        self._texts.add(index, name, text)

    def _show(self, index: int, output: dict[str, Any], display_id: str | None) -> None:
        """Write an output that is no text, as far as the notebook has room for it."""
        found = self._bounds.add(index, output, display_id)
        if found is None:
            self._surplus.add(index, output)
            return
        bounded, files = found
        extra: Body = {"files": files} if files else {}
        if display_id:
            self._updates.flush(display_id)  # it was for those that were there before
            extra["display"] = display_id
        self._shown.append("output", cell=index, output=bounded, **extra)

    def _write_update(self, display_id: str, body: Body) -> None:
        self._shown.flush_display(display_id)
        self._journal.append("update", display=display_id, **body)

    def _captures(self, widget: str, kind: str, **body: Any) -> None:
        """Write a record of what an Output widget captures, behind its state."""
        self._widgets.flush(widget)
        self._shown.add(widget, kind, {"comm": widget, **body})

    def _write_held(self) -> None:
        self._shown.flush_all()
        self._updates.flush_all()
        self._widgets.flush_all()
        self._handed.flush_all()

    def _clear(self, place: int | str, *, is_followed: bool) -> None:
        """What a cell or an Output widget has shown goes now."""
        self._clearing.discard(place)
        if isinstance(place, str):
            self._shown.clear(place, "widget_clear", {"comm": place, "wait": False}, is_followed=is_followed)
            return
        self._texts.clear(place)
        self._bounds.clear(place)
        self._surplus.clear(place)
        self._previews.pop(place, None)
        self._errors.pop(place, None)
        self._shown.clear(place, "clear", {"cell": place, "wait": False}, is_followed=is_followed)

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
        self._handed.add(name, {"cell": index, "value": value})


def _merged(old: Body, new: Body) -> Body:
    """Two parts of a widget's state, one after the other."""
    buffers = {repr(buffer.get("path")): buffer for buffer in (*old["buffers"], *new["buffers"])}
    return {"state": {**old["state"], **new["state"]}, "buffers": list(buffers.values())}


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
