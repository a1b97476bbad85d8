"""From a kernel's start to its end: the cells in order, each with its limits, and what ended them.

Every wait has a limit or can be ended by a request to stop, by the kernel's exit or by a journal that cannot be
written. Must not know archives or how a request to stop gets here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import Enum, auto
from typing import Any, assert_never

from nbflow.core.attempt import CellState, ErrorKind, TaskError, Verdict
from nbflow.core.messages import CellDone, CellStart, Started
from nbflow.errors import UnreachableError
from nbflow.faultpoints import Point, reach
from nbflow.kernels.autopsy import last_lines
from nbflow.kernels.process import Kernel
from nbflow.worker import judge, snapshot
from nbflow.worker.client import JournalClient, Pending
from nbflow.worker.control import Stop, StopCause
from nbflow.worker.journal import JournalError
from nbflow.worker.live import Live
from nbflow.worker.masking import MaskingRecorder
from nbflow.worker.recorder import Recorder
from nbflow.worker.remains import noted
from nbflow.worker.session import Ending, Limit, Session
from nbflow.worker.start import kernel_start
from nbflow.worker.vitals import Vitals

_TERMINATED = 2.0
"""Seconds that a kernel gets to end after SIGTERM, and after SIGKILL."""
_FRESH = 1.0
"""Seconds for a cell that was sent to reach its kernel, and its own first line."""
_LEAVING = 3.0
"""Seconds for a kernel that has closed its sockets to be gone; one that is there after that has restarted itself."""
_LIMIT_GRACE = 5.0
"""Seconds that a cell gets at most to end after it was interrupted at a limit of time."""
_ORPHAN_GRACE = 2.0
"""The same where the owner of the worker has died."""


class _Cause(Enum):
    """What ended a wait."""

    DONE = auto()
    DIED = auto()
    STOPPED = auto()
    LIMIT = auto()


class _Stops:
    """Requests to stop, as futures of this event loop."""

    def __init__(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        self.asked: asyncio.Future[Stop] = loop.create_future()
        self.forced: asyncio.Future[None] = loop.create_future()
        self._control = session.control
        self._loop = loop
        self._control.listen(self._hear)

    def _hear(self, stop: Stop) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._note, stop)

    def _note(self, stop: Stop) -> None:
        if not self.asked.done():
            self.asked.set_result(stop)
        if stop.force and not self.forced.done():
            self.forced.set_result(None)

    def close(self) -> None:
        self._control.listen(None)


async def run(session: Session, notebook: Any) -> Ending:
    """Run all cells of the session's document and end the kernel. `notebook` is papermill's copy, for nbclient.

    Raises JournalError where the journal cannot be written; whatever else goes wrong is in the Ending.
    """
    stops = _Stops(session)
    live = Live(session.task, session.attempt, session.report, asyncio.get_running_loop())
    recorder = Recorder(session.journal, heard=live.hear, spools=session.spools)
    masker = session.masker
    if masker:
        recorder = MaskingRecorder(recorder, masker)
    env, source = kernel_start(session)
    kernel = Kernel(
        session.kernel, cwd=session.root, env=env, zygote=source.zygote, reason=source.reason, ahead=source.ahead
    )
    kernel.mask = masker.end_of
    client = JournalClient(notebook, kernel, recorder)
    begun = _Run(session, kernel, client, stops, live)
    try:
        return await begun.to_the_end()
    finally:
        stops.close()
        await client.aclose()
        for left in await kernel.close():
            session.journal.append("left_behind", process=masker.text(left))
        begun.vitals.close()


class _Run:
    """One run of the cells of a session."""

    def __init__(self, session: Session, kernel: Kernel, client: JournalClient, stops: _Stops, live: Live) -> None:
        self.session = session
        self.live = live
        self.kernel = kernel
        self.client = client
        self.recorder = client.recorder
        self.vitals = Vitals(kernel)
        self.has_restarted = False
        self.stops = stops
        self.limit = session.notebook_limit()

    async def to_the_end(self) -> Ending:
        ending = await self._start() or await self._cells()
        await self._end_kernel()
        if ending.verdict is Verdict.SUCCEEDED and self.vitals.is_over_limit:
            self.recorder.warn("the kernel was killed while it ended: it had passed its memory limit")
        self.session.journal.append("kernel_ended", **asdict(self.vitals.total()))
        self.recorder.flush()
        self.live.close()
        return ending

    async def _start(self) -> Ending | None:
        limit = self.session.start_limit(time.monotonic())
        ready = asyncio.ensure_future(self._bring_up(limit))
        try:
            return self._started(await self._wait(ready, limit), limit)
        except JournalError:
            raise
        except UnreachableError as error:
            return _failed(ErrorKind.START_FAILED, error.message)
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)

    async def _bring_up(self, limit: Limit | None) -> None:
        """Start the kernel and wait until it answers. Has no limit of its own."""
        kernel = self.kernel
        await kernel.start(None if limit is None else limit.at - time.monotonic())
        if (unbound := self.vitals.hold(self.session.limits)) is not None:
            self.recorder.warn(unbound)
        self.vitals.watch()
        mark, session = self.vitals.mark, noted(kernel.pid)
        self.recorder.kernel_started(
            kernel.pid, kernel.folder, forked=kernel.is_forked, reason=kernel.reason, memory=mark, session=session
        )
        reach(Point.KERNEL_STARTED)
        self.client.open()
        await self.client.ready()
        self.vitals.watch()

    def _started(self, cause: _Cause, limit: Limit | None) -> Ending | None:
        name = self.session.kernel.name
        match cause:
            case _Cause.DONE:
                self._report_start()
                return None
            case _Cause.DIED:
                text, number = self.vitals.explain(f'kernel "{name}" ended before it was ready')
                return _failed(ErrorKind.START_FAILED, text, number=number)
            case _Cause.STOPPED:
                return self._stopped()
            case _Cause.LIMIT:
                kind, text = (limit.kind, limit.text) if limit else (ErrorKind.START_FAILED, "its limit")
                return _failed(kind, self._with_words(f'kernel "{name}" was not ready within {text}'))
            case _:
                assert_never(cause)

    async def _cells(self) -> Ending:
        for number, (index, cell) in enumerate(snapshot.code_cells(self.session.document), start=1):
            if not cell["source"].strip() or snapshot.has_tag(cell, snapshot.SKIP):
                self.recorder.cell_ended(index, CellState.SKIPPED)
                self._report_done(index, number, CellState.SKIPPED, 0.0)
            elif (ending := self._before_cell() or await self._cell(index, number, cell)) is not None:
                return ending
        reach(Point.LAST_CELL)
        return Ending(verdict=Verdict.SUCCEEDED)

    def _before_cell(self) -> Ending | None:
        """What may have happened while no cell was running."""
        if self.client.broken.done():
            self.client.broken.result()
        if self.stops.asked.done():
            return self._stopped()
        if self.limit is not None and time.monotonic() >= self.limit.at:
            return _failed(self.limit.kind, f"{self.limit.text} passed between two cells")
        if self.kernel.exited.done():
            return self._died("between two cells")
        return None

    async def _cell(self, index: int, number: int, cell: Mapping[str, Any]) -> Ending | None:
        self.recorder.cell_started(index)
        self._report_cell(index, number, judge.title(self.session.masker.text(cell["source"])))
        self.vitals.begin()
        began = time.monotonic()
        limit = self.session.cell_limit(began)
        pending = self.client.begin(index, cell)
        judged = await self._outcome(pending, limit, may_raise=snapshot.has_tag(cell, snapshot.RAISES))
        duration = round(time.monotonic() - began, 6)
        if judged.warning is not None:
            self.recorder.warn(f"cell {number} {judged.warning}")
        self.recorder.cell_ended(index, judged.state, duration, self.vitals.end())
        self.live.end(index)
        self._report_done(index, number, judged.state, duration)
        return judged.ending

    async def _outcome(self, pending: Pending, limit: Limit | None, *, may_raise: bool) -> judge.Judged:
        index = pending.index
        cause = await self._wait(pending.settled, limit)
        match cause:
            case _Cause.DONE if not self.vitals.is_over_limit:
                return self._judge(pending, may_raise=may_raise)
            case _Cause.DONE | _Cause.DIED:
                if not self.kernel.exited.done():
                    await self._kill()
                return judge.Judged(state=CellState.KILLED, ending=self._died("in a cell", index))
            case _Cause.LIMIT:
                ended = await self._bring_down(pending, min(_LIMIT_GRACE, self.session.grace))
                how = "it was interrupted" if ended else "it did not end when interrupted; its kernel was killed"
                kind, text = (limit.kind, limit.text) if limit else (ErrorKind.TIMEOUT, "its limit")
                ending = _failed(kind, f"the cell ran into {text}: {how}", cell=index)
                return judge.Judged(state=CellState.FAILED if ended else CellState.KILLED, ending=ending)
            case _Cause.STOPPED:
                orphaned = self.stops.asked.result().cause is StopCause.OWNER_GONE
                grace = min(_ORPHAN_GRACE, self.session.grace) if orphaned else self.session.grace
                ended = await self._bring_down(pending, grace)
                state = self._judge(pending, may_raise=may_raise).state if ended else CellState.KILLED
                return judge.Judged(state=state, ending=self._stopped(index))
            case _:
                assert_never(cause)

    def _judge(self, pending: Pending, *, may_raise: bool) -> judge.Judged:
        index = pending.index
        if pending.cut:
            return judge.cut_off(index)
        faults = self.recorder.faults(index)
        if faults.refused is None and (left := self.client.left()) is not None:
            return judge.ended_itself(index, left.status)
        reply = self.session.masker.data(pending.reply or {})
        return judge.judge(index, reply, may_raise=may_raise, shown=faults.shown, refused=faults.refused)

    async def _wait(self, done: asyncio.Future[Any], limit: Limit | None) -> _Cause:
        """Wait for `done`, or for whatever makes the wait useless. Raises what broke the journal."""
        timeout = None if limit is None else max(0.0, limit.at - time.monotonic())
        client = self.client
        waits: set[asyncio.Future[Any]] = {done, self.kernel.exited, self.stops.asked, client.broken, client.hung_up}
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if client.broken.done():
            client.broken.result()
        if client.hung_up.done() and not done.done() and not self.kernel.exited.done():
            await self._await_exit()
        if not done.done() and self.kernel.exited.done():
            # The last words of a dead kernel, perhaps its reply, are still on their way.
            await self.client.drain()
            return _Cause.DONE if done.done() else _Cause.DIED
        if done.done():
            done.result()
            return _Cause.DONE
        return _Cause.STOPPED if self.stops.asked.done() else _Cause.LIMIT

    async def _await_exit(self) -> None:
        """The kernel has hung up. Mostly it is on its way out; where it is not, it is ended: nobody can talk to it."""
        await self._any({self.kernel.exited, self.stops.forced}, _LEAVING)
        if not self.kernel.exited.done():
            self.has_restarted = not self.stops.forced.done()
            self.kernel.signal_group(signal.SIGKILL)
            await self._any({self.kernel.exited}, _TERMINATED)

    async def _bring_down(self, pending: Pending, grace: float) -> bool:
        """End a running cell: interrupt it, then terminate, then kill its kernel. True where it ended by itself."""
        if not self.stops.forced.done():
            # A kernel that is not yet at the cell would not feel the interrupt.
            over: set[asyncio.Future[Any]] = {pending.settled, self.kernel.exited, self.stops.forced}
            await self._any({pending.running, *over}, min(grace, _FRESH))
            is_fresh = time.monotonic() - pending.sent < _FRESH
            await self.kernel.interrupt()
            pending.interrupt()
            await self._any(over, min(_FRESH, grace / 2) if is_fresh else grace)
            if is_fresh and not any(one.done() for one in over):
                # In the first moments of a cell the interrupt may hit the kernel's own code, which shrugs it off.
                await self.kernel.interrupt()
                await self._any(over, grace)
        if not pending.settled.done():
            await self._kill()
        return pending.settled.done()

    async def _kill(self) -> None:
        if not self.stops.forced.done():
            self.kernel.signal_group(signal.SIGTERM)
            await self._any({self.kernel.exited, self.stops.forced}, _TERMINATED)
        self.kernel.signal_group(signal.SIGKILL)
        await self._any({self.kernel.exited}, _TERMINATED)
        await self.client.drain()

    async def _end_kernel(self) -> None:
        """End the kernel in good order: what its exit handlers say still belongs to the last cell."""
        if not self.kernel.pid:
            return
        if self.client.is_ready and not self.kernel.exited.done() and not self.stops.forced.done():
            await self.client.ask_to_end()
            await self._any({self.kernel.exited, self.stops.forced}, self.session.grace)
            if not self.kernel.exited.done() and not self.stops.forced.done():
                self.recorder.warn("the kernel did not end when it was asked to, and was killed")
        if not self.kernel.exited.done():
            await self._kill()
        self.kernel.signal_group(signal.SIGKILL)
        await self.client.drain()

    async def _any(self, futures: set[asyncio.Future[Any]], timeout: float) -> None:
        await asyncio.wait({*futures, self.client.broken}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _stopped(self, cell: int | None = None) -> Ending:
        stop = self.session.control.stop or self.stops.asked.result()
        if stop.error is not None:
            return Ending(verdict=Verdict.FAILED, error=replace(stop.error, cell=cell))
        match stop.cause:
            case StopCause.CANCELLED:
                return Ending(verdict=Verdict.CANCELLED)
            case StopCause.SIGNAL:
                return _failed(ErrorKind.LOST, "the worker was stopped from outside of nbflow", cell=cell)
            case StopCause.OWNER_GONE:
                return _failed(ErrorKind.LOST, "the process that had started this attempt is gone", cell=cell)
            case _:
                assert_never(stop.cause)

    def _died(self, where: str, cell: int | None = None) -> Ending:
        if self.has_restarted:
            text = f"the kernel restarted {where}: it closed its connection, and its process went on until it was ended"
            return _failed(ErrorKind.KERNEL_DIED, text, cell=cell)
        source = None if cell is None else self.session.masker.text(self.session.document["cells"][cell]["source"])
        text, number = self.vitals.explain(f"the kernel died {where}", source)
        return _failed(ErrorKind.KERNEL_DIED, text, cell=cell, number=number)

    def _with_words(self, text: str) -> str:
        words = last_lines(self.kernel.last_words())
        return f"{text}; it said last: {words}" if words else text

    def _report_start(self) -> None:
        session = self.session
        cells = sum(1 for _ in snapshot.code_cells(session.document))
        host, kernel = os.uname().nodename, session.kernel.name
        session.report(
            Started(
                task=session.task, attempt=session.attempt, pid=self.kernel.pid, host=host, kernel=kernel, cells=cells
            )
        )

    def _report_cell(self, index: int, number: int, title: str) -> None:
        session = self.session
        self.live.begin(index, number)
        session.report(CellStart(task=session.task, attempt=session.attempt, cell=index, number=number, title=title))

    def _report_done(self, index: int, number: int, state: CellState, duration: float) -> None:
        session = self.session
        session.report(
            CellDone(
                task=session.task,
                attempt=session.attempt,
                cell=index,
                number=number,
                state=state,
                duration=duration,
                preview=self.recorder.preview(index),
            )
        )


def _failed(kind: ErrorKind, message: str, *, cell: int | None = None, number: int | None = None) -> Ending:
    error = TaskError(kind=kind, message=judge.readable(message, 4_000), cell=cell, signal=number)
    return Ending(verdict=Verdict.FAILED, error=error)
