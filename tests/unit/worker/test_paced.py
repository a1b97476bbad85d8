"""Of what takes the place of one another not all is written, and what is written comes to the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.worker import paced
from nbflow.worker.paced import Cleared, Newest
from nbflow.worker.shown import Outputs


class Kept:
    """A journal that only keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, kind: str, **body: Any) -> None:
        self.records.append({"type": kind, **body})

    def shown(self) -> list[str]:
        outputs = Outputs()
        for record in self.records:
            match record:
                case {"type": "clear", "wait": wait}:
                    outputs.clear(wait=wait)
                case {"output": output}:
                    outputs.add(output)
        return [output["text"] for output in outputs.finished()]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still; 100 characters are written at once."""
    found = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(paced.time, "monotonic", lambda: found.now)
    monkeypatch.setattr(paced, "AT_ONCE", 100)
    return found


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"cell": 0, "output": {"output_type": "stream", "name": "stdout", "text": text}, **more}


class TestNewest:
    def test_of_many_changes_the_last_is_written(self, clock: SimpleNamespace) -> None:
        written: list[tuple[str, str]] = []
        updates = Newest(lambda display, body: written.append((display, body["data"])))
        for number in range(50):
            updates.add("d", {"data": f"{number:>70}"})
        assert len(written) == 1
        assert updates.rest()
        clock.now += 60
        assert not updates.rest()
        updates.flush_all()
        assert [data.strip() for _, data in written] == ["0", "49"]
        updates.add("d", {"data": "with a file", "files": [{}]})
        assert written[-1] == ("d", "with a file")
        updates.add("other", {"data": "the first of its display"})
        assert written[-1][0] == "other"

    def test_what_is_held_is_merged(self, clock: SimpleNamespace) -> None:
        written: list[dict[str, Any]] = []
        states = Newest(lambda _, body: written.append(body), lambda old, new: {**old, **new})
        states.add("w", {"a": "x" * 200})
        states.add("w", {"a": "y" * 200})
        states.add("w", {"b": 1})
        states.flush("w")
        assert written == [{"a": "x" * 200}, {"a": "y" * 200, "b": 1}]


class TestCleared:
    def test_what_is_cleared_before_it_is_due_is_never_written(self, clock: SimpleNamespace) -> None:
        shown = Cleared(kept := Kept())
        for number in range(50):
            shown.append("clear", cell=0, wait=True)
            shown.clear(0, "clear", {"cell": 0, "wait": False}, is_followed=True)
            shown.append("output", **said(f"{number:>70}"))
        assert len(kept.records) < 8
        assert shown.rest()
        clock.now += 60
        assert not shown.rest()
        assert [text.strip() for text in kept.shown()] == ["49"]

    def test_what_is_not_cleared_is_written_at_once(self, clock: SimpleNamespace) -> None:
        shown = Cleared(kept := Kept())
        for number in range(50):
            shown.append("output", **said(f"{number:>70}"))
        assert len(kept.records) == 50

    def test_what_refers_to_files_is_written_at_once_and_its_clear_too(self, clock: SimpleNamespace) -> None:
        shown = Cleared(kept := Kept())
        for _ in range(5):
            shown.append("output", **said("x" * 70, files=[{"file": "f", "mime": "m"}]))
            shown.clear(0, "clear", {"cell": 0, "wait": False}, is_followed=True)
            assert kept.shown() == []

    def test_a_display_that_changes_is_written_first(self, clock: SimpleNamespace) -> None:
        shown = Cleared(kept := Kept())
        shown.clear(0, "clear", {"cell": 0, "wait": False}, is_followed=True)
        shown.append("output", **said("x" * 200))
        shown.append("output", **said("y" * 200, display="d"))
        assert len(kept.records) == 1
        shown.flush_display("d")
        assert len(kept.records) == 2


ACTIONS = st.lists(st.sampled_from(["say", "file", "wait", "clear", "rest", "later"]), max_size=40)


@given(ACTIONS)
def test_what_is_written_comes_to_the_same(actions: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        now = [0.0]
        patch.setattr(paced.time, "monotonic", lambda: now[0])
        patch.setattr(paced, "AT_ONCE", 300)
        shown = Cleared(kept := Kept())
        plain, waits = Kept(), False
        for number, action in enumerate(actions):
            now[0] += 60.0 if action == "later" else 0.0
            match action:
                case "say" | "file":
                    if waits:
                        shown.clear(0, "clear", {"cell": 0, "wait": False}, is_followed=True)
                    waits = False
                    body = said(f"{number} ", **({"files": []} if action == "file" else {}))
                    shown.append("output", **body)
                    plain.append("output", **body)
                case "wait":
                    waits = True
                    shown.append("clear", cell=0, wait=True)
                    plain.append("clear", cell=0, wait=True)
                case "clear":
                    waits = False
                    shown.clear(0, "clear", {"cell": 0, "wait": False}, is_followed=False)
                    plain.append("clear", cell=0, wait=False)
                case "rest":
                    shown.rest()
        shown.flush_all()
        assert kept.shown() == plain.shown()
