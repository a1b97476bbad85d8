"""What a cell or an Output widget shows, built from records of the journal as a page would show it.

Texts are joined, lines written again are collapsed, clears wait for something new where they are to. Pure. Must not
know cells' states, files or clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.overwrite import collapse


@dataclass(slots=True, kw_only=True)
class TextFile:
    """The file with the whole text of a stream. `told` characters of it are in the journal or said to be left out.

    `tail` characters of its end go to the notebook. It is `open` while the journal does not tell its end.
    """

    stream: str
    file: str
    told: int
    tail: int
    open: bool = True


@dataclass(slots=True, kw_only=True)
class Surplus:
    """The outputs that a notebook does not keep: how many, and the file that has them, by its published name too.

    It is `open` while the journal does not tell its end.
    """

    count: int
    file: str | None
    published: str
    open: bool

    @property
    def line(self) -> dict[str, Any]:
        """The output that says so."""
        place = f"; all of them are beside this in {self.published}" if self.file is not None else ""
        what = "1 output of this cell is" if self.count == 1 else f"{self.count:,} outputs of this cell are"
        text = f"[truncated: {what} left out here{place}]"
        return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


@dataclass(slots=True)
class Outputs:
    """A list of outputs. `texts` are the files with whole texts, by stream."""

    items: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[str, TextFile] = field(default_factory=dict)
    clear_next: bool = False
    surplus: Surplus | None = None

    def add(self, output: Mapping[str, Any], files: Iterable[Mapping[str, str]] = ()) -> dict[str, Any]:
        """Add an output; `files` hold what is too large of it. What it becomes may be changed by `update`."""
        if self.clear_next:
            self.clear(wait=False)
        if output["output_type"] == "stream":
            last = self.items[-1] if self.items else {}
            if last.get("output_type") == "stream" and last["name"] == output["name"]:
                last["text"].append(output["text"])
                return last
            output = {**output, "text": [output["text"]]}
        self.items.append({**output, "files": list(files)})
        return self.items[-1]

    def spool(self, stream: str, file: str, head: int, tail: int) -> None:
        """From here on the whole text of a stream goes to a file; `head` characters are in the journal."""
        self.texts.setdefault(stream, TextFile(stream=stream, file=file, told=head, tail=tail)).open = True

    def add_tail(self, stream: str, text: str, omitted: int, slug: str) -> None:
        """The end of a long text, and a line that says what is left out before it and where to find it."""
        whole = self.texts.get(stream)
        if whole is not None:
            whole.told += omitted + len(text)
            whole.open = False
        place = f"; all of it is beside this in {slug}.{whole.file}" if whole is not None else ""
        mark = f"\n[truncated: {omitted:,} characters of {stream} are left out here{place}]\n" if omitted else ""
        if mark or text:
            self.add({"output_type": "stream", "name": stream, "text": mark + text})

    def leave_out(self, surplus: Surplus) -> None:
        """So many outputs were not kept, in all."""
        if self.clear_next:
            self.clear(wait=False)
        self.surplus = surplus

    def clear(self, *, wait: bool) -> None:
        """Remove all, or have it removed when something new comes."""
        self.clear_next = wait
        if not wait:
            self.items.clear()
            self.texts.clear()
            self.surplus = None

    def finished(self) -> list[dict[str, Any]]:
        """The outputs as a notebook has them."""
        found = [_finished(item) for item in self.items]
        return found if self.surplus is None else [*found, self.surplus.line]

    def files(self) -> Iterator[tuple[str, str]]:
        """The files that the outputs refer to, with what they hold: a stream's name, or the name of an output."""
        for text in self.texts.values():
            yield text.stream, text.file
        seen = set()
        for item in self.items:
            for file in item["files"]:
                if file["file"] not in seen:
                    seen.add(file["file"])
                    yield file["file"].split(".")[1], file["file"]
        if self.surplus is not None and self.surplus.file is not None:
            yield self.surplus.file.split(".")[1], self.surplus.file


@dataclass(slots=True)
class Widget:
    """The state of one widget, and what it has captured where it is an Output widget."""

    state: dict[str, Any] = field(default_factory=dict)
    buffers: dict[str, dict[str, Any]] = field(default_factory=dict)
    captured: Outputs | None = None

    def apply(self, state: Mapping[str, Any], buffers: Iterable[Mapping[str, Any]]) -> None:
        """Take over a part of a state."""
        self.state.update(state)
        self.buffers.update({repr(buffer["path"]): dict(buffer) for buffer in buffers})
        if "outputs" in state:
            self.captured = None

    def capturing(self) -> Outputs:
        """What it captures, to be added to."""
        if self.captured is None:
            self.captured = Outputs()
            for output in self.state.get("outputs", []):
                self.captured.add(output)
        return self.captured

    @property
    def document(self) -> dict[str, Any]:
        """The widget as a notebook has it."""
        state = self.state if self.captured is None else {**self.state, "outputs": self.captured.finished()}
        found = {
            "model_name": state.get("_model_name"),
            "model_module": state.get("_model_module"),
            "model_module_version": state.get("_model_module_version"),
            "state": state,
        }
        return {**found, "buffers": list(self.buffers.values())} if self.buffers else found


def _finished(item: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in item.items() if key != "files"}
    if found["output_type"] == "stream":
        found["text"] = collapse("".join(found["text"]))
    return found
