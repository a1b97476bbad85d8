"""What a kernel's reply means: the state of its cell, and whether the notebook ends there. Pure.

Must not know how replies arrive or what is done about them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbflow.core.attempt import CellState, ErrorKind, TaskError, Verdict
from nbflow.core.exceptions import exception_text
from nbflow.worker.session import Ending

LONGEST_MESSAGE = 2_000
_TITLE = 80
_NO_INPUT = "the notebook asks for input, and nobody is there to answer: make it a parameter, or a secret of the task"
_CLEAN_EXITS = frozenset({"", "0", "None", "False"})
"""Texts of the SystemExit of a notebook that ended itself without a fault: `sys.exit()`, `sys.exit(0)`, ...

A reply has only the exception's text, so `sys.exit("0")` counts as `sys.exit(0)`.
"""
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The end state of a cell. `ending` is None where the next cell may run; `warning` says something of the cell.

    No text has the number of the cell: an error has it beside its message, a warning gets it where it is written.
    """

    state: CellState
    ending: Ending | None = None
    warning: str | None = None


def judge(
    index: int,
    reply: Mapping[str, Any],
    *,
    may_raise: bool,
    shown: tuple[str, str] | None = None,
    refused: str | None = None,
) -> Judged:
    """Judge the reply of cell `index`.

    `may_raise`: the cell is tagged `raises-exception`. `shown` is the last error among its outputs, `refused` why a
    value that it handed on cannot be.
    """
    if refused is not None:
        return _failed(index, ErrorKind.EXCEPTION, refused, "OutputError")
    if reply.get("status") == "ok":
        return _judge_ok(index, reply, may_raise=may_raise, shown=shown)
    ename, evalue = str(reply.get("ename", "")), str(reply.get("evalue", ""))
    if may_raise:
        return Judged(state=CellState.OK)
    if ename == "SystemExit":
        return _judge_exit(index, evalue)
    if ename in {"", "NoneType"} and shown is not None:
        ename, evalue = shown  # a reply to a failed display names no exception
    if reply.get("status") == "abort":  # as kernels for R and Bash say it
        evalue = evalue or "the cell was interrupted"
    if ename == "StdinNotImplementedError":
        evalue = f"{_NO_INPUT} ({evalue})"
    message = exception_text(ename, evalue) or f"the kernel replied {reply.get('status')!r}"
    return _failed(index, ErrorKind.EXCEPTION, message, ename or None)


def _judge_ok(index: int, reply: Mapping[str, Any], *, may_raise: bool, shown: tuple[str, str] | None) -> Judged:
    """A cell may show an error and reply that all is well: one of a callback, or one that it caught and showed."""
    if not may_raise and shown is not None and not (shown[0] == "SystemExit" and shown[1] in _CLEAN_EXITS):
        return _failed(index, ErrorKind.EXCEPTION, exception_text(*shown), shown[0] or None)
    if (status := _asked_exit(reply)) is not None:
        # Also where the cell may raise: the kernel ends in a moment, whatever anybody wishes.
        return _judge_exit(index, status)
    if may_raise and shown is None:
        return Judged(state=CellState.OK, warning="is tagged raises-exception and did not raise")
    return Judged(state=CellState.OK)


def _judge_exit(index: int, status: str) -> Judged:
    """Judge a cell that has ended its notebook, by the text of its status."""
    if status in _CLEAN_EXITS:
        return Judged(state=CellState.OK, ending=Ending(verdict=Verdict.SUCCEEDED, stopped_at=index))
    return _failed(index, ErrorKind.EXITED, f"the notebook ended itself with {_exit(status)}", "SystemExit")


def ended_itself(index: int, status: int | None) -> Judged:
    """Judge a cell that has ended its notebook with a status, by which it is known that it did.

    None: what the kernel ran the cell in, a shell for instance, is gone, and nobody knows with what status.
    """
    if status is None:
        text = "the process in which the kernel runs the cells is gone, and did not say why"
        error = TaskError(kind=ErrorKind.KERNEL_DIED, message=text, cell=index)
        return Judged(state=CellState.KILLED, ending=Ending(verdict=Verdict.FAILED, error=error))
    if status == 0:
        return Judged(state=CellState.OK, ending=Ending(verdict=Verdict.SUCCEEDED, stopped_at=index))
    return _failed(index, ErrorKind.EXITED, f"the notebook ended itself with exit code {status}", None)


def cut_off(index: int) -> Judged:
    """Judge a cell whose reply came, and the end of whose output never did."""
    message = "the end of the output of the cell never arrived; some of it may be missing"
    return _failed(index, ErrorKind.EXCEPTION, message, "OutputLost")


def _failed(index: int, kind: ErrorKind, message: str, ename: str | None) -> Judged:
    error = TaskError(kind=kind, message=readable(message), cell=index, ename=ename)
    return Judged(state=CellState.FAILED, ending=Ending(verdict=Verdict.FAILED, error=error))


def _asked_exit(reply: Mapping[str, Any]) -> str | None:
    """The status after `exit()` or `quit()`: IPython's own ones end the kernel once the cell has ended.

    They take no status but a flag, `keep_kernel`; who writes `exit(3)` means the status all the same.
    """
    payload = reply.get("payload")
    for item in payload if isinstance(payload, list) else ():
        if isinstance(item, dict) and item.get("source") == "ask_exit":
            status = item.get("keepkernel")
            return "" if status is None or isinstance(status, bool) else str(status)
    return None


def _exit(evalue: str) -> str:
    return f"exit code {evalue}" if re.fullmatch(r"-?\d+", evalue) else f'the message "{evalue}"'


def readable(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """A text without colours and control characters, its middle left out where it is too long."""
    text = _CONTROL.sub("", text)
    if len(text) <= longest:
        return text
    half = (longest - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def title(source: str) -> str:
    """How a cell is called in progress displays: the first line that says something, cut to a width."""
    for line in source.splitlines():
        found = _CONTROL.sub(" ", line.strip().lstrip("# ")).strip()
        if found:
            return found if len(found) <= _TITLE else found[: _TITLE - 3] + "..."
    return ""
