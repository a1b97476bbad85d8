"""The tasks of a run as its page lists them: one view for each, copies of one task in a group.

Made from task documents alone. Links are relative to the run's folder. Must not know templates.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from nbflow.archive import palette
from nbflow.archive.draw import base_name
from nbflow.archive.outputs import value_text
from nbflow.archive.page import Link, error_view
from nbflow.archive.svg import clean
from nbflow.archive.timeline import DrawnSpan
from nbflow.archive.words import duration, moment, usage

CELLS = (("failed", "failed"), ("ok", "ok"), ("skipped", "skipped"), ("not_run", "not run"))
LONGEST_VALUE = 80
LONGEST_MESSAGE = 160
SMALL_GROUP = 6
"""Copies up to which a group is unfolded on a page that is not long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One row. `page` and `notebook` are None where nothing was archived; `cells` are (state, number, words).

    `broke`: the task failed in one of its cells. `used` is what the kernel of the last attempt has used.
    """

    name: str
    anchor: str
    state: str
    reason: str
    attempts: int
    took: str
    seconds: float
    cells: tuple[tuple[str, int, str], ...]
    cells_total: int
    outputs: tuple[tuple[str, str], ...]
    problem: str
    page: str | None
    notebook: str | None
    earlier: tuple[Link, ...]
    spans: tuple[DrawnSpan, ...]
    description: str = ""
    used: str = ""
    broke: bool = False

    @property
    def cells_words(self) -> str:
        return ", ".join(f"{number} {words}" for _, number, words in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows that belong together: a single task, or the copies of one; `counts` are their states."""

    name: str
    rows: tuple[TaskView, ...]
    counts: tuple[tuple[str, int], ...]
    took: str
    open: bool

    @property
    def state(self) -> str:
        return palette.worst(view.state for view in self.rows) or self.rows[0].state


def task_view(task: Mapping[str, Any], folder: str, now: datetime) -> TaskView:
    """The view of a task document; `folder` is the run's, `now` ends what still runs."""
    name = str(task["task"])
    page, notebook = relative(task.get("html"), folder), relative(task.get("notebook"), folder)
    started, ended = moment(task.get("started")), moment(task.get("ended"))
    seconds = ((ended or now) - started).total_seconds() if started else 0.0
    slug = str(task.get("slug") or posixpath.splitext(posixpath.basename(str(task.get("notebook") or name)))[0])
    if page is None and task.get("reused_from"):
        page = f"../{quote(str(task['reused_from']))}/index.html"
    cells = task.get("cells") or {}
    counted = tuple((state, int(cells.get(state) or 0), words) for state, words in CELLS if cells.get(state))
    error = task.get("error")
    view = error_view(error, None) if error else None
    return TaskView(
        name=clean(name),
        anchor=f"task-{slug}",
        state=str(task["state"]),
        reason=_reason(task),
        attempts=int(task.get("attempts") or 0),
        took=duration(seconds) if started else "",
        seconds=seconds,
        cells=counted,
        cells_total=int(cells.get("total") or 0),
        outputs=tuple((clean(str(key)), cut(value_text(value))) for key, value in (task.get("outputs") or {}).items()),
        problem=cut(f"{view.name}: {view.message}" if view.message else view.name, LONGEST_MESSAGE) if view else "",
        page=page,
        notebook=notebook,
        earlier=_earlier(task, slug),
        spans=_spans(task, name, page or notebook),
        description=clean(str(task.get("description") or "")),
        used=_used(task.get("attempt_history") or ()),
        broke=isinstance((error or {}).get("cell"), int),
    )


def group(views: list[TaskView], *, unfold: bool) -> list[Group]:
    """Views in groups, in the order of each group's first. `unfold` opens small groups and those with a failure."""
    found: dict[str, list[TaskView]] = {}
    for view in views:
        found.setdefault(base_name(view.name), []).append(view)
    return [_group(name, tuple(rows), unfold) for name, rows in found.items()]


def relative(path: object, folder: str) -> str | None:
    """An archived path as an address that is relative to a folder of the same terms."""
    if not path:
        return None
    return quote(posixpath.relpath(str(path), folder))


def cut(text: str, most: int = LONGEST_VALUE) -> str:
    """One line of a text, shortened."""
    line = " ".join(clean(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def reached(task: Mapping[str, Any]) -> tuple[int, int]:
    """The last code cell that a task came to, from 1, and how many it has."""
    cells = task.get("cells") or {}
    total = int(cells.get("total") or 0)
    return total - int(cells.get("not_run") or 0), total


def _group(name: str, rows: tuple[TaskView, ...], unfold: bool) -> Group:
    return Group(
        name=name,
        rows=rows,
        counts=tuple(palette.told(view.state for view in rows)),
        took=duration(sum(view.seconds for view in rows)) if any(view.took for view in rows) else "",
        open=unfold and len(rows) <= SMALL_GROUP,
    )


def _reason(task: Mapping[str, Any]) -> str:
    reason = str(task.get("reason") or "")
    if task.get("reused_from"):
        reason = f"result of {task['reused_from']}" + (f": {reason}" if reason else "")
    elif task["state"] == "succeeded" and int(task.get("attempts") or 0) > 1:
        # The reason of a task run tells why it was tried again, which is over.
        reason = f"succeeded at attempt {task['attempts']}"
    if isinstance(task.get("stopped_at"), int):
        ended = "ended on purpose at cell {} of {}".format(*reached(task))
        reason = f"{reason}; {ended}" if reason else ended
    return cut(reason, 200)


def _used(history: Sequence[Mapping[str, Any]]) -> str:
    return usage(history[-1].get("cpu_seconds"), history[-1].get("peak_memory")) if history else ""


def _earlier(task: Mapping[str, Any], slug: str) -> tuple[Link, ...]:
    """Notebooks of attempts before the one that counts."""
    history = [one for one in task.get("attempt_history") or () if one.get("state") != "running"]
    last = max((one["attempt"] for one in history), default=0) if task["state"] not in {"running", "retrying"} else None
    return tuple(
        Link(label=f"attempt {one['attempt']}", href=quote(f"attempts/{slug}.{one['attempt']}.ipynb"))
        for one in history
        if one["attempt"] != last
    )


def _spans(task: Mapping[str, Any], name: str, href: str | None) -> tuple[DrawnSpan, ...]:
    history = task.get("attempt_history")
    if history is None:
        history = [{**task, "attempt": task.get("attempts") or 1}] if task.get("started") else []
    spans = []
    for one in history:
        started = moment(one.get("started"))
        if started is not None:
            error = one.get("error")
            spans.append(
                DrawnSpan(
                    task=name,
                    state=str(one["state"]),
                    started=started,
                    ended=moment(one.get("ended")),
                    attempt=int(one["attempt"]),
                    href=href,
                    detail=error_view(error, None).name if error else None,
                )
            )
    return tuple(spans)
