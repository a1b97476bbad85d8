"""Requests to stop: the first cause stays, force only grows, and the end of stdin is one of them."""

from __future__ import annotations

import io
import os
import queue
import signal
import subprocess
import sys

from nbflow.core.attempt import ErrorKind, TaskError
from nbflow.worker.control import Control, Stop, StopCause
from nbflow.worker.protocol import encode_cancel

CANCEL = Stop(cause=StopCause.CANCELLED)
FORCED = Stop(cause=StopCause.CANCELLED, force=True)


def heard(control: Control) -> queue.Queue[Stop]:
    """The requests that a listener gets, in order."""
    found: queue.Queue[Stop] = queue.Queue()
    control.listen(found.put)
    return found


def test_a_listener_hears_what_was_asked_before_and_after() -> None:
    control = Control()
    control.request(CANCEL)
    stops = heard(control)
    control.request(FORCED)
    assert [stops.get(timeout=5), stops.get(timeout=5)] == [CANCEL, FORCED]


def test_force_stays_and_so_does_the_first_cause() -> None:
    control = Control()
    control.request(FORCED)
    control.request(Stop(cause=StopCause.OWNER_GONE))
    assert control.stop == FORCED


def test_an_error_stays_with_its_cause() -> None:
    control, error = Control(), TaskError(kind=ErrorKind.TIMEOUT, message="too late")
    control.request(Stop(cause=StopCause.CANCELLED, error=error))
    control.request(FORCED)
    assert control.stop == Stop(cause=StopCause.CANCELLED, error=error, force=True)


def test_what_the_owner_asks_says_more_than_a_signal() -> None:
    control = Control()
    control.request(Stop(cause=StopCause.SIGNAL))
    control.request(CANCEL)
    control.request(Stop(cause=StopCause.SIGNAL))
    assert control.stop == CANCEL


def test_nobody_listens_any_more() -> None:
    control = Control()
    stops = heard(control)
    control.listen(None)
    control.request(CANCEL)
    assert stops.empty()
    assert control.stop == CANCEL


def test_lines_are_read_until_the_owner_is_gone() -> None:
    control = Control()
    stops = heard(control)
    control.follow(io.BytesIO(b'{"v":1,"later":"words"}\n' + encode_cancel(force=True)))
    assert stops.get(timeout=5) == FORCED
    assert stops.get(timeout=5) == FORCED  # the end of the stream adds nothing to a cancel by force


def test_the_end_of_the_stream_alone() -> None:
    control = Control()
    stops = heard(control)
    control.follow(io.BytesIO())
    assert stops.get(timeout=5) == Stop(cause=StopCause.OWNER_GONE)


def test_signals_cancel_and_the_second_one_forces() -> None:
    code = (
        "import queue, os, signal, sys\n"
        "from nbflow.worker.control import Control\n"
        "control, stops = Control(), queue.Queue()\n"
        "control.listen(stops.put); control.follow_signals()\n"
        "print('ready', flush=True)\n"
        "for _ in range(2): print(stops.get(timeout=20).force, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        assert output.readline() == "False\n"
        os.kill(process.pid, signal.SIGINT)
        assert output.readline() == "True\n"
    assert process.wait(10) == 0
