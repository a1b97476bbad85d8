"""What a new engine says of what an old one left behind."""

from __future__ import annotations

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.engine.recovery import GONE, recover
from support.build import Story, planned


class Recoverer:
    """An executor of which only `recover` is asked."""

    def __init__(self) -> None:
        self.orders: list[WorkOrder] = []

    def recover(self, order: WorkOrder, message: str) -> Outcome:
        self.orders.append(order)
        return Outcome(verdict=Verdict.FAILED, error=TaskError(kind=ErrorKind.LOST, message=message))


def test_every_live_attempt_is_recovered_and_nothing_else() -> None:
    story = Story(planned("a"), planned("b"), planned("c"), planned("d", "a"), jobs=3)
    story.send("start")
    story.send("succeeded a/1", "failed b/1")
    executor = Recoverer()
    messages = recover(story.state, executor)  # type: ignore[arg-type]
    assert [(order.task, order.attempt) for order in executor.orders] == [("c", 1), ("d", 1)]
    story.send(*messages)
    assert story.states() == {"a": "succeeded", "b": "failed", "c": "failed", "d": "failed"}
    error = story.state.tasks["c"].error
    assert error is not None
    assert (error.kind, error.message) == (ErrorKind.LOST, GONE)


def test_a_run_that_is_not_going_on_needs_nothing() -> None:
    story = Story(planned("a"))
    assert recover(story.state, Recoverer()) == []  # type: ignore[arg-type]
