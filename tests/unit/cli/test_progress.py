"""A run as it is watched: the fold of its events."""

from __future__ import annotations

import pytest

from nbflow.cli.progress import LONGEST_LINE, Progress, describe_error
from nbflow.core.attempt import ErrorKind, TaskError
from nbflow.core.messages import CellOutput
from nbflow.core.plan import Action
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import fold
from nbflow.core.status import TaskState
from support.build import Story, planned


def watched(story: Story) -> Progress:
    """The progress of a story from its beginning."""
    progress = Progress(fold(story.history[:1]))
    for stamped in story.history[1:]:
        progress.take(stamped)
    return progress


def test_it_agrees_with_the_state_of_the_run() -> None:
    story = Story(
        planned("a", retry=RetryPolicy(retries=1)),
        planned("b", "a"),
        planned("c", "b"),
        planned("d", "a", action=Action.SKIP),
    )
    story.send("start")
    story.send("failed a/1", at=1)
    story.send("tick", at=2)
    story.send("succeeded a/2", at=3)
    story.send("failed b/1", at=4)
    progress = watched(story)
    assert {name: task.state.value for name, task in progress.tasks.items()} == story.states()
    story.send("resume", "start", at=5)
    story.send("succeeded b/2", at=6)
    progress = watched(story)
    assert {name: task.state.value for name, task in progress.tasks.items()} == story.states()
    assert progress.count(*TaskState) == 3, "what the plan leaves out is not watched"
    assert {name for names in progress.by_state.values() for name in names} == {"a", "b", "c"}


def test_cells_of_a_running_task() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send("started a/1", "cell a/1 2")
    task = watched(story).tasks["a"]
    assert (task.cell, task.cells, task.title) == (2, 2, "x = 1")
    story.send("failed a/1 exception:ValueError", at=3.5)
    task = watched(story).tasks["a"]
    assert task.seconds == 3.5
    assert task.error_text() == "ValueError: it broke"


def test_the_last_line_that_the_cell_has_printed() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send("started a/1", "cell a/1 1")

    def said(text: str, cell: int = 1) -> str:
        story.send(CellOutput(task="a", attempt=1, cell=cell, number=cell, text=text))
        return watched(story).tasks["a"].said

    assert said("one\ntwo\n") == "two"
    assert said("\n  \n") == "two"
    assert said("half of ") == "half of "
    assert said("three") == "half of three"
    assert said("x" * 10_000) == "x" * LONGEST_LINE
    story.send("celldone a/1 1 ok", "cell a/1 2")
    assert watched(story).tasks["a"].said == ""
    assert said("late\n", cell=1) == "", "of a cell that is over"


def test_a_new_attempt_forgets_the_cells_of_the_last() -> None:
    story = Story(planned("a", retry=RetryPolicy(retries=1)))
    story.send("start")
    story.send("started a/1", "cell a/1 2", "failed a/1")
    story.send("tick")
    assert story.states()["a"] == "running"
    task = watched(story).tasks["a"]
    assert (task.attempt, task.cell, task.cells, task.error) == (2, 0, 0, None)


def test_it_may_begin_in_the_middle() -> None:
    story = Story(planned("a"), planned("b"))
    story.send("start")
    story.send("succeeded a/1", "failed b/1", at=2)
    progress = Progress(story.state)
    assert progress.tasks["a"].seconds == 2
    before = len(story.history)
    story.send("resume", "start")
    for stamped in story.history[before:]:
        progress.take(stamped)
    assert progress.tasks["a"].state is TaskState.SUCCEEDED
    assert progress.tasks["b"].state is TaskState.RUNNING
    assert progress.tasks["b"].began == story.now


def test_a_stop_is_remembered_until_it_is_resumed() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send("interrupt")
    assert watched(story).stopping is not None
    story.send("stopped a/1")
    story.send("resume", "start")
    progress = watched(story)
    assert progress.stopping is None
    assert progress.ended is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TaskError(kind=ErrorKind.EXCEPTION, message="bad\ninput", ename="ValueError"), "ValueError: bad input"),
        (TaskError(kind=ErrorKind.EXCEPTION, message="ValueError: bad", ename="ValueError"), "ValueError: bad"),
        (TaskError(kind=ErrorKind.TIMEOUT, message="30 s passed"), "timeout: 30 s passed"),
        (TaskError(kind=ErrorKind.EXCEPTION, message="\x1b[31mred", ename=None), r"exception: \x1b[31mred"),
    ],
)
def test_errors_in_a_line(error: TaskError, text: str) -> None:
    assert describe_error(error) == text


def test_copies_of_a_list_take_the_place_of_their_task() -> None:
    story = Story(planned("clean"), planned("score", "clean", for_each=["b", "a"]), planned("report", "score"), jobs=9)
    story.send("start")
    story.send("succeeded clean/1")
    story.send("succeeded score[b]/1")
    progress = watched(story)
    assert progress.watched == ["clean", "score[b]", "score[a]", "report"] == list(progress.tasks)
    assert progress.tasks["report"].waits_for == ("score[b]", "score[a]")
    assert progress.tasks["score[a]"].waits_for == ("clean",)
    assert list(progress.by_state[TaskState.PENDING]) == ["report"]
    assert {name: task.state for name, task in progress.tasks.items()} == story.states()


def test_an_empty_list_leaves_its_task() -> None:
    story = Story(planned("score", for_each="{{ params.files }}"), params={"files": []})
    story.send("start")
    progress = watched(story)
    assert (progress.tasks["score"].state, progress.watched) == (TaskState.SUCCEEDED, ["score"])
    assert progress.tasks["score"].reason == "for_each has no items: there is nothing to run"


def test_a_list_that_is_made_anew_adds_its_new_copies() -> None:
    ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
    score = planned("score", "up[1]", "up[2]", for_each="{{ tasks.up.outputs.x }}", run_if="all_done")
    story = Story(*ups, score, planned("report", "score"), jobs=9)
    story.send("start")
    story.send("succeeded up[1]/1 x=10", "failed up[2]/1")
    story.send("succeeded score[10]/1", "failed score[None]/1")
    story.send("resume", "start")
    story.send("succeeded up[2]/2 x=20")
    progress = watched(story)
    assert progress.watched == ["up[1]", "up[2]", "score[10]", "score[None]", "score[20]", "report"]
    assert {name: task.state.value for name, task in progress.tasks.items()} == story.states()


LISTS = {0: "nothing", 1: "fewer", 2: "others", 3: "more"}
"""What a list of `a` and `b` becomes, by what its upstream gives at last."""
SOURCE = (
    "{{ ['a', 'b'] if tasks.up.outputs.x[1] == None else [[], ['b'], ['c'], ['c', 'b', 'a']][tasks.up.outputs.x[1]] }}"
)


@pytest.mark.parametrize("given", LISTS, ids=LISTS.__getitem__)
@pytest.mark.parametrize("seen", ["from the beginning", "from the resume on"])
def test_a_list_becomes_another(given: int, seen: str) -> None:
    ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
    score = planned("score", "up[1]", "up[2]", for_each=SOURCE, run_if="all_done")
    story = Story(*ups, score, planned("report", "score"), planned("end", "report"), jobs=9)
    story.send("start")
    story.send("succeeded up[1]/1 x=0", "failed up[2]/1")
    story.send("succeeded score[a]/1", "failed score[b]/1")
    middle, before = Progress(story.state), len(story.history)
    story.send("resume", "start")
    story.send(f"succeeded up[2]/2 x={given}")
    progress = watched(story) if seen == "from the beginning" else middle
    for stamped in story.history[before:] if progress is middle else ():
        progress.take(stamped)
    copies = ["score[a]", "score[b]", *(["score[c]"] if given > 1 else [])]
    assert progress.watched == list(progress.tasks) == ["up[1]", "up[2]", *copies, "report", "end"]
    assert progress.tasks["report"].waits_for == tuple(copies)
    assert {name: task.state.value for name, task in progress.tasks.items()} == story.states()
    assert {name: state for state, names in progress.by_state.items() for name in names} == story.states()
