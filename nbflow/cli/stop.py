"""Signals become requests to the engine: the first stops the run in good order, the second kills its kernels."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from nbflow.core.messages import Cancel, StopMode

if TYPE_CHECKING:
    from nbflow.engine.loop import Engine

CTRL_C = "Ctrl-C"
SIGNALS = {signal.SIGINT: CTRL_C, signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
"""What asks a run to stop, and under which name."""

Handler = Callable[[int, FrameType | None], Any] | int | None


class Stopper:
    """While it is entered, a signal stops the engine that is attached; before there is one, it ends the command.

    A signal that was ignored when we began (`nohup`, a script's background) stays ignored. The handler prints
    nothing: it may come upon any line of the program, that of a print included. `is_late`: one came when the run had
    ended, and only its archive was still to be completed.
    """

    def __init__(self) -> None:
        self.is_late = False
        self._engine: Engine | None = None
        self._asked = False
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, engine: Engine) -> None:
        """From now on, stop this one."""
        self._engine = engine

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._engine is None:
            raise KeyboardInterrupt
        if self._engine.state.ended_at is not None:
            self.is_late = True
            return
        force = self._asked or self._engine.state.stop is not None
        self._asked = True
        self._engine.stop(Cancel(mode=StopMode.INTERRUPT, by=SIGNALS[signal.Signals(number)], force=force))
