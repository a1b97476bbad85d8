"""What a reply means: every kind of end has one state and one verdict."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow.core.attempt import CellState, ErrorKind, Verdict
from nbflow.worker.judge import Judged, cut_off, ended_itself, judge, readable, title
from nbflow.worker.session import Ending

EXIT = {"status": "ok", "payload": [{"source": "ask_exit", "keepkernel": False}]}


def error(ename: str, evalue: str = "") -> dict[str, Any]:
    return {"status": "error", "ename": ename, "evalue": evalue, "traceback": []}


def failure(judged: Judged) -> tuple[ErrorKind, str, int | None, str | None]:
    assert judged.state is CellState.FAILED
    assert judged.ending is not None
    assert judged.ending.verdict is Verdict.FAILED
    assert judged.ending.error is not None
    found = judged.ending.error
    return found.kind, found.message, found.cell, found.ename


def test_a_reply_that_is_fine() -> None:
    assert judge(3, {"status": "ok"}, may_raise=False) == Judged(state=CellState.OK)
    assert judge(3, {"status": "ok", "payload": [{"source": "page"}, 1]}, may_raise=False).ending is None


def test_an_exception() -> None:
    judged = judge(3, error("ValueError", "no"), may_raise=False)
    assert failure(judged) == (ErrorKind.EXCEPTION, "ValueError: no", 3, "ValueError")
    assert failure(judge(3, error("KeyError"), may_raise=False))[1] == "KeyError"


@pytest.mark.parametrize("evalue", ["", "0", "None", "False"])
def test_an_end_on_purpose(evalue: str) -> None:
    judged = judge(3, error("SystemExit", evalue), may_raise=False)
    assert judged == Judged(state=CellState.OK, ending=Ending(verdict=Verdict.SUCCEEDED, stopped_at=3))


def test_exit_and_quit_end_on_purpose_too() -> None:
    """Whatever the cell may raise: the kernel is about to end."""
    for may_raise in (False, True):
        assert judge(3, EXIT, may_raise=may_raise) == Judged(
            state=CellState.OK, ending=Ending(verdict=Verdict.SUCCEEDED, stopped_at=3)
        )


@pytest.mark.parametrize(("status", "said"), [(3, "exit code 3"), ("no data", '"no data"'), (0, None), (True, None)])
def test_exit_with_a_status(status: object, said: str | None) -> None:
    """IPython's `exit` takes it for its flag `keep_kernel`."""
    judged = judge(3, {"status": "ok", "payload": [{"source": "ask_exit", "keepkernel": status}]}, may_raise=False)
    if said is None:
        assert judged.ending == Ending(verdict=Verdict.SUCCEEDED, stopped_at=3)
    else:
        kind, message, _, ename = failure(judged)
        assert (kind, ename) == (ErrorKind.EXITED, "SystemExit")
        assert said in message


def test_a_question_that_nobody_can_answer_says_what_to_do() -> None:
    kind, message, _, _ = failure(judge(3, error("StdinNotImplementedError", "getpass was called"), may_raise=False))
    assert kind is ErrorKind.EXCEPTION
    assert "make it a parameter, or a secret" in message
    assert "getpass was called" in message


@pytest.mark.parametrize(
    ("evalue", "said"), [("3", "exit code 3"), ("-1", "exit code -1"), ("no data", '"no data"'), ("True", '"True"')]
)
def test_an_end_with_a_fault(evalue: str, said: str) -> None:
    kind, message, _, ename = failure(judge(3, error("SystemExit", evalue), may_raise=False))
    assert (kind, ename) == (ErrorKind.EXITED, "SystemExit")
    assert said in message


def test_a_cell_that_may_raise() -> None:
    for reply in (error("ValueError"), error("SystemExit", "3")):
        assert judge(3, reply, may_raise=True) == Judged(state=CellState.OK)
    calm = judge(3, {"status": "ok"}, may_raise=True)
    assert calm.ending is None
    assert calm.warning == "is tagged raises-exception and did not raise"


def test_a_failed_display_is_named_by_what_it_showed() -> None:
    judged = judge(3, error("NoneType", "None"), may_raise=False, shown=("ZeroDivisionError", "division by zero"))
    assert failure(judged)[1:] == ("ZeroDivisionError: division by zero", 3, "ZeroDivisionError")


def test_a_cell_that_shows_an_error_has_failed_whatever_it_replied() -> None:
    """As with papermill: the error of a callback, or one that was caught and shown, is an error."""
    for reply in ({"status": "ok"}, EXIT):
        judged = judge(3, reply, may_raise=False, shown=("ParseException", "Expected end of text"))
        assert failure(judged) == (ErrorKind.EXCEPTION, "ParseException: Expected end of text", 3, "ParseException")
    assert judge(3, {"status": "ok"}, may_raise=True, shown=("E", "")) == Judged(state=CellState.OK)
    assert judge(3, {"status": "ok"}, may_raise=False, shown=("SystemExit", "0")) == Judged(state=CellState.OK)


def test_a_value_that_was_refused_fails_the_cell_whatever_it_replied() -> None:
    for reply in ({"status": "ok"}, EXIT, error("ValueError")):
        assert failure(judge(3, reply, may_raise=True, refused="no")) == (ErrorKind.EXCEPTION, "no", 3, "OutputError")


@pytest.mark.parametrize("reply", [{}, {"status": "aborted"}, {"status": "error"}])
def test_a_reply_that_says_nothing_is_a_failure(reply: dict[str, Any]) -> None:
    kind, message, _, ename = failure(judge(3, reply, may_raise=False))
    assert kind is ErrorKind.EXCEPTION
    assert "replied" in message
    assert ename is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (error("", "2"), "the last command ended with exit code 2"),
        (error("", "Cell has trailing backslash"), "Cell has trailing backslash"),
        (error("ERROR", "Error in f(): no\n"), "Error in f(): no"),
        (error("ERROR", "no"), "ERROR: no"),
        ({"status": "abort", "execution_count": 1}, "the cell was interrupted"),
    ],
)
def test_how_kernels_of_other_languages_say_it(reply: dict[str, Any], said: str) -> None:
    kind, message, _, ename = failure(judge(3, reply, may_raise=False, shown=None))
    assert (kind, message, ename) == (ErrorKind.EXCEPTION, said, reply.get("ename") or None)


def test_an_error_without_a_name_that_is_only_shown() -> None:
    assert failure(judge(3, {"status": "ok"}, may_raise=False, shown=("", "2")))[3] is None


def test_a_notebook_that_has_ended_itself_behind_its_kernel() -> None:
    assert ended_itself(3, 0) == Judged(state=CellState.OK, ending=Ending(verdict=Verdict.SUCCEEDED, stopped_at=3))
    assert failure(ended_itself(3, 7)) == (ErrorKind.EXITED, "the notebook ended itself with exit code 7", 3, None)
    gone = ended_itself(3, None)
    assert gone.state is CellState.KILLED
    assert gone.ending is not None
    assert gone.ending.error is not None
    assert (gone.ending.error.kind, gone.ending.error.cell) == (ErrorKind.KERNEL_DIED, 3)


def test_output_that_never_ended() -> None:
    kind, message, cell, _ = failure(cut_off(3))
    assert (kind, cell) == (ErrorKind.EXCEPTION, 3)
    assert "3" not in message


def test_messages_are_readable() -> None:
    assert readable("\x1b[31mred\x1b[0m\n\ttext\x00\r") == "red\n\ttext"
    cut = readable("a" * 5_000 + "z")
    assert len(cut) <= 2_000
    assert cut.startswith("aaa")
    assert cut.endswith("az")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("\n  \n# ## Load the data\nx = 1", "Load the data"),
        ("#\nx = 1", "x = 1"),
        ("x" * 100, "x" * 77 + "..."),
        ("print('\x1b[31m')", "print(' ')"),
    ],
)
def test_titles(source: str, expected: str) -> None:
    assert title(source) == expected
