"""Runs of a project carried out to their end: with an executor, the archive, and what earlier owners have left behind.

Here the adapters that an engine works with meet. Must not know how runs are made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nbflow.engine.clock import SystemClock
from nbflow.engine.loop import Ports
from nbflow.engine.owner import is_alive, this_process
from nbflow.engine.recovery import recover
from nbflow.execution import carry_out, drop_journals, released, whole
from nbflow.preparation import ahead_of_the_page

if TYPE_CHECKING:
    from nbflow.archiving import Archiving
    from nbflow.core.messages import Cancel, Message
    from nbflow.core.ports import Executor, Listener
    from nbflow.core.rows import RunRow
    from nbflow.core.state import RunState
    from nbflow.errors import UnreachableError
    from nbflow.execution import Attach
    from nbflow.results import RunResult
    from nbflow.runs import Runs


class Carrier:
    """Carries out the runs of a store, and publishes what they give in an archive.

    Those that it has found without their process, and has ended as interrupted, go to `rescued`, with the cause by
    their ids; what was in the way of ending one goes to `unrescued`, by its id.
    """

    def __init__(
        self, runs: Runs, archiving: Archiving, rescued: dict[str, str], unrescued: dict[str, UnreachableError]
    ) -> None:
        self._runs = runs
        self._archiving = archiving
        self._rescued = rescued
        self._unrescued = unrescued

    def ports(self, executor: Executor, listeners: Sequence[Listener] = ()) -> Ports:
        """What an engine works with."""
        return Ports(
            store=self._runs.store,
            executor=executor,
            clock=SystemClock(),
            seal=self.seal,
            listeners=(ahead_of_the_page(), *listeners),
            rescue=self._rescue_holders,
            probe=self._archiving.judge(),
        )

    def carry_out(
        self, run: str, fence: int, messages: Sequence[Message], ports: Ports, attach: Attach | None = None
    ) -> RunResult:
        """Carry a run that is owned by `fence` out from some messages to its end, and give it back.

        What an earlier owner has left behind is settled first. Raises as `execution.carry_out`.
        """
        from nbflow.core.messages import Resume, Start

        store = self._runs.store
        with whole() as ended, released(store, run, fence):
            state = self._runs.state(self._runs.find(run))
            if any(isinstance(message, Resume) for message in messages):
                store.take(run)  # what was asked of the run before is not meant for its new life
            ports = replace(ports, listeners=(*ports.listeners, *self._archiving.sender.feeds(state)))
            self.end_dead(self._archiving.sender.without_page(self._runs))
            self._archiving.sender.catch_up(self._runs)
            self._archiving.fetcher.restore(state)
            first = [*recover(state, ports.executor), *messages, Start(owner=this_process())]
            ended.append(carry_out(state, fence, first, ports, attach))
        return ended[0]

    def end(self, row: RunRow) -> None:
        """End a run whose process has died. Raises as `rescue.end`."""
        from nbflow.rescue import cause, end

        if end(row, self._runs, self._alone()):
            self._rescued[row.run] = cause(row)

    def end_dead(self, rows: Iterable[RunRow]) -> None:
        """End runs whose process has died, as far as that can be done now; what cannot be written is only shown."""
        from nbflow.rescue import cause, end_dead

        found = {row.run: row for row in rows}
        check = self._archiving.files.check
        for run in end_dead(found.values(), self._runs, self._alone, check, self._unrescued):
            self._rescued[run] = cause(found[run])

    def cancel(self, row: RunRow, request: Cancel) -> None:
        """End a run that nobody carries out, as is asked."""
        self.carry_out(row.run, self.claim(row), [request], self._alone())

    def claim(self, row: RunRow, heir_of: str | None = None) -> int:
        """Own a run, which an owner may have left to this process. Raises as `Store.claim`."""

        def alive(owner: str) -> bool | None:
            return owner != heir_of and is_alive(owner)

        fence = self._runs.store.claim(row.run, this_process(), alive)
        self._unrescued.pop(row.run, None)  # it goes on
        return fence

    def seal(self, state: RunState) -> None:
        """Complete the archive of a run that has ended, and clear away what it does not need any more."""
        from nbflow.archive.seal import seal

        self._archiving.files.sweep(state.created.settings.folder)  # what workers that were killed had half written
        drop_journals(state)  # before the page: where that is, nothing is left to be done
        seal(state, self._archiving.for_sealing(state.run))

    def _alone(self) -> Ports:
        """What an engine needs to end a run that nobody watches."""
        from nbflow import plugins

        executor: Executor = plugins.factory(plugins.EXECUTORS, "local")()
        return self.ports(executor)

    def _rescue_holders(self, held_by: Collection[str]) -> None:
        self.end_dead(row for row in self._runs.dead() if row.run in held_by)
