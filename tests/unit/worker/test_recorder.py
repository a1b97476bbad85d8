"""What a kernel says becomes records: in order, within bounds, and judged where it is handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbflow.core.attempt import CellState
from nbflow.kernels.memory import Mark
from nbflow.kernels.usage import Usage
from nbflow.worker import displays, paced, texts
from nbflow.worker import journal as jr
from nbflow.worker import recorder as rec
from nbflow.worker.recorder import Recorder

MIME = "application/vnd.nbflow.output.v1+json"


class Kept:
    """A journal that only keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, kind: str, **body: Any) -> None:
        self.records.append({"type": kind, **body})

    def sync_soon(self) -> None:
        self.append("synced")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] == kind]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def recorder(kept: Kept) -> Recorder:
    return Recorder(kept)  # type: ignore[arg-type]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that tests can reach."""
    monkeypatch.setattr(texts, "HEAD", 10)
    monkeypatch.setattr(texts, "TAIL", 6)


def say(recorder: Recorder, text: str, cell: int = 0, name: str = "stdout") -> None:
    recorder.output(cell, "stream", {"name": name, "text": text})


class TestText:
    def test_it_goes_to_the_journal_as_it_comes(self, kept: Kept, recorder: Recorder) -> None:
        say(recorder, "a")
        say(recorder, "b", name="stderr")
        assert [record["output"]["text"] for record in kept.of("output")] == ["a", "b"]

    @pytest.mark.usefixtures("small")
    def test_a_flood_is_cut_in_its_middle(self, kept: Kept, recorder: Recorder) -> None:
        for text in ("0123", "456789ab", "c", "defghij", "kl"):
            say(recorder, text)
        recorder.cell_ended(0, CellState.OK, 1.0)
        assert "".join(record["output"]["text"] for record in kept.of("output")) == "0123456789"
        assert kept.of("tail") == [{"type": "tail", "cell": 0, "name": "stdout", "text": "ghijkl", "omitted": 6}]
        kinds = [record["type"] for record in kept.records]
        assert kinds[-3:] == ["tail", "cell_ended", "synced"]

    @pytest.mark.usefixtures("small")
    def test_nothing_is_lost_just_above_the_bound(self, kept: Kept, recorder: Recorder) -> None:
        say(recorder, "0123456789abc")
        recorder.cell_ended(0, CellState.OK, 1.0)
        assert kept.of("tail")[0]["text"] == "abc"
        assert kept.of("tail")[0]["omitted"] == 0

    @pytest.mark.usefixtures("small")
    def test_what_comes_after_the_end_is_flushed_at_the_very_end(self, kept: Kept, recorder: Recorder) -> None:
        say(recorder, "0123456789")
        recorder.cell_ended(0, CellState.OK, 1.0)
        say(recorder, "late")
        recorder.flush()
        recorder.flush()
        assert [record["text"] for record in kept.of("tail")] == ["late"]

    @pytest.mark.usefixtures("small")
    def test_clearing_makes_room_again(self, kept: Kept, recorder: Recorder) -> None:
        say(recorder, "0123456789abc")
        recorder.clear(0, wait=True)
        assert [record["text"] for record in kept.of("tail")] == ["abc"]  # it stays if nothing follows
        say(recorder, "new")
        recorder.cell_ended(0, CellState.OK, 1.0)
        assert len(kept.of("tail")) == 1
        assert kept.of("output")[-1]["output"]["text"] == "new"
        assert recorder.preview(0) == "new"

    def test_what_was_put_off_is_written_when_nothing_comes(
        self, kept: Kept, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(texts, "_UPDATES", 0)
        for number in range(100):
            say(recorder, f"\r{number}")
        assert len(kept.records) < 5
        recorder.flush(at_end=False)
        assert kept.records[-1]["output"]["text"].endswith("99")


class TestDisplays:
    def test_updates_of_unknown_displays_are_left_out(self, kept: Kept, recorder: Recorder) -> None:
        recorder.update("d", {"data": {}})
        recorder.output(0, "display_data", {"data": {"text/plain": "x"}, "metadata": {}}, "d")
        recorder.update("d", {"data": {"text/plain": "y"}, "metadata": {}})
        assert [record["data"] for record in kept.of("update")] == [{"text/plain": "y"}]

    def test_what_there_is_no_room_for_is_counted(
        self, kept: Kept, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(displays, "IN_ALL", 3_000)
        for _ in range(6_000):
            recorder.output(0, "display_data", {"data": {"text/plain": "x" * 100}, "metadata": {}}, "d")
        recorder.update("d", {"data": {"text/plain": "y" * 100}, "metadata": {}})
        recorder.cell_ended(0, CellState.OK, 1.0)
        assert len(kept.records) < 20
        shown = len(kept.of("output"))
        assert kept.of("left_out")[-1] == {"type": "left_out", "cell": 0, "count": 6_000 - shown, "open": False}

    def test_what_is_drawn_again_and_again_is_not_always_written(
        self, kept: Kept, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paced, "AT_ONCE", 1_000_000)
        for number in range(200):
            recorder.clear(0, wait=True)
            recorder.output(0, "display_data", {"data": {"text/plain": f"{number:>100000}"}, "metadata": {}})
            recorder.clear(1, wait=True, widget="w")
            recorder.captured(1, "display_data", {"data": {"text/plain": f"{number:>100000}"}}, widget="w")
            recorder.widget("image", {"value": f"{number:>100000}", f"n{number % 2}": number}, [])
        assert recorder.flush(at_end=False)
        assert all(3 < len(kept.of(kind)) < 20 for kind in ("output", "widget_output", "widget"))
        recorder.cell_ended(0, CellState.OK, 1.0)
        assert not recorder.flush(at_end=False)
        last = kept.of("output")[-1]["output"]["data"], kept.of("widget_output")[-1]["output"]["data"]
        assert [data["text/plain"].strip() for data in last] == ["199"] * 2
        assert kept.of("widget")[-1]["state"] == {"value": f"{199:>100000}", "n0": 198, "n1": 199}

    def test_changes_are_written_behind_what_they_change(
        self, kept: Kept, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paced, "AT_ONCE", 1_000)
        for number in range(3):
            recorder.clear(0, wait=True)
            recorder.output(0, "display_data", {"data": {"text/plain": f"{number:>900}"}, "metadata": {}}, "d")
            recorder.update("d", {"data": {"text/plain": f"new {number:>900}"}, "metadata": {}})
        recorder.output(0, "display_data", {"data": {"text/plain": "another"}, "metadata": {}}, "d")
        recorder.flush()
        kinds = [record["type"] for record in kept.records]
        assert kinds[-3:] == ["output", "update", "output"]
        assert kept.of("update")[-1]["data"]["text/plain"].endswith(" 2")

    def test_an_error_is_remembered(self, recorder: Recorder) -> None:
        recorder.output(0, "error", {"ename": "E", "evalue": "v", "traceback": ["t"]})
        assert recorder.faults(0).shown == ("E", "v")
        assert recorder.faults(1).shown is None
        recorder.clear(0, wait=True)
        assert recorder.faults(0).shown == ("E", "v")
        say(recorder, "something new")
        assert recorder.faults(0).shown is None

    @pytest.mark.parametrize(
        ("kind", "content"),
        [("display_data", {"data": "text"}), ("error", {"ename": "E"}), ("execute_result", {}), ("odd", {"data": {}})],
    )
    def test_what_is_no_output_is_refused(self, recorder: Recorder, kind: str, content: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="is no output"):
            recorder.output(0, kind, content)

    def test_results_keep_their_number(self, kept: Kept, recorder: Recorder) -> None:
        recorder.output(0, "execute_result", {"data": {}, "metadata": None, "execution_count": 3})
        assert kept.of("output")[0]["output"] == {
            "output_type": "execute_result",
            "data": {},
            "metadata": {},
            "execution_count": 3,
        }

    def test_what_is_too_large_is_left_out_where_there_is_no_place_for_it(self, kept: Kept, recorder: Recorder) -> None:
        recorder.output(0, "display_data", {"data": {"image/png": "A" * 6_000_000, "text/plain": "fig"}})
        text = kept.of("output")[0]["output"]["data"]["text/plain"]
        assert text == "fig\n[truncated: 6,000,000 characters of image/png are left out here]"

    def test_widgets_have_bounds(self, kept: Kept, recorder: Recorder) -> None:
        recorder.widget("a", {"value": "x"}, [])
        for _ in range(2):
            recorder.widget("b", {}, [{"path": ["data"], "data": "A" * 6_000_000}])
        assert [record["comm"] for record in kept.of("widget")] == ["a"]
        assert len(kept.of("warning")) == 1


class TestPreview:
    def test_it_is_what_is_left_of_a_progress_bar(self, recorder: Recorder) -> None:
        say(recorder, "10%\r20%\r30%\n")
        assert recorder.preview(0) == "30%\n"

    def test_it_is_the_end_without_colours(self, recorder: Recorder) -> None:
        say(recorder, "x" * 5_000)
        recorder.output(0, "display_data", {"data": {"text/plain": "\x1b[31mred\x1b[0m\x07"}, "metadata": {}})
        assert recorder.preview(0).endswith("xred\n")
        assert len(recorder.preview(0)) <= rec.PREVIEW
        assert recorder.preview(1) == ""


class TestValues:
    def hand_on(self, recorder: Recorder, payload: object, cell: int = 0) -> None:
        recorder.output(cell, "display_data", {"data": {MIME: payload}, "metadata": {}})

    def test_good_ones_are_recorded(self, kept: Kept, recorder: Recorder) -> None:
        self.hand_on(recorder, {"name": "rows", "value": 1})
        assert kept.of("value") == [{"type": "value", "cell": 0, "name": "rows", "value": 1}]
        assert recorder.faults(0).refused is None

    def test_one_that_is_given_again_and_again_is_not_always_written(self, kept: Kept, recorder: Recorder) -> None:
        for number in range(40):
            self.hand_on(recorder, {"name": "rows", "value": f"{number:>1000000}"})
        assert len(kept.of("value")) < 15
        recorder.cell_ended(0, CellState.OK, 1.0)
        assert kept.of("value")[-1]["value"].strip() == "39"

    def test_bad_ones_are_refused_where_everybody_can_see_it(self, kept: Kept, recorder: Recorder) -> None:
        self.hand_on(recorder, {"name": "a b", "value": 1}, cell=2)
        assert kept.of("value") == []
        assert "is not a name" in (recorder.faults(2).refused or "")
        assert "is not a name" in kept.of("output")[-1]["output"]["text"]

    def test_there_are_only_so_many(self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rec.outputs, "MOST", 2)
        for name in ("a", "b", "a", "c"):
            self.hand_on(recorder, {"name": name, "value": 1})
        assert "at most 2" in (recorder.faults(0).refused or "")

    def test_an_output_widget_does_not_swallow_them(self, kept: Kept, recorder: Recorder) -> None:
        recorder.captured(0, "display_data", {"data": {MIME: {"name": "a", "value": 1}}}, widget="comm")
        assert [record["type"] for record in kept.records] == ["widget_output", "value"]


def test_it_writes_a_journal(tmp_path: Path) -> None:
    journal = jr.Journal.create(str(tmp_path / "j"))
    recorder = Recorder(journal)
    mark = Mark(file="/sys/memory.events", kills=1, boot="b")
    recorder.kernel_started(7, "/run", reason="it prints", memory=mark)
    recorder.kernel_ready({"implementation": "x", "banner": "hello", "language_info": {}})
    recorder.cell_started(0)
    recorder.count(0, 1)
    recorder.warn("look")
    recorder.cell_ended(0, CellState.OK, 1.0, Usage(cpu=0.5, memory=70))
    recorder.cell_ended(1, CellState.SKIPPED)
    journal.close()
    started, ready, *_, cell, skipped = jr.read(tmp_path / "j")
    assert started["memory"] == {"file": "/sys/memory.events", "kills": 1, "boot": "b"}
    assert (cell["cpu"], cell["memory"]) == (0.5, 70)
    assert "cpu" not in skipped
    assert (started["pid"], started["runtime"]) == (7, "/run")
    assert (started["forked"], started["reason"]) == (False, "it prints")
    assert ready["info"] == {"implementation": "x", "language_info": {}}
    assert (skipped["at"], skipped["duration"]) == (None, None)
