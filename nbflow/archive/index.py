"""A run as one HTML page: what failed and why, the graph, when each attempt ran, every task and its notebook.

All is in the file: no address is fetched, no script runs (`render.POLICY`). Made from documents alone. Must not read or
write files, and asks no clock: `RunPage.written` is the present.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from nbflow.archive import draw, palette, timeline
from nbflow.archive.draw import base_name
from nbflow.archive.page import ErrorView, error_view, values
from nbflow.archive.render import render, safe
from nbflow.archive.svg import TIMES, clean
from nbflow.archive.tasks import Group, TaskView, group, reached, task_view
from nbflow.archive.words import clock, count, day, duration, moment
from nbflow.core.spec import EMPTY

FIRST_FAILURES = 5
"""Failures that are told at once; the others are folded away."""
MOST_AFFECTED = 8
OPEN_ROWS = 60
"""Up to this many tasks, small groups of copies are unfolded."""
LONG_TABLE = 300
"""Above this many tasks, rows out of sight are laid out only when they come into it; a picture of it all lacks them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """What the page of a run is made from.

    `run` is the run document (`nbflow.run/1`). Each of its `tasks` may have more keys than the public ones:
    `upstream` (names of tasks), `slug` (of its files), `description`, `params`, `stopped_at` (the cell at which it
    ended on purpose), and `attempt_history`: a list of `{"attempt", "state", "started", "ended", "error",
    "cpu_seconds", "peak_memory"}`, oldest first, where `state` is an attempt's verdict, or `running`. Without a
    history, the task's own times are drawn.

    `folder` is the folder of this page in the terms of the tasks' `notebook` and `html`, so that links are relative.
    `facts` say where the run was made (git commit, host, versions): names and JSON values. `timezone` (IANA) is the
    zone in which instants are shown, `written` the aware instant at which the page is made.
    """

    run: Mapping[str, Any]
    folder: str
    written: datetime
    description: str | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed task, or copies of one task that failed in the same way, as the head of the page tells it.

    `affected` are tasks that did not run because of it, the nearest first; `others` counts those beyond the first.
    """

    name: str
    tasks: tuple[TaskView, ...]
    error: ErrorView
    affected: tuple[str, ...]
    others: int


def run_page(page: RunPage) -> str:
    """The page of a run, running or ended."""
    run = page.run
    zone = ZoneInfo(page.timezone)
    views = [task_view(task, page.folder, page.written) for task in run["tasks"]]
    failures = _failures(run["tasks"], views)
    counts = Counter(view.state for view in views)
    started, ended = moment(run.get("started")), moment(run.get("ended"))
    return render(
        "run.html.j2",
        run=clean(str(run["run"])),
        pipeline=clean(str(run["pipeline"])),
        description=clean(page.description or ""),
        state=run["state"],
        verdict=_verdict(run["state"], counts, len(views)),
        facts=_facts(page, started, ended),
        counts=palette.told(view.state for view in views),
        total=len(views),
        long=LONG_TABLE,
        failures=failures[:FIRST_FAILURES],
        further=failures[FIRST_FAILURES:],
        further_tasks=sum(len(failure.tasks) for failure in failures[FIRST_FAILURES:]),
        graph=_graph(run["tasks"], views),
        graph_css=safe(draw.GRAPH_CSS + timeline.TIMELINE_CSS),
        timeline=_timeline(views, started, ended or page.written),
        groups=_groups(views),
        params=values(run.get("params")),
        environment=values(page.facts),
        written=clock(page.written, zone),
    )


def _facts(page: RunPage, started: datetime | None, ended: datetime | None) -> list[tuple[str, str]]:
    zone = ZoneInfo(page.timezone)
    logical = moment(page.run.get("logical_date"))
    took = duration(((ended or page.written) - started).total_seconds()) if started else None
    facts = [
        ("Logical date", day(logical, zone) if logical else None),
        ("Started", clock(started, zone) if started else None),
        ("Duration", took if ended or not took else f"{took} so far"),
        ("Trigger", page.run.get("trigger")),
        ("Run", page.run["run"]),
    ]
    return [(name, clean(str(value))) for name, value in facts if value]


def _verdict(state: str, counts: Counter[str], total: int) -> str:
    """One sentence that says how the run stands."""
    failed, blocked = counts["failed"], counts["upstream_failed"]
    done = counts["succeeded"] + counts["skipped"]
    match state:
        case "succeeded" if counts["skipped"]:
            return f"{counts['succeeded']:,} of {count(total, 'task')} succeeded, {counts['skipped']:,} skipped."
        case "succeeded":
            return "The task succeeded." if total == 1 else f"All {total:,} tasks succeeded."
        case "failed" if failed:
            after = f", and {blocked:,} did not run because of it" if failed == 1 else f", and {blocked:,} did not run"
            return f"{failed:,} of {count(total, 'task')} failed{after if blocked else ''}."
        case "running" | "queued":
            problem = f", {failed:,} failed" if failed else ""
            return f"{done:,} of {count(total, 'task')} done{problem} when this page was written."
        case _:
            return f"{done:,} of {count(total, 'task')} done when the run was {palette.word(state).lower()}."


def _failures(tasks: Sequence[Mapping[str, Any]], views: list[TaskView]) -> list[Failure]:
    same: dict[ErrorView, list[TaskView]] = {}
    for task, view in zip(tasks, views, strict=True):
        if view.state == "failed":
            error = error_view(task.get("error") or {}, base_name(view.name), *reached(task))
            same.setdefault(error, []).append(view)
    below: dict[str, list[str]] = {}
    for task in tasks:
        for up in task.get("upstream") or ():
            below.setdefault(up, []).append(task["task"])
    states = {view.name: view.state for view in views}
    failures: list[Failure] = []
    for error, failed in same.items():
        affected = _affected(failed, below, states) if len(failures) < FIRST_FAILURES else []
        base = base_name(failed[0].name)
        failures.append(
            Failure(
                name=failed[0].name if len(failed) == 1 else f"{base} {TIMES}{len(failed)}",
                tasks=tuple(failed),
                error=error,
                affected=tuple(affected[:MOST_AFFECTED]),
                others=max(0, len(affected) - MOST_AFFECTED),
            )
        )
    return failures


def _affected(failed: list[TaskView], below: Mapping[str, list[str]], states: Mapping[str, str]) -> list[str]:
    """What did not run because of failed tasks, nearest first."""
    waiting = [view.name for view in failed]
    found = set(waiting)
    for current in waiting:
        for down in below.get(current, ()):
            if down not in found and states.get(down) == "upstream_failed":
                found.add(down)
                waiting.append(down)
    return [clean(name) for name in waiting[len(failed) :]]


def _graph(tasks: Sequence[Mapping[str, Any]], views: list[TaskView]) -> Markup:
    drawn = [_drawn(task, view) for task, view in zip(tasks, views, strict=True)]
    return safe(draw.graph_svg(drawn, standalone=False))


def _drawn(task: Mapping[str, Any], view: TaskView) -> draw.DrawnTask:
    detail = view.took or None
    return draw.DrawnTask(
        name=view.name,
        state=view.state,
        upstream=tuple(task.get("upstream") or ()),
        href=view.page or view.notebook,
        detail=f"{detail} · {view.attempts} attempts" if detail and view.attempts > 1 else detail,
    )


def _timeline(views: list[TaskView], started: datetime | None, end: datetime) -> Markup | None:
    spans = [span for view in views for span in view.spans]
    if started is None or not spans:
        return None
    order = {name: place for place, name in enumerate(dict.fromkeys(span.task for span in sorted(spans, key=_first)))}
    spans.sort(key=lambda span: (order[span.task], span.started))
    return safe(timeline.timeline_svg(spans, start=started, end=end))


def _first(span: timeline.DrawnSpan) -> datetime:
    return span.started


def _groups(views: list[TaskView]) -> list[Group]:
    return group(views, unfold=len(views) <= OPEN_ROWS)
