"""Events as plain lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbflow.cli.lines import Lines, is_of
from nbflow.cli.output import Output
from nbflow.cli.progress import Progress
from nbflow.core import events as ev
from nbflow.core.attempt import CellCounts, CellState, Outcome, Verdict
from nbflow.core.messages import Cancel, CellDone, CellOutput, Finished, StopMode
from nbflow.core.plan import Action
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import fold
from support.build import Story, planned, stamp
from support.commands import TextFile


def lines(story: Story, **more: Any) -> list[str]:
    """What is written of a story, without the times."""
    stream = TextFile()
    show = Lines(Output(stream), Progress(fold(story.history[:1])), **more)
    for stamped in story.history[1:]:
        show(stamped)
    return [text[10:] for text in stream.getvalue().splitlines()]


def a_story() -> Story:
    story = Story(
        planned("extract", retry=RetryPolicy(retries=1)), planned("clean", "extract"), planned("report", "clean")
    )
    story.send("start")
    story.send("started extract/1", "cell extract/1 1", "celldone extract/1 1 ok")
    story.send("failed extract/1 exception:OSError", at=1)
    story.send("tick", at=2)
    story.send("succeeded extract/2", at=12)
    story.send("started clean/1", "cell clean/1 2", "failed clean/1 timeout", at=13)
    return story


def test_a_line_for_each_thing_that_happens() -> None:
    assert lines(a_story()) == [
        "run sales-20260131T120000-k3fa: 3 tasks, 2 at once",
        "● extract  running",
        "↻ extract  attempt 1 failed (exception); retry 1 of 1 in 0s: OSError: it broke",
        "● extract  running, attempt 2",
        "✓ extract  succeeded in 12s, 0 cells",
        "● clean    running",
        "✗ clean    failed after 1s: timeout: it broke",
        "⊘ report   upstream failed: clean failed",
        "✗ run failed",
    ]


def test_what_a_notebook_has_left_behind() -> None:
    story = Story(*map(planned, "abcd"))
    story.send("start", *(f"started {task}/1" for task in "abcd"))
    left = tuple(f"sleep (pid {number})" for number in range(4))
    stays = "sudo (pid 9, still running)"
    for task, some in (("a", left), ("b", left[:1]), ("c", (left[0], stays)), ("d", (stays,))):
        story.send(Finished(task=task, attempt=1, outcome=Outcome(verdict=Verdict.SUCCEEDED, left_behind=some)))
    assert [line for line in lines(story) if "left" in line] == [
        "! a  left behind, and was ended: sleep (pid 0), sleep (pid 1), sleep (pid 2) and 1 more",
        "! b  left behind, and was ended: sleep (pid 0)",
        "! c  left behind, and was ended: sleep (pid 0); could not be ended: sudo (pid 9, still running)",
        "! d  left behind, and could not be ended: sudo (pid 9, still running)",
    ]


def test_times_are_those_of_the_project() -> None:
    story = Story(planned("a"), timezone="Europe/Prague")
    story.send("start")
    stream = TextFile()
    Lines(Output(stream), Progress(fold(story.history[:1])))(story.history[1])
    assert stream.getvalue().startswith("13:00:00  run ")


def test_cells_are_told_when_asked() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send(
        "started a/1",
        "cell a/1 1",
        "celldone a/1 1 ok",
        "cell a/1 2",
        "celldone a/1 2 killed",
        "celldone a/1 3 skipped",
    )
    assert lines(story, verbose=True)[2:] == [
        "● a  cell 1/2 x = 1",
        "✓ a  cell 1/2 0.5s",
        "● a  cell 2/2 x = 1",
        "✗ a  cell 2/2 killed after 0.5s",
        "» a  cell 3/2 skipped",
    ]


def test_only_one_task() -> None:
    assert lines(a_story(), only="clean")[1:-1] == [
        "● clean  running",
        "✗ clean  failed after 1s: timeout: it broke",
    ]


def test_what_the_plan_leaves_out_has_no_line() -> None:
    story = Story(planned("a"), planned("b", action=Action.SKIP, reason="not selected"))
    story.send("start")
    assert lines(story) == ["run sales-20260131T120000-k3fa: 1 task, 2 at once", "● a  running"]


def test_a_stop_names_who_asked_or_what_to_do_next() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send(Cancel(mode=StopMode.INTERRUPT, by="Ctrl-C"))
    stopping = "stopping: the kernels are interrupted and the notebooks saved"
    assert lines(story)[-1] == f"{stopping} (because of Ctrl-C)"
    assert lines(story, ours=True)[-1] == f"{stopping}; Ctrl-C again kills them"
    story.send("interrupt force")
    assert lines(story)[-1] == "stopping now: the kernels are killed"


def test_a_run_at_which_nothing_goes_on_says_once_what_it_waits_for() -> None:
    story = Story(planned("a", pool="db"), planned("b"), pools={"db": 1})
    waits = {"db": "waits for pool db (1 of 1 taken, by run x)"}
    story.send("start")
    stream = TextFile()
    show = Lines(Output(stream), Progress(fold(story.history[:1])), waits=lambda: waits)
    story.send("succeeded a/1")
    for stamped in [*story.history[1:3], *story.history[1:]]:
        show(stamped)
    shown = [text[10:] for text in stream.getvalue().splitlines()]
    assert shown.count(waits["db"]) == 1
    assert shown.index(waits["db"]) == 1


def test_a_reason_does_not_say_the_state_once_more() -> None:
    story = Story(planned("a"), planned("b", "a"))
    story.send("start")
    story.send(Cancel(mode=StopMode.CANCEL, by="nbflow cancel"))
    assert lines(story)[-1] == "■ b  cancelled: by nbflow cancel"


def test_ctrl_c_again_is_told_to_whom_pressed_it_alone() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send(Cancel(mode=StopMode.TIMEOUT, by="the run's time limit"))
    assert lines(story, ours=True)[-1].endswith("notebooks saved (because of the run's time limit)")


def test_cells_that_did_not_run_are_not_counted_as_run() -> None:
    story = Story(planned("exit0"))
    story.send("start")
    cells = CellCounts(total=3, ok=2, not_run=1)
    outcome = Outcome(verdict=Verdict.SUCCEEDED, duration=1, cells=cells)
    story.send("started exit0/1", Finished(task="exit0", attempt=1, outcome=outcome), at=1)
    assert lines(story)[-2] == "✓ exit0  succeeded in 1s, 2 of 3 cells"


def said(text: str, task: str = "a", cell: int = 1) -> CellOutput:
    return CellOutput(task=task, attempt=1, cell=cell, number=cell, text=text)


def ended(preview: str, cell: int = 1) -> CellDone:
    return CellDone(task="a", attempt=1, cell=cell, number=cell, state=CellState.OK, duration=0.1, preview=preview)


def test_what_a_cell_printed_stands_before_its_end() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send("started a/1", "cell a/1 1", ended("\x1b[31mone\x1b[0m\n\n  two\x07\n"))
    assert lines(story, verbose=True)[2:] == [
        "● a  cell 1/2 x = 1",
        "│ a  one",
        "│ a",
        r"│ a    two\x07",
        "✓ a  cell 1/2 0.1s",
    ]
    assert lines(story)[-1] == "● a  running"


def test_what_was_shown_as_it_came_is_not_shown_again_at_the_end() -> None:
    story = Story(planned("long_name"), planned("a"))
    story.send("start")
    story.send("started a/1", "cell a/1 1", said("one\ntw"), said("o"), said("\nthree\n"), ended("one\ntwo\nthree\n"))
    story.send("cell a/1 2", said("late\n"), said("other\n", "long_name"), ended("quick\n", 2))
    assert lines(story, verbose=True)[3:] == [
        "● a          cell 1/2 x = 1",
        "│ a          one",
        "│ a          tw",
        "│ a          o",
        "│ a          three",
        "✓ a          cell 1/2 0.1s",
        "● a          cell 2/2 x = 1",
        "│ a          late",
        "│ long_name  other",
        "│ a          quick",
        "✓ a          cell 2/2 0.1s",
    ]
    assert "other" not in "".join(lines(story, verbose=True, only="a"))


def test_names_and_texts_from_outside_cannot_reach_the_terminal() -> None:
    evil = "a[\x1b]0;owned\x07]"
    story = Story(planned(evil), planned("b", evil))
    story.send("start")
    history = [
        replace(
            one,
            event=replace(one.event, reason="\x1b[2J\nforged line")
            if isinstance(one.event, ev.TaskBlocked)
            else one.event,
        )
        for one in [*story.history, *stamp([ev.TaskBlocked(task="b", reason="x")], seq=story.state.seq + 1)]
    ]
    story.history = history
    written = "\n".join(lines(story))
    assert "\x1b" not in written
    assert "\nforged" not in written
    assert r"a[\x1b]0;owned\x07]" in written


def a_list() -> Story:
    story = Story(planned("score", for_each=["a", "b"]), planned("report", "score"))
    story.send("start")
    story.send("succeeded score[b]/1", "failed score[a]/1", at=2)
    return story


def test_copies_of_a_list_have_lines_of_their_own() -> None:
    assert lines(a_list()) == [
        "run sales-20260131T120000-k3fa: 2 tasks, 2 at once",
        "· score   for_each has 2 items",
        "● score[a]  running",
        "● score[b]  running",
        "✓ score[b]  succeeded in 2s, 0 cells",
        "✗ score[a]  failed after 2s: exception: it broke",
        "⊘ report  upstream failed: score[a] failed",
        "✗ run failed",
    ]


def test_whoever_follows_a_task_hears_of_its_copies() -> None:
    told = lines(a_list(), only="score")
    assert [one.split()[1] for one in told if "run" not in one.split()[:2]][:1] == ["score"]
    assert not [one for one in told if "report" in one]
    assert len([one for one in told if "score[" in one]) == 4
    assert [is_of(name, "score") for name in ("score", "score[a]", "scores", None)] == [True, True, False, False]
