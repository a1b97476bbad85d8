"""Signals as requests to the engine."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from nbflow.cli.stop import SIGNALS, Stopper
from nbflow.core.messages import Cancel, StopMode


class Engine:
    """Keeps what is asked of it."""

    def __init__(self, stopped: object = None) -> None:
        self.posted: list[Cancel] = []
        self.state = SimpleNamespace(stop=stopped, ended_at=None)

    def stop(self, request: Cancel) -> None:
        self.posted.append(request)


def attached(stopper: Stopper, stop: object = None) -> Engine:
    engine: Any = Engine(stop)
    stopper.attach(engine)
    return engine  # type: ignore[no-any-return]


@pytest.mark.parametrize(("number", "name"), SIGNALS.items())
def test_the_first_signal_asks_the_second_forces(number: signal.Signals, name: str) -> None:
    with Stopper() as stopper:
        engine = attached(stopper)
        for _ in range(3):
            os.kill(os.getpid(), number)
    assert engine.posted == [Cancel(mode=StopMode.INTERRUPT, by=name, force=force) for force in (False, True, True)]


def test_where_somebody_has_asked_already_the_first_signal_forces() -> None:
    with Stopper() as stopper:
        engine = attached(stopper, stop="asked by nbflow cancel")
        os.kill(os.getpid(), signal.SIGINT)
    assert [message.force for message in engine.posted] == [True]


@pytest.mark.parametrize("number", SIGNALS)
def test_before_there_is_an_engine_a_signal_ends_the_command(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), Stopper():
        os.kill(os.getpid(), number)


def test_one_that_comes_after_the_end_of_the_run_is_noted() -> None:
    with Stopper() as stopper:
        engine = attached(stopper)
        assert not stopper.is_late
        engine.state.ended_at = "12:00"
        os.kill(os.getpid(), signal.SIGINT)
        assert stopper.is_late
    assert engine.posted == []


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stopper():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopper() as stopper:
            engine = attached(stopper)
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert engine.posted == []
    finally:
        signal.signal(signal.SIGHUP, before)
