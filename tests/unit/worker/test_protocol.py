"""Lines between an executor and a worker: what is sent is what arrives, and nothing else is taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.attempt import ErrorKind, TaskError, WorkOrder
from nbflow.core.messages import CellDone, CellOutput, CellStart, Finished, Lost, Report, Started
from nbflow.worker import protocol
from support.strategies import instances

reports = st.one_of(*(instances(kind) for kind in (Started, CellStart, CellOutput, CellDone, Finished, Lost)))


@given(instances(WorkOrder), st.none() | st.text(max_size=20))
def test_orders_arrive(order: WorkOrder, reason: str | None) -> None:
    line = protocol.encode_order(order, recover=reason)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert protocol.decode_order(line) == (order, reason)


@given(reports)
def test_reports_arrive(report: Report) -> None:
    line = protocol.encode_report(report)
    assert line.count(b"\n") == 1
    assert protocol.decode_report(line) == report


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("error", [None, TaskError(kind=ErrorKind.TIMEOUT, message="too late")])
def test_requests_to_cancel_arrive(force: bool, error: TaskError | None) -> None:
    assert protocol.decode_cancel(protocol.encode_cancel(force=force, error=error)) == (force, error)


def test_a_request_to_cancel_of_an_earlier_engine_is_heard() -> None:
    """nbflow may be upgraded while one goes on, and starts workers of the new one."""
    assert protocol.decode_cancel(b'{"v":1,"cancel":{"force":true}}\n') == (True, None)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[1]\n",
        b'{"v":2,"report":"started","task":"t","attempt":1}\n',
        b'{"v":1,"report":"unknown"}\n',
        b'{"v":1,"report":["started"]}\n',
        b'{"v":1,"report":"started"}\n',
        b'{"v":1,"order":null}\n',
        b'{"v":1,"cancel":{"force":1,"error":null}}\n',
        b'{"v":1,"cancel":{"force":true,"error":{"kind":"none such","message":""}}}\n',
        b"[" * 100_000,
        b"\xff\n",
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    for decode in (protocol.decode_order, protocol.decode_report, protocol.decode_cancel):
        with pytest.raises(protocol.ProtocolError):
            decode(line)


@given(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=5))
def test_no_surprise_but_a_protocol_error(body: dict[str, Any]) -> None:
    for extra in ({"report": "cell_done"}, {"order": body}, {}):
        line = json.dumps({"v": 1, **body, **extra}).encode()
        for decode in (protocol.decode_order, protocol.decode_report):
            with pytest.raises(protocol.ProtocolError):
                decode(line)
