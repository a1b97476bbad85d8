"""The live table of a run on a terminal: its tasks, the current cell of each notebook, how far it is.

The only module that imports rich. Drawn by a thread of rich's, a few times a second, from a `Progress`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import IO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nbflow.archive.words import count, duration
from nbflow.cli.lines import stop_text
from nbflow.cli.output import Output
from nbflow.cli.progress import Progress, TaskProgress, Waits
from nbflow.cli.states import look
from nbflow.cli.text import clip, one_line
from nbflow.core import events as ev
from nbflow.core.estimate import Remaining, remaining
from nbflow.core.status import TaskState

DRAWN_PER_SECOND = 8
ESTIMATED_EVERY = 1.0
"""Seconds."""

FRAME = 3
"""Lines of a frame that are no tasks: header, footer, and a free one."""

UNDER_WAY = (TaskState.RUNNING, TaskState.RETRYING)
OPEN = (*UNDER_WAY, TaskState.QUEUED, TaskState.PENDING)


class LiveTable:
    """Begin it with the state of the run, give it the events, end it. Safe to be drawn while it is told."""

    def __init__(self, out: Output, progress: Progress, past: Mapping[str, float], waits: Waits) -> None:
        self._out = out
        self._progress = progress
        self._past = past
        self._waits = waits
        self._waited: Mapping[str, str] = {}
        self._due: dict[str, float] = {}
        self._place = {name: place for place, name in enumerate(progress.watched)}
        self._since: dict[str, float] = {}
        self._began = time.monotonic()
        self._estimate: tuple[float, float | None] | None = None
        self._lock = threading.Lock()
        self._console = Console(
            file=cast("IO[str]", _Stream(out)),
            force_terminal=True,
            color_system="auto" if out.colour else None,
            highlight=False,
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._frame,
            refresh_per_second=DRAWN_PER_SECOND,
            redirect_stdout=False,
            vertical_overflow="crop",
        )

    def begin(self) -> None:
        """Draw from now on."""
        self._live.start()

    def __call__(self, stamped: ev.Stamped) -> None:
        """Take an event."""
        with self._lock:
            self._progress.take(stamped)
            if isinstance(stamped.event, ev.TaskExpanded):
                self._place = {name: place for place, name in enumerate(self._progress.watched)}
            if isinstance(stamped.event, ev.RetryScheduled):
                delay = (stamped.event.due - stamped.at).total_seconds()
                self._due[stamped.event.task] = time.monotonic() + delay
            if isinstance(stamped.event, ev.AttemptSubmitted):
                self._since.setdefault(stamped.event.task, time.monotonic())

    def end(self) -> None:
        """Draw once more, and leave the last frame standing."""
        self._live.stop()

    def _frame(self) -> RenderableType:
        with self._lock:
            self._waited = self._waits()
            asked = self._progress.stopping if self._progress.ended is None else None
            word = Text("" if asked is None else stop_text(asked, ours=True), style="yellow")
            below = len(word.wrap(self._console, self._console.width)) if word else 0
            room = max(self._console.height - FRAME - below, 1)
            return Group(self._header(), self._rows(room), self._footer(), *([word] if word else []))

    def _header(self) -> RenderableType:
        created = self._progress.created
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        title = Text.assemble((one_line(created.pipeline), "bold"), "  ", (created.run, "dim"))
        grid.add_row(title, duration(round(time.monotonic() - self._began)))
        return grid

    def _rows(self, room: int) -> RenderableType:
        shown = self._progress.watched if len(self._progress.watched) <= room else self._chosen(room - 1)
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=max(self._console.width * 2 // 5, 12))
        grid.add_column(no_wrap=True, justify="right", min_width=5)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name in shown:
            grid.add_row(*self._row(self._progress.tasks[name]))
        if len(shown) == len(self._progress.watched):
            return grid
        return Group(grid, Text(f"    {self._hidden(shown)}", style="dim", no_wrap=True, overflow="ellipsis"))

    def _hidden(self, shown: Sequence[str]) -> str:
        """How many tasks have no row, by state."""
        here = Counter(self._progress.tasks[name].state for name in shown)
        left = ((state, len(names) - here[state]) for state, names in self._progress.by_state.items())
        parts = ", ".join(f"{number:,} {look(state.value).word}" for state, number in left if number)
        return f"and {len(self._progress.watched) - len(shown):,} more: {parts}"

    def _chosen(self, room: int) -> list[str]:
        """The tasks worth a row where there are more than rows: what failed, what goes on, what comes next."""
        by_state = self._progress.by_state
        under_way = (name for state in UNDER_WAY for name in by_state[state])
        waiting = (name for state in (TaskState.QUEUED, TaskState.PENDING) for name in by_state[state])
        failed = islice(reversed(by_state[TaskState.FAILED]), max(room // 3, 1))
        ended = (name for state in TaskState if state not in OPEN for name in reversed(by_state[state]))
        chosen = islice(_unique(chain(failed, under_way, waiting, ended)), room)
        return sorted(chosen, key=self._place.__getitem__)

    def _row(self, task: TaskProgress) -> tuple[Text, Text, Text]:
        seen = look(task.state.value)
        quiet = "dim" if task.state in (TaskState.PENDING, TaskState.SKIPPED) else ""
        return (
            Text.assemble("  ", (self._out.glyph(seen), seen.style), " ", (one_line(task.name), quiet)),
            Text(self._time(task), style="" if task.state in UNDER_WAY else "dim"),
            self._detail(task),
        )

    def _time(self, task: TaskProgress) -> str:
        if task.state in UNDER_WAY and task.name in self._since:
            return duration(round(time.monotonic() - self._since[task.name]))
        return "" if task.seconds is None else duration(task.seconds)

    def _detail(self, task: TaskProgress) -> Text:
        match task.state:
            case TaskState.RUNNING if task.cells and task.cell:
                return self._cell(task)
            case TaskState.RUNNING:
                return Text("starting the kernel", style="dim")
            case TaskState.RETRYING:
                left = max(self._due[task.name] - time.monotonic(), 0.0) if task.name in self._due else 0.0
                text = f"again in {duration(round(left))}: {task.error_text()}"
                return Text(text, style=look(task.state.value).style)
            case TaskState.FAILED:
                why = task.error_text() or one_line(task.reason)
                return Text("; ".join(filter(None, (why, task.left_text()))), style=look(task.state.value).style)
            case TaskState.QUEUED:
                return Text(one_line(self._waited.get(task.pool or "", "waits for a slot")), style="dim")
            case TaskState.PENDING:
                waits = [name for name in task.waits_for[:20] if self._progress.tasks[name].state in OPEN]
                return Text(f"waits for {one_line(', '.join(waits))}" if waits else "", style="dim")
            case TaskState.SUCCEEDED:
                done = count(task.counts.total, "cell") if task.counts.total else one_line(task.reason)
                return Text("; ".join(filter(None, (done, task.left_text()))), style="dim")
            case _:
                return Text("; ".join(filter(None, (one_line(task.reason), task.left_text()))), style="dim")

    def _cell(self, task: TaskProgress) -> Text:
        """The cell that runs, and the last line that it has printed, which needs the room more than the title."""
        again = f"attempt {task.attempt}  " if task.attempt > 1 else ""
        title, said = one_line(task.title), one_line(task.said)
        if said:
            title = clip(title, self._console.width // 5)
            said = f"  {'│' if self._out.unicode else '|'} {said}"
        return Text.assemble(again, (f"cell {task.cell}/{task.cells}", "cyan"), "  ", title, (said, "dim"))

    def _footer(self) -> RenderableType:
        total, left = len(self._progress.watched), self._progress.count(*OPEN)
        told = ((state.value, self._progress.count(state)) for state in (*UNDER_WAY, TaskState.FAILED))
        parts = [f"{total - left:,}/{count(total, 'task')}"]
        parts += [f"{number:,} {word}" for word, number in told if number]
        if (seconds := self._left()) is not None:
            parts.append(f"about {duration(round(seconds))} left" if seconds >= 1 else "about to end")
        failed = self._progress.count(TaskState.FAILED)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        style = "red" if failed else "yellow" if self._progress.stopping is not None else "green"
        bar = ProgressBar(
            total=total,
            completed=total - left,
            width=min(28, self._console.width // 3),
            complete_style=style,
            finished_style=style,
        )
        grid.add_row(Text(""), bar, Text(" · ".join(parts) if self._out.unicode else ", ".join(parts)))
        return grid

    def _left(self) -> float | None:
        """The estimate, made anew once a second, and running down in between."""
        if not self._past or self._progress.stopping is not None or self._progress.ended is not None:
            return None
        now = time.monotonic()
        if self._estimate is None or now - self._estimate[0] >= ESTIMATED_EVERY:
            settings = self._progress.created.settings
            at_once = min(settings.jobs, settings.max_parallel or settings.jobs)
            self._estimate = (now, remaining(self._open(now), self._past, at_once))
        made, seconds = self._estimate
        return None if seconds is None else max(seconds - (now - made), 0.0)

    def _open(self, now: float) -> Iterator[Remaining]:
        for task in self._progress.tasks.values():
            if task.state in OPEN:
                yield Remaining(task.name, task.waits_for, now - self._since.get(task.name, now))


def _unique(names: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name


class _Stream:
    """What rich writes to: our output, which outlives its terminal."""

    def __init__(self, out: Output) -> None:
        self._out = out

    @property
    def encoding(self) -> str:
        return "utf-8" if self._out.unicode else "ascii"

    def write(self, text: str) -> int:
        self._out.write(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return self._out.is_terminal
