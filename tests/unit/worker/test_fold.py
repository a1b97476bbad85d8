"""From records to a notebook and an outcome: pure, the same every time, and never at odds with itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.attempt import CellCounts, ErrorKind, TaskError, Verdict
from nbflow.worker.fold import WIDGETS, Folded, FoldError, fold
from nbflow.worker.snapshot import dumps
from support.attempts import notebook

AT = "2026-01-31T02:00:00.000Z"


def header(*cells: str) -> dict[str, Any]:
    return {
        "type": "attempt",
        "version": 1,
        "at": AT,
        "order": {"run": "r", "pipeline": "p", "task": "t", "attempt": 1, "slug": "t", "logical_date": AT},
        "parameters": {"day": "2026-01-31"},
        "source": {"path": "a.ipynb", "sha256": "0", "changed": False},
        "document": notebook(*cells),
        "kernel": {"name": "python3", "display_name": "Python", "language": "python"},
        "environment": {"host": "h"},
        "worker": {"pid": 1, "started": 0.0},
    }


def began(cell: int) -> dict[str, Any]:
    return {"type": "cell_started", "cell": cell, "at": AT}


def done(cell: int, state: str = "ok", **used: Any) -> dict[str, Any]:
    return {"type": "cell_ended", "cell": cell, "state": state, "at": AT, "duration": 1.5, **used}


def stream(cell: int, text: str, name: str = "stdout") -> dict[str, Any]:
    return {"type": "output", "cell": cell, "output": {"output_type": "stream", "name": name, "text": text}}


def shown(cell: int, text: str, display: str | None = None) -> dict[str, Any]:
    output = {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}
    return {"type": "output", "cell": cell, "output": output} | ({"display": display} if display else {})


def ended(
    verdict: str = "succeeded", error: dict[str, Any] | None = None, stopped_at: int | None = None
) -> dict[str, Any]:
    return {"type": "ended", "at": AT, "verdict": verdict, "error": error, "stopped_at": stopped_at, "duration": 2.0}


def outputs(folded: Folded, cell: int = 0) -> list[Any]:
    """What a cell shows: texts of streams and of displays."""
    return [
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for output in folded.document["cells"][cell]["outputs"]
    ]


class TestStates:
    def test_a_whole_attempt(self) -> None:
        folded = fold(
            [header("1", "2"), began(0), {"type": "count", "cell": 0, "count": 1}, done(0), done(1, "skipped"), ended()]
        )
        first, second = folded.document["cells"]
        used = {"cpu_seconds": None, "peak_memory": None}
        assert first["metadata"] == {"nbflow": {"state": "ok", "start": AT, "end": AT, "duration": 1.5, **used}}
        assert first["execution_count"] == 1
        assert second["metadata"] == {"nbflow": {"state": "skipped"}}
        assert folded.outcome.verdict is Verdict.SUCCEEDED
        assert folded.outcome.cells == CellCounts(total=2, ok=1, skipped=1)
        assert folded.outcome.duration == 2.0
        assert (folded.ended, folded.running) == (True, None)

    def test_a_cell_without_an_end_was_killed(self) -> None:
        folded = fold([header("1", "2", "3"), began(0), done(0), began(1)])
        assert [cell["metadata"]["nbflow"]["state"] for cell in folded.document["cells"]] == ["ok", "killed", "not_run"]
        assert folded.document["cells"][1]["metadata"]["nbflow"] == {
            "state": "killed",
            "start": AT,
            "end": None,
            "duration": None,
            "cpu_seconds": None,
            "peak_memory": None,
        }
        assert folded.outcome.cells == CellCounts(total=3, ok=1, failed=1, not_run=1)
        assert folded.outcome.verdict is Verdict.FAILED
        assert folded.outcome.error is not None
        assert folded.outcome.error.kind is ErrorKind.LOST
        assert (folded.ended, folded.running) == (False, 1)

    def test_what_was_left_behind(self) -> None:
        """The notebook names all, the outcome the first."""
        left = [f"sleep (pid {number})" for number in range(30)]
        folded = fold([header("1"), *({"type": "left_behind", "process": one} for one in left), ended()])
        assert folded.outcome.left_behind == tuple(left[:20])
        warnings = folded.document["metadata"]["nbflow"]["warnings"]
        assert warnings == [f"a process that the notebook had left behind was ended: {one}" for one in left]

    def test_what_was_left_behind_and_could_not_be_ended(self) -> None:
        folded = fold([header("1"), {"type": "left_behind", "process": "sleep (pid 7, still running)"}, ended()])
        warnings = folded.document["metadata"]["nbflow"]["warnings"]
        text = "a process that the notebook had left behind could not be ended: sleep (pid 7, still running)"
        assert warnings == [text]

    def test_what_was_used(self) -> None:
        """Of the kernel as a whole by its end; without one, as far as its cells tell."""
        records = [
            header("1", "2", "3"),
            began(0),
            done(0, cpu=0.25, memory=7_000),
            began(1),
            done(1, cpu=0.5, memory=5),
        ]
        cells = fold(records).document["cells"]
        facts = [cell["metadata"]["nbflow"] for cell in cells]
        assert [(one.get("cpu_seconds"), one.get("peak_memory")) for one in facts] == [
            (0.25, 7_000),
            (0.5, 5),
            (None, None),
        ]
        for more, cpu, memory in (
            ([], 0.75, 7_000),
            ([{"type": "kernel_ended", "cpu": 2.0, "memory": 9_000}], 2.0, 9_000),
        ):
            folded = fold([*records, *more, ended()])
            whole = folded.document["metadata"]["nbflow"]
            assert (whole["cpu_seconds"], whole["peak_memory"]) == (cpu, memory)
            assert (folded.outcome.cpu_seconds, folded.outcome.peak_memory) == (cpu, memory)

    def test_facts_of_the_notebook(self) -> None:
        info = {
            "implementation": "ipython",
            "implementation_version": "9",
            "language_info": {"name": "python", "version": "3.12"},
        }
        error = {"kind": "exited", "message": "bye", "cell": 0, "ename": "SystemExit"}
        records = [
            header("1"),
            {"type": "kernel_started", "pid": 5, "runtime": "/run/nbflow-x", "forked": True, "reason": None},
            {"type": "kernel_ready", "info": info},
            {"type": "value", "cell": 0, "name": "day", "value": {"$date": "2026-01-31"}},
            {"type": "warning", "text": "look"},
            {"type": "packages", "changed": {"six": ["1", "2"]}},
            ended("failed", error),
            {"type": "published", "files": []},
        ]
        folded = fold(records)
        metadata = folded.document["metadata"]
        facts = metadata["nbflow"]
        assert facts["error"] == {"kind": "exited", "message": "bye", "cell": 0, "ename": "SystemExit", "signal": None}
        assert (facts["state"], facts["started"], facts["ended"], facts["duration"]) == ("failed", AT, AT, 2.0)
        assert facts["outputs"] == {"day": "2026-01-31"}
        assert facts["parameters"] == {"day": "2026-01-31"}
        assert facts["warnings"] == ["look"]
        assert facts["environment"] == {
            "host": "h",
            "kernel": "python3",
            "kernel_start": "forked",
            "kernel_start_reason": None,
            "kernel_version": "ipython 9",
            "python": "3.12",
            "packages_changed": {"six": ["1", "2"]},
        }
        assert metadata["kernelspec"]["display_name"] == "Python"
        assert metadata["language_info"] == info["language_info"]
        assert folded.outcome.outputs == {"day": {"$date": "2026-01-31"}}
        assert folded.outcome.error == TaskError(kind=ErrorKind.EXITED, message="bye", cell=0, ename="SystemExit")
        assert folded.runtime == "/run/nbflow-x"

    def test_without_a_kernel_the_notebook_keeps_its_own(self) -> None:
        folded = fold([{**header("1"), "kernel": {}}, ended("failed")])
        assert folded.document["metadata"]["kernelspec"]["display_name"] == "Some kernel"
        assert folded.outcome.kernel is None

    def test_an_early_end(self) -> None:
        folded = fold([header("1", "2"), began(0), done(0), ended(stopped_at=0)])
        assert folded.outcome.stopped_at == 0
        assert folded.document["metadata"]["nbflow"]["stopped_at"] == 0

    @pytest.mark.parametrize(
        ("records", "said"),
        [
            ([{"type": "ended"}], "does not begin as one does"),
            ([{"type": "attempt", "version": 99}], "is of version 99, and this nbflow reads version 1"),
            ([{"type": "attempt", "version": 1}], r"cannot read: KeyError\('document'\)"),
            ([header("1"), {"type": "warning"}], r"cannot read: KeyError\('text'\)"),
        ],
    )
    def test_a_journal_of_another_version_is_refused(self, records: list[dict[str, Any]], said: str) -> None:
        with pytest.raises(FoldError, match=said):
            fold(records)

    def test_an_unknown_record_is_refused(self) -> None:
        with pytest.raises(FoldError, match="'teleported'"):
            fold([header("1"), {"type": "teleported"}])


class TestOutputs:
    def test_texts_of_one_stream_are_joined(self) -> None:
        folded = fold(
            [
                header("1"),
                stream(0, "a"),
                stream(0, "b"),
                stream(0, "!", "stderr"),
                stream(0, "c"),
                shown(0, "x"),
                stream(0, "d"),
            ]
        )
        assert outputs(folded) == ["ab", "!", "c", "x", "d"]

    def test_clearing_at_once_and_when_something_comes(self) -> None:
        clear, wait = {"type": "clear", "cell": 0, "wait": False}, {"type": "clear", "cell": 0, "wait": True}
        assert outputs(fold([header("1"), stream(0, "a"), clear])) == []
        assert outputs(fold([header("1"), stream(0, "a"), wait])) == ["a"]
        assert outputs(fold([header("1"), stream(0, "a"), wait, stream(0, "b")])) == ["b"]
        assert outputs(fold([header("1"), stream(0, "a"), wait, clear, stream(0, "b")])) == ["b"]

    def test_displays_are_updated_wherever_they_are(self) -> None:
        update = {"type": "update", "display": "d", "data": {"text/plain": "new"}, "metadata": {"m": 1}}
        folded = fold([header("1", "2"), shown(0, "old", "d"), shown(0, "other"), shown(1, "old", "d"), update])
        assert (outputs(folded, 0), outputs(folded, 1)) == (["new", "other"], ["new"])
        assert folded.document["cells"][1]["outputs"][0]["metadata"] == {"m": 1}

    def test_the_tail_of_a_flood_says_what_is_missing(self) -> None:
        tail = {"type": "tail", "cell": 0, "name": "stdout", "text": "end", "omitted": 12345}
        (text,) = outputs(fold([header("1"), stream(0, "head"), tail]))
        assert text == "head\n[truncated: 12,345 characters of stdout are left out here]\nend"
        assert outputs(fold([header("1"), stream(0, "head"), {**tail, "omitted": 0}])) == ["headend"]

    def test_it_says_where_all_of_it_is(self) -> None:
        spool = {"type": "spool", "cell": 0, "name": "stdout", "file": "cell-1.stdout.txt.gz", "head": 4, "tail": 3}
        tail = {"type": "tail", "cell": 0, "name": "stdout", "text": "end", "omitted": 7}
        folded = fold([header("1"), stream(0, "head"), spool, tail])
        assert "; all of it is beside this in t.cell-1.stdout.txt.gz]" in outputs(folded)[0]
        entry = {"cell": 0, "output": "stdout", "file": "cell-1.stdout.txt.gz"}
        assert folded.document["metadata"]["nbflow"]["spooled"] == [entry]
        assert folded.open_texts == ()
        ((cell, text),) = fold([header("1"), stream(0, "head"), spool]).open_texts
        assert (cell, text.told, text.tail) == (0, 4, 3)

    def test_files_go_with_what_refers_to_them(self) -> None:
        spool = {"type": "spool", "cell": 0, "name": "stdout", "file": "cell-1.stdout.txt.gz", "head": 4, "tail": 3}
        image = {**shown(0, "a", "d"), "files": [{"file": "cell-1.output-1.png", "mime": "image/png"}]}
        update = {"type": "update", "display": "d", "data": {"text/plain": "b"}, "metadata": {}}
        clear = {"type": "clear", "cell": 0, "wait": False}
        both = fold([header("1"), stream(0, "head"), spool, image])
        assert [one["output"] for one in both.document["metadata"]["nbflow"]["spooled"]] == ["stdout", "output-1"]
        assert "files" not in both.document["cells"][0]["outputs"][1]
        for records in ([image, update], [stream(0, "head"), spool, image, clear]):
            folded = fold([header("1"), *records])
            assert folded.document["metadata"]["nbflow"]["spooled"] == []
            assert folded.open_texts == ()

    def test_lines_written_again_are_collapsed(self) -> None:
        folded = fold([header("1"), stream(0, "a\n10%"), stream(0, "\r20%"), stream(0, "\r30%\n")])
        assert outputs(folded) == ["a\n30%\n"]

    def test_widgets(self) -> None:
        def state(comm: str, **values: Any) -> dict[str, Any]:
            return {"type": "widget", "comm": comm, "state": values, "buffers": []}

        buffer = {"path": ["data"], "data": "aGk=", "encoding": "base64"}
        records = [
            header("1"),
            state("a", _model_name="M", _model_module="mod", _model_module_version="1", value=1),
            {**state("a", value=2), "buffers": [buffer]},
            state("b", _model_name="OutputModel", outputs=[]),
            {"type": "widget_output", "comm": "b", "output": {"output_type": "stream", "name": "stdout", "text": "x"}},
            {"type": "widget_output", "comm": "b", "output": {"output_type": "stream", "name": "stdout", "text": "y"}},
            state("nameless", value=1),
            ended("failed"),
        ]
        found = fold(records).document["metadata"]["widgets"][WIDGETS]
        assert (found["version_major"], found["version_minor"]) == (2, 0)
        assert set(found["state"]) == {"a", "b"}
        assert found["state"]["a"]["state"]["value"] == 2
        assert found["state"]["a"]["buffers"] == [buffer]
        assert found["state"]["a"]["model_module_version"] == "1"
        assert found["state"]["b"]["state"]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "xy"}]

    def test_an_output_widget_is_cleared_or_set_by_the_kernel(self) -> None:
        captured = {
            "type": "widget_output",
            "comm": "b",
            "output": {"output_type": "stream", "name": "stdout", "text": "x"},
        }
        made = {"type": "widget", "comm": "b", "state": {"_model_name": "OutputModel", "outputs": []}, "buffers": []}
        for last in (
            {"type": "widget_clear", "comm": "b", "wait": False},
            {"type": "widget", "comm": "b", "state": {"outputs": []}, "buffers": []},
        ):
            folded = fold([header("1"), made, captured, last])
            assert folded.document["metadata"]["widgets"][WIDGETS]["state"]["b"]["state"]["outputs"] == []


events = st.one_of(
    st.builds(began, st.integers(0, 2)),
    st.builds(done, st.integers(0, 2), st.sampled_from(["ok", "failed", "killed"])),
    st.builds(stream, st.integers(0, 2), st.text(max_size=5), st.sampled_from(["stdout", "stderr"])),
    st.builds(shown, st.integers(0, 2), st.text(max_size=5), st.none() | st.just("d")),
    st.just({"type": "update", "display": "d", "data": {"text/plain": "u"}, "metadata": {}}),
    st.builds(lambda cell, wait: {"type": "clear", "cell": cell, "wait": wait}, st.integers(0, 2), st.booleans()),
)


@given(st.lists(events, max_size=20))
def test_it_is_pure_and_the_same_every_time(found: list[dict[str, Any]]) -> None:
    records = [header("1", "2", "3"), *found, ended("failed")]
    before = copy.deepcopy(records)
    first, second = fold(records), fold(copy.deepcopy(before))
    assert records == before
    assert dumps(first.document) == dumps(second.document)
    counts = first.outcome.cells
    assert counts.total == counts.ok + counts.failed + counts.skipped + counts.not_run == 3
