"""The live table, frame by frame, on a terminal that is a text."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from nbflow.cli.live import LiveTable
from nbflow.cli.output import Output
from nbflow.cli.progress import Progress
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.messages import Cancel, CellOutput, CellStart, Finished, StopMode
from nbflow.core.plan import Action
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import fold
from support.build import Story, planned
from support.commands import Terminal


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def frame(
    story: Story,
    past: Mapping[str, float] | None = None,
    *,
    encoding: str = "utf-8",
    waits: Mapping[str, str] | None = None,
) -> list[str]:
    """The lines of the table as it stands after a story."""
    stream = Terminal()
    stream.encoding = encoding  # type: ignore[misc]
    table = LiveTable(Output(stream), Progress(fold(story.history[:1])), past or {}, lambda: waits or {})
    for stamped in story.history[1:]:
        table(stamped)
    with table._console.capture() as captured:
        table._console.print(table._frame())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_every_task_has_a_row_that_says_what_it_does() -> None:
    story = Story(
        planned("extract", retry=RetryPolicy(retries=1, delay=60)),
        planned("clean"),
        planned("load"),
        planned("report", "extract", "clean"),
        planned("mail", "report", run_if="all_done"),
        planned("other", action=Action.SKIP),
    )
    story.send("start")
    story.send("failed extract/1 exception:OSError", at=1)
    story.send("started clean/1", "cell clean/1 2", at=1)
    lines = frame(story)
    assert lines[0].startswith("sales  sales-20260131T120000-k3fa")
    assert lines[1:6] == [
        "  ↻ extract     0s  again in 1m 07s: OSError: it broke",
        "  ● clean       0s  cell 2/2  x = 1",
        "  ● load        0s  starting the kernel",
        "  · report          waits for extract, clean",
        "  · mail            waits for report",
    ]
    assert lines[6].endswith("0/5 tasks · 2 running · 1 retrying")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ("80", "  ● a     0s  cell 1/2  x = 1  │ 2 of 10 files: orders-2026-01-31-europe.parque…"),
        ("40", "  ● a     0s  cell 1/2  x = 1  │ 2 of 1…"),
        ("110", "  ● a     0s  cell 1/2  x = 1  │ 2 of 10 files: orders-2026-01-31-europe.parquet is being read"),
    ],
)
def test_the_last_line_that_a_cell_has_printed(columns: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    story = Story(planned("a"))
    story.send("start")
    text = "1 of 10 files\n2 of 10 files: orders-2026-01-31-europe.parquet\tis being read\n\n"
    story.send("started a/1", "cell a/1 1", CellOutput(task="a", attempt=1, cell=1, number=1, text=text))
    assert frame(story)[1] == line
    story.send("celldone a/1 1 ok", "cell a/1 2")
    assert frame(story)[1] == "  ● a     0s  cell 2/2  x = 1"


def test_a_printed_line_leaves_room_for_the_title_and_takes_the_rest() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send("started a/1")
    story.send(
        CellStart(task="a", attempt=1, cell=0, number=1, title="for epoch in range(epochs): train(model, epoch)")
    )
    story.send(CellOutput(task="a", attempt=1, cell=0, number=1, text="epoch 3 of 90"))
    assert frame(story)[1] == "  ● a     0s  cell 1/2  for epoch in ra…  │ epoch 3 of 90"
    assert frame(story, encoding="ascii")[1].endswith("  | epoch 3 of 90")


def test_what_has_ended_says_how_long_it_took_or_why_it_did_not_run() -> None:
    story = Story(planned("a"), planned("b", "a"), planned("c", "b", run_if="one_success"))
    story.send("start")
    story.send("failed a/1 timeout", at=75)
    lines = frame(story)
    assert lines[1:4] == [
        "  ✗ a  1m 15s  timeout: it broke",
        "  ⊘ b          a failed",
        "  ⊘ c          b could not run (one_success)",
    ]
    assert lines[4].endswith("3/3 tasks · 1 failed")


def test_what_a_notebook_has_left_behind_is_told_however_it_ended() -> None:
    story = Story(planned("a"), planned("b"), planned("c"), jobs=3)
    story.send("start")
    error = TaskError(kind=ErrorKind.TIMEOUT, message="30 s passed")
    for task, verdict in (("a", Verdict.SUCCEEDED), ("b", Verdict.FAILED), ("c", Verdict.CANCELLED)):
        if verdict is Verdict.CANCELLED:
            story.send("interrupt")
        outcome = Outcome(
            verdict=verdict, error=error if verdict is Verdict.FAILED else None, left_behind=("sleep (pid 7)",)
        )
        story.send(Finished(task=task, attempt=1, outcome=outcome))
    rows = frame(story)[1:4]
    assert all(row.endswith("; left behind, and was ended: sleep (pid 7)") for row in rows), rows
    assert [row[14:25].rstrip() for row in rows] == ["no upstream", "timeout: 30", "interrupted"]


def test_a_task_waits_for_the_pool_and_who_has_it() -> None:
    story = Story(planned("a", pool="db"), planned("b", pool="db"), planned("c"), pools={"db": 1}, jobs=2)
    story.send("start")
    rows = frame(story, waits={"db": "waits for pool db (1 of 1 taken, by run x)"})
    assert rows[2] == "  ○ b         waits for pool db (1 of 1 taken, by run x)"
    assert rows[3] == "  ● c     0s  starting the kernel"


def test_a_queued_task_waits_for_a_slot_and_a_stop_is_told() -> None:
    story = Story(planned("a"), planned("b"), jobs=1)
    story.send("start")
    assert frame(story)[2] == "  ○ b         waits for a slot"
    story.send(Cancel(mode=StopMode.INTERRUPT, by="Ctrl-C"))
    assert frame(story)[-2].startswith("stopping: the kernels are interrupted")
    assert frame(story)[-1].endswith("kills them")


@pytest.mark.parametrize(("columns", "rows"), [("80", "24"), ("40", "10"), ("200", "60")])
def test_a_big_run_fits_the_terminal(columns: str, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", rows)
    story = Story(*(planned(f"part_{place:04}") for place in range(500)), jobs=3)
    story.send("start")
    story.send("failed part_0001/1", at=1)
    story.send("interrupt", at=1)
    lines = frame(story)
    assert len(lines) < int(rows), "the prompt, and what scrolls, need one line"
    assert all(len(line) <= int(columns) for line in lines)
    shown = "\n".join(lines)
    assert all(name in shown for name in ("part_0000", "part_0001", "part_0002")), "what goes on, and what failed"


def test_what_goes_on_comes_before_what_waits_and_the_rest_is_counted() -> None:
    story = Story(*(planned(f"t{place:03}") for place in range(100)), planned("last"), jobs=2)
    story.send("start")
    for place in range(50):
        story.send(f"succeeded t{place:03}/1", at=place)
    lines = frame(story)
    assert "  ● t050  " in lines[1]
    assert lines[-2] == "    and 81 more: 31 queued, 50 succeeded"


def test_a_time_is_estimated_only_from_a_whole_history() -> None:
    story = Story(planned("a"), planned("b", "a"))
    story.send("start")
    assert "left" not in frame(story)[-1]
    assert "left" not in frame(story, {"a": 100})[-1]
    assert frame(story, {"a": 100, "b": 20})[-1].endswith("1 running · about 2m left")
    story.send("interrupt")
    assert "left" not in frame(story, {"a": 100, "b": 20})[-2]


def test_names_from_outside_neither_move_the_cursor_nor_are_markup() -> None:
    story = Story(planned("a[red]"), planned("b[\x1b[2J]"))
    story.send("start")
    lines = frame(story)
    assert "a[red]" in lines[1]
    assert r"b[\x1b[2J]" in lines[2]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    story = Story(planned("a"), planned("b", "a"))
    story.send("start")
    assert "\n".join(frame(story, encoding="ascii")).isascii()


def test_it_draws_and_outlives_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    story = Story(planned("a"))
    story.send("start")
    for stream in (Terminal(), Gone()):
        out = Output(stream)
        out.lasting = True
        table = LiveTable(out, Progress(story.state), {}, dict)
        table.begin()
        table.end()
        assert ("starting the kernel" in stream.getvalue()) is not out.gone
