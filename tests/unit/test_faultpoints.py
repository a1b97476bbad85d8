"""Fault points: nothing without the variable; the n-th passage, counted per process; what makes no sense is refused."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from nbflow import faultpoints
from nbflow.errors import UsageError
from nbflow.faultpoints import VARIABLE, Point, reach


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(faultpoints, "_passages", Counter())
    return monkeypatch


def passed(point: Point, times: int) -> int | None:
    """At which of so many passages an error came."""
    for number in range(1, times + 1):
        try:
            reach(point)
        except OSError as error:
            return number if error.errno == errno.EIO else -1
    return None


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_without_the_variable_nothing_is_looked_at(environment: dict[str, str]) -> None:
    code = """
from nbflow import faultpoints
del faultpoints._pass
for point in faultpoints.Point:
    faultpoints.reach(point)
"""
    kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
    subprocess.run([sys.executable, "-c", code], env={**kept, **environment}, check=True)


@pytest.mark.parametrize(("asked", "number"), [("renamed:error", 1), ("renamed:error:1", 1), ("renamed:error:3", 3)])
def test_the_passage_that_is_asked_for(ask: pytest.MonkeyPatch, asked: str, number: int) -> None:
    ask.setattr(faultpoints, "_asked", asked)
    for point in Point:
        if point is not Point.RENAMED:
            assert passed(point, 5) is None
    assert passed(Point.RENAMED, 5) == number
    assert passed(Point.RENAMED, 5) is None


def test_what_makes_no_sense_is_refused_ahead(ask: pytest.MonkeyPatch) -> None:
    for asked in ("bogus:kill", "renamed:stop", "renamed:kill:0"):
        ask.setattr(faultpoints, "_asked", asked)
        with pytest.raises(UsageError, match="is no fault"):
            faultpoints.check()
    for right in (None, "renamed:kill:2"):
        ask.setattr(faultpoints, "_asked", right)
        faultpoints.check()


def test_a_process_kills_itself_and_counts_its_own_passages() -> None:
    """The child counts from the beginning, whatever its parent has counted."""
    code = """
import os
from nbflow.faultpoints import Point, reach
reach(Point.CLAIMED)
if os.fork() == 0:
    reach(Point.CLAIMED)
    print("child", flush=True)
    os._exit(0)
os.wait()
print("parent", flush=True)
reach(Point.CLAIMED)
print("never")
"""
    environment = {**os.environ, VARIABLE: "claimed:kill:2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["child", "parent"])


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("claim:kill", "the points are run_created, claimed"),
        ("commited:kill", "the points are"),
        ("committed", "the actions are kill and error"),
        ("committed:explode", "the actions are"),
        ("committed:kill:0", "a number from 1 on"),
        ("committed:kill:x", "a number from 1 on"),
        ("committed:kill:1:2", "a number from 1 on"),
    ],
)
def test_what_makes_no_sense_is_refused_at_any_point(ask: pytest.MonkeyPatch, asked: str, hint: str) -> None:
    ask.setattr(faultpoints, "_asked", asked)
    with pytest.raises(UsageError, match="is no fault") as refused:
        reach(Point.RUN_CREATED)
    assert refused.value.hint is not None
    assert hint in refused.value.hint
