"""What an executor and a worker say to each other: JSON, one line each, with a version.

To the worker: one order, then perhaps requests to cancel. From the worker: reports, the last one is `finished`; and
empty lines, by which it shows that it lives.
Must not know how either side does its work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, assert_never

from nbflow.core import codec
from nbflow.core.attempt import TaskError, WorkOrder
from nbflow.core.messages import CellDone, CellOutput, CellStart, Finished, Lost, Report, Started

VERSION = 1
BEAT = b"\n"
BEAT_SECONDS = 3.0
"""How often a worker writes an empty line."""
LONGEST_REQUEST = 131_072
"""Bytes of a request to the server of workers: names of modules are the longest thing in one."""

_REPORTS: Mapping[str, type[Report]] = {
    "started": Started,
    "cell_start": CellStart,
    "cell_output": CellOutput,
    "cell_done": CellDone,
    "finished": Finished,
    "lost": Lost,
}


class ProtocolError(ValueError):
    """A line that the other side cannot have meant: another version, or no line of this protocol at all."""


def encode_order(order: WorkOrder, *, recover: str | None = None) -> bytes:
    """The first line to a worker. With `recover`, a reason, the attempt is not executed but brought to an end."""
    return _line({"order": codec.dump(order), "recover": recover})


def decode_order(line: bytes) -> tuple[WorkOrder, str | None]:
    """The order of a first line, and the reason to recover it, if it is to be recovered. Raises ProtocolError."""
    data = _parse(line)
    try:
        return codec.load(WorkOrder, data["order"]), data.get("recover")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"not a work order: {error}") from error


def encode_cancel(*, force: bool, error: TaskError | None = None) -> bytes:
    """A later line to a worker: end the attempt, as failed with `error`, if any; `force`: kill the kernel now."""
    return _line({"cancel": {"force": force, "error": None if error is None else codec.dump(error)}})


def decode_cancel(line: bytes) -> tuple[bool, TaskError | None]:
    """The `force` and the `error` of a request to cancel. Raises ProtocolError."""
    match _parse(line):
        case {"cancel": {"force": bool(force), **rest}} if rest.get("error") is None:  # an earlier engine has none
            return force, None
        case {"cancel": {"force": bool(force), "error": dict(error)}}:
            try:
                return force, codec.load(TaskError, error)
            except (KeyError, TypeError, ValueError, AttributeError) as fault:
                raise ProtocolError(f"not a request to cancel: {fault}") from fault
        case _:
            raise ProtocolError("not a request to cancel")


def encode_report(report: Report) -> bytes:
    """One line from a worker."""
    match report:
        case Started():
            kind = "started"
        case CellStart():
            kind = "cell_start"
        case CellOutput():
            kind = "cell_output"
        case CellDone():
            kind = "cell_done"
        case Finished():
            kind = "finished"
        case Lost():
            kind = "lost"
        case _:
            assert_never(report)
    return _line({"report": kind, **codec.dump(report)})


def decode_report(line: bytes) -> Report:
    """The report of a worker's line. Raises ProtocolError."""
    data = _parse(line)
    kind = _REPORTS.get(str(data.pop("report", None)))
    if kind is None:
        raise ProtocolError("not a report")
    try:
        return codec.load(kind, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"not a report: {error}") from error


def _line(body: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, **body}, separators=(",", ":")).encode("ascii") + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a line of JSON") from error
    if not isinstance(data, dict) or data.get("v") != VERSION:
        raise ProtocolError(f"not a line of version {VERSION} of the protocol")
    return data
