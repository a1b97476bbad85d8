"""Outputs as a page would show them."""

from __future__ import annotations

from typing import Any

from nbflow.worker.shown import Outputs, Widget


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def test_texts_are_joined_and_what_is_overwritten_goes() -> None:
    outputs = Outputs()
    for text in ("1%\r", "2%", "\r3%\n"):
        outputs.add(stream(text))
    outputs.add(stream("e\rE", "stderr"))
    assert outputs.finished() == [stream("3%\n"), stream("E", "stderr")]


def test_a_clear_that_waits_takes_files_too() -> None:
    outputs = Outputs()
    outputs.add(stream("head"))
    outputs.spool("stdout", "f.gz", 4, 2)
    outputs.clear(wait=True)
    assert list(outputs.files()) == [("stdout", "f.gz")]
    outputs.add(stream("new"))
    assert outputs.finished() == [stream("new")]
    assert list(outputs.files()) == []


def test_a_tail_closes_its_text_until_more_comes() -> None:
    outputs = Outputs()
    outputs.add(stream("head"))
    outputs.spool("stdout", "f.gz", 4, 2)
    outputs.add_tail("stdout", "il", 5, "t")
    assert (outputs.texts["stdout"].told, outputs.texts["stdout"].open) == (11, False)
    outputs.spool("stdout", "f.gz", 4, 2)
    assert (outputs.texts["stdout"].told, outputs.texts["stdout"].open) == (11, True)
    outputs.add_tail("stdout", "", 0, "t")
    (one,) = outputs.finished()
    mark = "[truncated: 5 characters of stdout are left out here; all of it is beside this in t.f.gz]"
    assert one["text"] == f"head\n{mark}\nil"


def test_files_are_named_once() -> None:
    outputs = Outputs()
    file = {"file": "cell-1.output-1.png", "mime": "image/png"}
    for _ in range(2):
        outputs.add({"output_type": "display_data", "data": {}, "metadata": {}}, [file])
    assert list(outputs.files()) == [("output-1", "cell-1.output-1.png")]
    assert outputs.finished()[0] == {"output_type": "display_data", "data": {}, "metadata": {}}


def test_a_widget_that_captures_starts_from_its_state() -> None:
    widget = Widget()
    widget.apply({"_model_name": "OutputModel", "outputs": [stream("a")]}, [])
    widget.capturing().add(stream("b"))
    assert widget.document["state"]["outputs"] == [stream("ab")]
    widget.apply({"outputs": []}, [])
    assert widget.document["state"]["outputs"] == []
