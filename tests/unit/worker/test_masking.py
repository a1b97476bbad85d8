"""Everything that leaves an attempt is masked: records, reports, errors, documents, stderr."""

from __future__ import annotations

import base64
import inspect
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.attempt import CellState, ErrorKind, TaskError, Verdict
from nbflow.core.masking import Masker
from nbflow.core.messages import CellDone, CellStart, Started
from nbflow.worker import journal as jr
from nbflow.worker.masking import (
    MaskedText,
    MaskingRecorder,
    mask_stderr,
    masked_document,
    masked_ending,
    masked_report,
)
from nbflow.worker.recorder import Recorder
from nbflow.worker.session import Ending

VALUE = "hunter2-of-the-database"
MARK = "[secret DB]"
MASKER = Masker({"DB": VALUE})


class Noted(Recorder):
    """A recorder that only notes its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in {"calls", "texts"}:
            return super().__getattribute__(name)
        return lambda *facts, **named: self.calls.append((name, facts, named))

    def texts(self) -> list[tuple[str, str]]:
        """Streams and other outputs in their order."""
        return [
            (facts[2]["name"], facts[2]["text"]) if facts[1] == "stream" else (facts[1], "")
            for name, facts, _ in self.calls
            if name in {"output", "captured"}
        ]


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"name": name, "text": text}


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def recorder(noted: Noted) -> MaskingRecorder:
    return MaskingRecorder(noted, MASKER)


def test_no_method_of_a_recorder_gets_past() -> None:
    public = {name for name, _ in inspect.getmembers(Recorder, inspect.isfunction) if not name.startswith("_")}
    own = {name for name in vars(MaskingRecorder) if not name.startswith("_")}
    assert own == public


def test_every_text_is_masked(recorder: MaskingRecorder, noted: Noted) -> None:
    shown = {"data": {"text/plain": VALUE, "application/json": {VALUE: [VALUE]}}, "metadata": {"x": VALUE}}
    recorder.kernel_ready({"banner": VALUE, "language_info": {"name": VALUE}})
    recorder.warn(f"about {VALUE}")
    recorder.output(0, "display_data", shown, VALUE)
    recorder.output(0, "error", {"ename": VALUE, "evalue": VALUE, "traceback": [f"\x1b[31m{VALUE}\x1b[0m"]})
    recorder.update(VALUE, shown)
    recorder.widget("comm", {"value": VALUE}, [{"path": [], "data": base64.b64encode(VALUE.encode()).decode()}])
    recorder.captured(0, "display_data", shown, widget="comm")
    assert VALUE not in json.dumps([call[1:] for call in noted.calls])
    assert len(MASKER.names([call[1:] for call in noted.calls])) == 0
    ids = next(call[1][-1] for call in noted.calls if call[0] == "output"), noted.calls[4][1][0]
    assert ids == (MARK, MARK)


def test_numbers_are_masked_in_displayed_data_only(noted: Noted) -> None:
    recorder = MaskingRecorder(noted, Masker({"PIN": "4321", "A": "name", "B": "value", "C": "language_info"}))
    data = {"application/json": {"n": 4321}, "application/vnd.nbflow.output.v1+json": {"name": "x", "value": 4321}}
    size = {"image/png": {"width": 4321}}
    recorder.output(0, "execute_result", {"data": data, "metadata": size, "execution_count": 4321})
    recorder.widget("comm", {"max": 4321, "text": "4321"}, [])
    recorder.kernel_ready({"language_info": {"lines": 4321}})
    outputs, widget, ready = (next(fact for fact in call[1] if isinstance(fact, dict)) for call in noted.calls[1:])
    assert outputs["execution_count"] == 4321
    assert outputs["metadata"] == size
    assert outputs["data"]["application/json"] == {"n": "[secret PIN]"}
    assert outputs["data"]["application/vnd.nbflow.output.v1+json"] == {"name": "x", "value": "[secret PIN]"}
    assert widget == {"max": 4321, "text": "[secret PIN]"}
    assert ready == {"language_info": {"lines": 4321}}


def test_what_has_no_text_is_passed_on(recorder: MaskingRecorder, noted: Noted) -> None:
    recorder.kernel_started(5, "/run", forked=True)
    recorder.cell_started(1)
    recorder.count(1, 7)
    recorder.cell_ended(1, CellState.OK, 0.5)
    recorder.clear(1, wait=True)
    recorder.flush()
    recorder.preview(1)
    recorder.faults(1)
    assert [name for name, *_ in noted.calls] == [
        "kernel_started",
        "cell_started",
        "count",
        "cell_ended",
        "clear",
        "flush",
        "preview",
        "faults",
    ]
    assert noted.calls[0][1:] == ((5, "/run"), {"forked": True})


@given(cuts=st.lists(st.integers(0, len(VALUE) + 4), max_size=5))
def test_a_value_in_pieces(cuts: list[int]) -> None:
    noted = Noted()
    recorder = MaskingRecorder(noted, MASKER)
    text = f"a {VALUE} b"
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True):
        recorder.output(0, "stream", stream(text[first:last]))
        recorder.output(0, "stream", stream("x", "stderr"))
        recorder.output(1, "stream", stream("y"))
    recorder.cell_ended(0, CellState.OK)
    assert "".join(text for name, text in noted.texts() if name == "stdout").replace("y", "") == f"a {MARK} b"


def test_what_is_kept_back_comes_before_what_follows_it(recorder: MaskingRecorder, noted: Noted) -> None:
    recorder.output(0, "stream", stream("with h"))
    recorder.output(0, "display_data", {"data": {}, "metadata": {}})
    recorder.output(0, "stream", stream("h"))
    recorder.cell_ended(0, CellState.OK)
    recorder.output(0, "stream", stream("late h"))
    recorder.clear(0, wait=False)
    recorder.captured(0, "stream", stream("in a widget h"), widget="comm")
    recorder.flush(at_end=False)
    assert noted.texts()[-1] == ("stdout", "in a widget ")
    recorder.flush()
    assert noted.texts() == [
        ("stdout", "with "),
        ("stdout", "h"),
        ("display_data", ""),
        ("stdout", "h"),
        ("stdout", "late "),
        ("stdout", "h"),
        ("stdout", "in a widget "),
        ("stdout", "h"),
    ]
    names = [name for name, *_ in noted.calls]
    assert names.index("clear") == 7
    assert names[-1] == "flush"


def test_a_value_that_is_handed_on_is_masked_and_told(tmp_path: Path) -> None:
    journal = jr.Journal.create(str(tmp_path / "j"))
    recorder = MaskingRecorder(Recorder(journal), MASKER)
    for name, value in (("url", f"x {VALUE}"), ("rows", 5)):
        data = {"application/vnd.nbflow.output.v1+json": {"name": name, "value": value}}
        recorder.output(0, "display_data", {"data": data, "metadata": {}})
    journal.close()
    records = jr.read(tmp_path / "j")
    assert [(one["name"], one["value"]) for one in records if one["type"] == "value"] == [
        ("url", f"x {MARK}"),
        ("rows", 5),
    ]
    assert [one["text"] for one in records if one["type"] == "warning"] == [
        "a value that nbflow.output hands on holds the secret DB: it is masked there too"
    ]


def test_errors_and_reports() -> None:
    error = TaskError(kind=ErrorKind.EXCEPTION, message=f"E: {VALUE}", ename=VALUE, cell=3)
    ending = masked_ending(Ending(verdict=Verdict.FAILED, error=error), MASKER)
    assert ending.error == TaskError(kind=ErrorKind.EXCEPTION, message=f"E: {MARK}", ename=MARK, cell=3)
    assert masked_ending(Ending(verdict=Verdict.SUCCEEDED), MASKER) == Ending(verdict=Verdict.SUCCEEDED)

    start = CellStart(task=VALUE, attempt=1, cell=0, number=1, title=f"x = '{VALUE}'")
    assert masked_report(start, MASKER) == CellStart(task=VALUE, attempt=1, cell=0, number=1, title=f"x = '{MARK}'")
    masker = Masker({"PIN": "4321", "STATE": "failed"})
    started = Started(task="a", attempt=4321, pid=4321, host="h4321", cells=4321)
    assert masked_report(started, masker) == replace(started, host="h[secret PIN]")
    ended = CellDone(task="a", attempt=1, cell=4321, number=4321, state=CellState.FAILED, duration=4321.0)
    assert masked_report(ended, masker) is ended
    done = CellDone(task="a", attempt=1, cell=0, number=1, state=CellState.OK, duration=1.0, preview="nothing")
    assert masked_report(done, MASKER) is done


def test_a_document_is_masked_where_it_is_free_and_its_shape_stays() -> None:
    masker = Masker({"DB": VALUE, "WORD": "metadata", "CODE": "code", "STATE": "succeeded", "PIN": "4321"})
    output = {
        "output_type": "display_data",
        "data": {"text/plain": VALUE, "image/png": "codecode"},
        "metadata": {},
    }
    facts = {
        "state": "succeeded",
        "error": {"kind": "exception", "message": VALUE, "ename": "E", "cell": 4321},
        "outputs": {"code": {VALUE: VALUE}},
        "outputs_exact": {"code": f'{{"$path": "{VALUE}"}}'},
        "left_behind": [VALUE],
        "peak_memory": 4321,
    }
    document = {
        "cells": [
            {
                "cell_type": "markdown",
                "source": f"# {VALUE}",
                "metadata": {},
                "attachments": {"a": {"text/plain": VALUE}},
            },
            {
                "cell_type": "code",
                "source": f"x = {VALUE!r}",
                "metadata": {"tags": [VALUE], "nbflow": {"state": "succeeded"}, VALUE: {VALUE: 1}},
                "outputs": [output],
                "execution_count": 4321,
            },
            {
                "cell_type": "code",
                "source": "y",
                "metadata": {},
                "outputs": [{"output_type": "stream", "name": "stdout", "text": VALUE}],
            },
        ],
        "metadata": {"title": VALUE, "nbflow": facts},
        "nbformat": 4,
    }
    masked, found = masked_document(document, masker)
    assert VALUE not in json.dumps(masked)
    assert [cell["cell_type"] for cell in masked["cells"]] == ["markdown", "code", "code"]
    assert masked["cells"][1]["outputs"][0]["data"] == {"text/plain": MARK, "image/png": "codecode"}
    assert masked["cells"][2]["outputs"][0] == {"output_type": "stream", "name": "stdout", "text": MARK}
    assert masked["cells"][1]["metadata"] == {"tags": [MARK], "nbflow": {"state": "succeeded"}, MARK: {MARK: 1}}
    assert masked["cells"][1]["execution_count"] == 4321
    error = {"kind": "exception", "message": MARK, "ename": "E", "cell": 4321}
    exact = {"outputs_exact": {"code": f'{{"$path": "{MARK}"}}'}, "left_behind": [MARK]}
    told = {"state": "succeeded", "error": error, "outputs": {"code": {MARK: MARK}}, "peak_memory": 4321, **exact}
    assert masked["metadata"] == {"title": MARK, "nbflow": told}
    what = "holds the value of the secret DB: masked here, open in the notebook itself"
    assert found == [f"the source of cells[0] {what}", f"the source of code cell 1 {what}"]
    assert masked_document(masked, masker) == (masked, [])
    assert masked_document(document, Masker({})) == (document, [])


def test_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    under = io.StringIO()
    monkeypatch.setattr(sys, "stderr", under)
    mask_stderr(MASKER)
    sys.stderr.write(f"a {VALUE[:5]}")
    sys.stderr.write(f"{VALUE[5:]} b h")
    assert under.getvalue() == f"a {MARK} b "
    sys.stderr.flush()
    assert under.getvalue() == f"a {MARK} b h"


def test_a_masked_file_has_the_descriptor_of_the_one_below(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        assert MaskedText(file, MASKER).fileno() == file.fileno()
