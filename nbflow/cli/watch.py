"""Who watches a run that this process carries out: a live table, plain lines, or JSON lines for a program.

What shows a run is loaded when the run begins: kernels are to be told of first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from nbflow.cli.output import Output, Outputs
from nbflow.cli.stop import Stopper

if TYPE_CHECKING:
    from nbflow.cli.lines import Lines
    from nbflow.core.events import Stamped
    from nbflow.core.state import RunState
    from nbflow.engine.loop import Engine

Past = Callable[[str], Mapping[str, float]]
"""Seconds that the tasks of a pipeline took before."""


class Going(Protocol):
    """A run that goes on; it is asked anew each time, since an engine may have to read its run again."""

    @property
    def state(self) -> RunState:
        """The run as far as it has come."""
        ...

    @property
    def waits(self) -> Mapping[str, str]:
        """By pool, what the next task of it waits for."""
        ...


class Viewer(Protocol):
    """Shows a run."""

    def begin(self, engine: Going) -> None:
        """The run is about to go on, from the state that it is in now."""
        ...

    def __call__(self, stamped: Stamped) -> None: ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


class Watch:
    """A listener that gives the engine to the signals and what happens to a viewer."""

    def __init__(self, viewer: Viewer, stopper: Stopper) -> None:
        self._viewer = viewer
        self._stopper = stopper
        self.is_attached = False

    @property
    def is_late(self) -> bool:
        """Whether somebody wanted to go when the run had ended: then nothing is waited for any more."""
        return self._stopper.is_late

    def attach(self, engine: Engine) -> None:
        """The `attach` of Project."""
        self.is_attached = True
        self._stopper.attach(engine)
        self._viewer.begin(engine)

    def __call__(self, stamped: Stamped) -> None:
        self._viewer(stamped)


@contextmanager
def watching(viewer: Viewer, outputs: Outputs) -> Iterator[Watch]:
    """Carry a run out inside: signals stop it in good order, and nobody has to be left to look at it."""
    outputs.last()
    with Stopper() as stopper:
        try:
            yield Watch(viewer, stopper)
        finally:
            viewer.end()


def viewer(outputs: Outputs, past: Past, *, verbose: bool, live: bool = True) -> Viewer:
    """The viewer that fits where we write to."""
    if outputs.json:
        return JsonLines(outputs.out)
    if live and outputs.out.is_live and not verbose:
        return LiveView(outputs.out, past)
    return PlainLines(outputs.out, verbose=verbose)


class Nobody:
    """Shows nothing."""

    def begin(self, engine: Going) -> None:
        """Nothing to know."""

    def __call__(self, stamped: Stamped) -> None:
        """Nothing to show."""

    def end(self) -> None:
        """Nothing is open."""


class JsonLines:
    """Each event as a JSON document on a line, as it happens; that of the run's creation too."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def begin(self, engine: Going) -> None:
        """The creation comes before every listener."""
        from nbflow.core.events import Stamped

        state = engine.state
        if state.seq == 1:
            self(Stamped(run=state.run, seq=1, at=state.created_at, event=state.created))

    def __call__(self, stamped: Stamped) -> None:
        from nbflow.core.views import event_document

        self._out.document(event_document(stamped), indent=None)

    def end(self) -> None:
        """Nothing is open."""


class PlainLines:
    """Plain lines, for what cannot be drawn on."""

    def __init__(self, out: Output, *, verbose: bool) -> None:
        self._out = out
        self._verbose = verbose
        self._lines: Lines | None = None

    def begin(self, engine: Going) -> None:
        """Know the tasks."""
        from nbflow.cli.lines import Lines
        from nbflow.cli.progress import Progress

        def idle() -> Mapping[str, str]:
            """While something goes on, which may be known before its events are shown, there is nothing to explain."""
            return {} if engine.state.live else engine.waits

        self._lines = Lines(self._out, Progress(engine.state), verbose=self._verbose, ours=True, waits=idle)

    def __call__(self, stamped: Stamped) -> None:
        if self._lines is not None:
            self._lines(stamped)

    def end(self) -> None:
        """Nothing is open."""


class LiveView:
    """The live table."""

    def __init__(self, out: Output, past: Past) -> None:
        self._out = out
        self._past = past
        self._table: Callable[[Stamped], None] | None = None
        self._end: Callable[[], None] = lambda: None

    def begin(self, engine: Going) -> None:
        """Draw from now on."""
        from nbflow.cli.live import LiveTable
        from nbflow.cli.progress import Progress

        past = self._past(engine.state.created.pipeline)
        table = LiveTable(self._out, Progress(engine.state), past, lambda: engine.waits)
        table.begin()
        self._table, self._end = table, table.end

    def __call__(self, stamped: Stamped) -> None:
        if self._table is not None:
            self._table(stamped)

    def end(self) -> None:
        """Leave the last frame standing."""
        self._end()
