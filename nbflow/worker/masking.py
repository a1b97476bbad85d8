"""Whatever leaves an attempt, without the values of its secrets: records, reports, errors, documents, stderr.

The recorder is wrapped, so that nothing comes to the journal, to a preview or to a file that has not been masked, and
nothing is cut before. Must not know where values come from.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TextIO, cast

from nbflow.core.masking import MaskedStream, Masker
from nbflow.core.messages import Report
from nbflow.worker import outputs
from nbflow.worker.recorder import Recorder
from nbflow.worker.session import Ending

_KEPT = ("task",)
"""Fields of reports that are names, not what a notebook says."""

_SHAPE = frozenset({"kernelspec", "language_info", "nbflow", "jupyter", "tags", "widgets"})
"""Metadata whose keys are not a notebook's own words."""

_Key = tuple[int, str, str | None]


def _as_it_is(name: str) -> Any:
    """A method that passes on numbers and places, or tells what has been masked when it came."""

    def passed_on(self: Any, *facts: Any, **named: Any) -> Any:
        return getattr(self._inner, name)(*facts, **named)

    return passed_on


class MaskingRecorder(Recorder):
    """Masks what comes and passes it on to another recorder, which alone writes.

    Of a stream, what may be the beginning of a value waits for more of the same stream, for another output or for the
    end of its cell: a value that comes in pieces is found, and what a killed worker loses is a few characters.
    """

    kernel_started = _as_it_is("kernel_started")
    cell_started = _as_it_is("cell_started")
    count = _as_it_is("count")
    preview = _as_it_is("preview")
    faults = _as_it_is("faults")

    def __init__(self, inner: Recorder, masker: Masker) -> None:
        self._inner = inner
        self._masker = masker
        self._held: dict[_Key, MaskedStream] = {}

    def kernel_ready(self, info: Mapping[str, Any]) -> None:
        """Masked."""
        self._inner.kernel_ready(self._masker.data(info, keys=False))

    def cell_ended(self, index: int, *facts: Any, **named: Any) -> None:
        """As it is, behind what was kept back of the cell's text."""
        self._release(lambda key: key[0] == index)
        self._inner.cell_ended(index, *facts, **named)

    def warn(self, text: str) -> None:
        """Masked."""
        self._inner.warn(self._masker.text(text))

    def output(self, index: int, kind: str, content: Mapping[str, Any], display_id: str | None = None) -> None:
        """Masked."""
        if kind == "stream":
            self._stream((index, str(content["name"]), None), str(content["text"]))
            return
        self._release(lambda key: key[0] == index and key[2] is None)
        self._tell_of_values(content)
        self._inner.output(index, kind, self._content(content), display_id and self._masker.text(display_id))

    def update(self, display_id: str, content: Mapping[str, Any]) -> None:
        """Masked."""
        self._inner.update(self._masker.text(display_id), self._content(content))

    def clear(self, index: int, *, wait: bool, widget: str | None = None) -> None:
        """As it is, behind what was kept back of the text that goes."""
        self._release(lambda key: key[0] == index and key[2] == widget)
        self._inner.clear(index, wait=wait, widget=widget)

    def widget(self, comm: str, state: Mapping[str, Any], buffers: list[dict[str, Any]]) -> None:
        """Masked."""
        masked = [
            {**one, "data": self._masker.binary(one["data"])} if isinstance(one.get("data"), str) else one
            for one in buffers
        ]
        self._inner.widget(comm, self._masker.data(state), masked)

    def captured(self, index: int, kind: str, content: Mapping[str, Any], *, widget: str) -> None:
        """Masked."""
        if kind == "stream":
            self._stream((index, str(content["name"]), widget), str(content["text"]))
            return
        self._release(lambda key: key[2] == widget)
        self._tell_of_values(content)
        self._inner.captured(index, kind, self._content(content), widget=widget)

    def flush(self, *, at_end: bool = True) -> bool:
        """As it is; at the end behind what was kept back of all text."""
        if at_end:
            self._release(lambda _: True)
        return self._inner.flush(at_end=at_end)

    def _content(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: _masked_bundle(value, self._masker)
            if key == "data" and isinstance(value, Mapping)
            else self._masker.data(value)
            for key, value in content.items()
        }

    def _tell_of_values(self, content: Mapping[str, Any]) -> None:
        """A value that is handed on is another one once it is masked: that is not done in silence."""
        data = content.get("data")
        payload = data.get(outputs.MIME) if isinstance(data, Mapping) else None
        if isinstance(payload, Mapping) and _masked_payload(payload, self._masker) != payload:
            names = ", ".join(self._masker.names(payload))
            self._inner.warn(f"a value that nbflow.output hands on holds the secret {names}: it is masked there too")

    def _stream(self, key: _Key, text: str) -> None:
        self._pass(key, self._held.setdefault(key, self._masker.stream()).feed(text))

    def _release(self, concerns: Callable[[_Key], bool]) -> None:
        for key, stream in self._held.items():
            if concerns(key):
                self._pass(key, stream.end())

    def _pass(self, key: _Key, text: str) -> None:
        index, name, widget = key
        if not text:
            return
        if widget is None:
            self._inner.output(index, "stream", {"name": name, "text": text})
        else:
            self._inner.captured(index, "stream", {"name": name, "text": text}, widget=widget)


class MaskedText(io.TextIOBase):
    """A text file, such as stderr, that writes masked lines to another one."""

    def __init__(self, inner: TextIO, masker: Masker) -> None:
        self._inner = inner
        self._stream = masker.stream()

    def write(self, text: str) -> int:
        """Write what can be written now."""
        self._inner.write(self._stream.feed(text))
        return len(text)

    def flush(self) -> None:
        """Write all."""
        self._inner.write(self._stream.end())
        self._inner.flush()

    def fileno(self) -> int:
        """The descriptor below, for those that write to it themselves."""
        return self._inner.fileno()


def masked_ending(ending: Ending, masker: Masker) -> Ending:
    """How an attempt ended, its error masked."""
    if ending.error is None:
        return ending
    message, ename = masker.text(ending.error.message), ending.error.ename
    return replace(
        ending, error=replace(ending.error, message=message, ename=None if ename is None else masker.text(ename))
    )


def masked_report(report: Report, masker: Masker) -> Report:
    """A report, all its texts masked; numbers and states are those of nbflow."""
    changed: dict[str, Any] = {
        one.name: masked
        for one in fields(report)
        if one.name not in _KEPT
        and type(value := getattr(report, one.name)) is str
        and (masked := masker.text(value)) != value
    }
    return replace(report, **changed) if changed else report


def mask_stderr(masker: Masker) -> None:
    """Have all that this process says on its stderr from now on masked: its owner tells the end of it."""
    sys.stderr = cast("TextIO", MaskedText(sys.stderr, masker))


def masked_document(document: Mapping[str, Any], masker: Masker) -> tuple[dict[str, Any], list[str]]:
    """A notebook's document, masked, and a warning for each cell whose own source holds a value.

    Keys of a notebook's own shape stay whatever values there are.
    """
    if not masker:
        return dict(document), []
    found, number = [], 0
    for index, cell in enumerate(document["cells"]):
        number += cell["cell_type"] == "code"
        where = f"code cell {number}" if cell["cell_type"] == "code" else f"cells[{index}]"
        what = f"the source of {where} holds the value of the secret"
        found += [f"{what} {name}: masked here, open in the notebook itself" for name in masker.names(cell["source"])]
    cells = [_masked_cell(cell, masker) for cell in document["cells"]]
    metadata = _masked_metadata(document["metadata"], masker)
    if "nbflow" in metadata:
        metadata["nbflow"] = _masked_facts(document["metadata"]["nbflow"], masker)
    return {**document, "cells": cells, "metadata": metadata}, found


def _masked_cell(cell: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    masked = {**cell, "source": masker.text(cell["source"]), "metadata": _masked_metadata(cell["metadata"], masker)}
    if cell["cell_type"] == "code" and "nbflow" in cell["metadata"]:
        masked["metadata"]["nbflow"] = cell["metadata"]["nbflow"]  # states and times
    if "attachments" in cell:
        masked["attachments"] = masker.data(cell["attachments"])
    if "outputs" in cell:
        masked["outputs"] = [_masked_output(output, masker) for output in cell["outputs"]]
    return masked


def _masked_metadata(metadata: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    return {
        key if key in _SHAPE else masker.text(key): masker.data(value, keys=key not in _SHAPE)
        for key, value in metadata.items()
    }


def _masked_facts(facts: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    """What nbflow says of an attempt, masked where it repeats what a notebook says."""
    texts = ("warnings", "environment", "left_behind")
    masked = {key: masker.data(facts[key], keys=False) for key in texts if key in facts}
    for key in ("parameters", "outputs", "outputs_exact"):
        if key in facts:
            masked[key] = {name: masker.data(value) for name, value in facts[key].items()}
    if error := facts.get("error"):
        masked["error"] = {**error, **{key: masker.data(error.get(key)) for key in ("message", "ename")}}
    return {**facts, **masked}


def _masked_output(output: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    masked = {
        key: masker.data(value) if key in {"text", "ename", "evalue", "traceback", "metadata"} else value
        for key, value in output.items()
    }
    if isinstance(data := output.get("data"), Mapping):
        masked["data"] = _masked_bundle(data, masker)
    return masked


def _masked_bundle(data: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    """Display data; what hands on a value keeps its shape."""
    masked = masker.bundle(data)
    if isinstance(payload := data.get(outputs.MIME), Mapping):
        masked[outputs.MIME] = _masked_payload(payload, masker)
    return masked


def _masked_payload(payload: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    return {key: masker.data(value, numbers=True) for key, value in payload.items()}
