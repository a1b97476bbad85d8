"""Events as plain lines: a time, a task, what happened. For logs, files and terminals that cannot be drawn on."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from nbflow.archive.words import count, duration
from nbflow.cli.output import Output
from nbflow.cli.progress import Progress, TaskProgress, Waits
from nbflow.cli.states import Look, look
from nbflow.cli.stop import CTRL_C
from nbflow.cli.text import clip, one_line, plain_output, width
from nbflow.core import events as ev
from nbflow.core.attempt import CellCounts, CellState
from nbflow.core.status import TaskState

WIDEST_NAME = 32
"""Columns that names of tasks are aligned in; a longer one pushes its line to the right."""

STOPPING = "stopping: the kernels are interrupted and the notebooks saved"
KILLING = "stopping now: the kernels are killed"


class Lines:
    """Writes a line for each event that people care about; with `verbose`, for each cell and what it prints too.

    `progress` is the run before the first event that is given. `only` leaves out all other tasks; `ours` is true where
    this process carries the run out, and `waits` tells then, by pool, what is waited for where nothing goes on.
    """

    def __init__(
        self,
        out: Output,
        progress: Progress,
        *,
        verbose: bool = False,
        only: str | None = None,
        ours: bool = False,
        waits: Waits = dict,
    ) -> None:
        self._out = out
        self._progress = progress
        self._verbose = verbose
        self._only = only
        self._ours = ours
        self._waits = waits
        self._waited: set[str] = set()
        self._in_line: dict[tuple[str, int, int], bool] = {}
        self._zone = ZoneInfo(progress.created.settings.timezone)
        names = [only] if only else progress.watched
        self._column = min(max((width(one_line(name)) for name in names), default=0), WIDEST_NAME)

    def __call__(self, stamped: ev.Stamped) -> None:
        """Take an event, and write its line if it has one."""
        self._progress.take(stamped)
        event, at = stamped.event, stamped.at
        name = getattr(event, "task", None)
        if name is None:
            if (said := self._of_run(event)) is not None:
                self._out.line(f"{self._time(at)}  {said}")
        elif is_of(name, self._only):
            if self._verbose and isinstance(event, ev.CellOutput | ev.CellEnded):
                self._output(event, at)
            task = self._progress.tasks.get(name)  # one that has given way to its copies is no task any more
            told = self._of_task(event, at, task) if task is not None else (look("pending"), _expanded(event))
            if told is not None:
                seen, text = told
                mark = self._out.paint(self._out.glyph(seen), seen.style)
                self._out.line(f"{self._time(at)}  {mark} {self._name(name)}  {one_line(text)}")
        self._tell_waits(at)

    def _tell_waits(self, at: datetime) -> None:
        """Say why nothing goes on; once, until something does."""
        if self._progress.count(TaskState.RUNNING):
            self._waited.clear()
            return
        for pool, text in self._waits().items():
            if pool not in self._waited:
                self._waited.add(pool)
                self._out.line(f"{self._time(at)}  {one_line(text)}")

    def _output(self, event: ev.CellOutput | ev.CellEnded, at: datetime) -> None:
        """What a cell printed, each line with its task, as those of several may come together.

        The preview of a cell that has ended is shown only where nothing of it was shown before.
        """
        cell = (event.task, event.attempt, event.cell)
        if isinstance(event, ev.CellEnded):
            text = "" if cell in self._in_line else event.preview
            self._in_line.pop(cell, None)
        else:
            text = event.text.removeprefix("\n") if self._in_line.get(cell) else event.text
            self._in_line[cell] = not event.text.endswith("\n")
        if text:
            head = f"{self._time(at)}  {self._out.paint('│' if self._out.unicode else '|', 'dim')}"
            for line in plain_output(text).removesuffix("\n").split("\n"):
                self._out.line(f"{head} {self._name(event.task)}  {line}".rstrip())

    def _name(self, task: str) -> str:
        shown = one_line(task)
        return shown + " " * max(self._column - width(shown), 0)

    def _time(self, at: datetime) -> str:
        return self._out.paint(at.astimezone(self._zone).strftime("%H:%M:%S"), "dim")

    def _of_run(self, event: ev.Event) -> str | None:
        created = self._progress.created
        match event:
            case ev.RunStarted():
                tasks = count(len(self._progress.watched), "task")
                return f"run {self._out.paint(created.run, 'bold')}: {tasks}, {created.settings.jobs} at once"
            case ev.RunResumed():
                return f"{one_line(event.reason)}: {count(len(event.tasks), 'task')} to run, the others stay"
            case ev.CancelRequested():
                return stop_text(event, ours=self._ours)
            case ev.RunFinished():
                seen = look(event.state)
                return f"{self._out.paint(self._out.glyph(seen), seen.style)} run {seen.word}"
            case _:
                return None

    def _of_task(self, event: ev.Event, at: datetime, task: TaskProgress) -> tuple[Look, str] | None:
        seen = look(task.state.value)
        match event:
            case ev.AttemptSubmitted() | ev.AttemptEnded():
                return _attempt(event, task)
            case ev.TaskSucceeded():
                return seen, f"succeeded in {duration(task.seconds or 0)}, {_ran(task.counts)}"
            case ev.TaskFailed():
                took = f" after {duration(task.seconds)}" if task.seconds is not None else ""
                return seen, f"failed{took}: {task.error_text()}"
            case ev.RetryScheduled():
                delay = (event.due - at).total_seconds()
                return seen, f"{event.reason} in {duration(delay)}: {task.error_text()}"
            case ev.TaskSkipped() if task.is_left_out:
                return None
            case ev.TaskSkipped() | ev.TaskBlocked() | ev.TaskCancelled():
                return seen, f"{seen.word}: {event.reason.removeprefix(f'{seen.word} ')}"
            case ev.TaskExpanded():
                return seen, event.reason
            case ev.TaskReused():
                return seen, f"reused from {event.reused_from}: {event.reason}"
            case ev.CellStarted() | ev.CellEnded() if self._verbose:
                return _cell(event, task)
            case _:
                return None


def is_of(name: str | None, task: str | None) -> bool:
    """Whether a name is that of a task, or of one of its copies; always where there is no task to be of."""
    return task is None or name == task or (name is not None and name.startswith(f"{task}["))


def _expanded(event: ev.Event) -> str:
    return event.reason if isinstance(event, ev.TaskExpanded) else ""


def stop_text(event: ev.CancelRequested, *, ours: bool) -> str:
    """What to tell when a run is asked to stop."""
    if event.force:
        return KILLING
    return (
        f"{STOPPING}; {CTRL_C} again kills them"
        if ours and event.by == CTRL_C
        else f"{STOPPING} (because of {one_line(event.by)})"
    )


def _ran(cells: CellCounts) -> str:
    ran = cells.ok + cells.failed
    return count(cells.total, "cell") if ran == cells.total else f"{ran:,} of {count(cells.total, 'cell')}"


def _attempt(event: ev.AttemptSubmitted | ev.AttemptEnded, task: TaskProgress) -> tuple[Look, str] | None:
    if isinstance(event, ev.AttemptEnded):
        return (look("warn"), task.left_text()) if task.left_behind else None
    return look(task.state.value), "running" if event.attempt == 1 else f"running, attempt {event.attempt}"


def _cell(event: ev.CellStarted | ev.CellEnded, task: TaskProgress) -> tuple[Look, str] | None:
    place = f"cell {event.number}/{task.cells}" if task.cells else f"cell {event.number}"
    if isinstance(event, ev.CellStarted):
        return look("running"), f"{place}  {clip(one_line(event.title), 60)}"
    if event.state is CellState.OK:
        return look("ok"), f"{place}  {duration(event.duration)}"
    if event.state is CellState.SKIPPED:
        return look("skipped"), f"{place}  skipped"
    return look("failed"), f"{place}  {event.state.value} after {duration(event.duration)}"
