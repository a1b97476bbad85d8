"""The picture of when each attempt ran (a Gantt chart), as SVG: the same bytes for the same rows.

Up to MAX_ROWS tasks have a row each; more are drawn as how many ran at once. Every text is escaped here. Must not
know runs or files; links and instants are given, and the present is never asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nbflow.archive import palette
from nbflow.archive.draw import frame, linked
from nbflow.archive.layered import Point
from nbflow.archive.svg import FONT, escape, fit, num, text_width
from nbflow.archive.words import count, duration

MAX_ROWS = 250
WIDTH = 1122.0
MARGIN = 12.0
ROW, SLIM_ROW = 26.0, 15.0
SLIM_ABOVE = 60
TEXT = 11.5
LONGEST_LABEL = 210.0
HEAD = 24.0
SHORTEST_BAR = 3.0
GAP = 1.5
"""Pixels between an attempt and the next one that follows at once."""
PROFILE = 140.0
TICKS = 8
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

TIMELINE_CSS = (
    """
.nbflow-svg text{font-family:FONT;fill:var(--text)}
.nbflow-svg .ground{fill:var(--bg)}
.timeline text{font-size:11.5px}
.timeline .tick,.timeline .took{fill:var(--muted);font-size:11px;font-variant-numeric:tabular-nums}
.timeline .grid{stroke:var(--line);stroke-width:1}
.timeline .stripe{fill:var(--line);fill-opacity:.3}
.timeline .bar{fill:var(--tone)}
.timeline .open{fill:var(--soft);stroke:var(--tone);stroke-width:1.2;stroke-dasharray:4 3}
.timeline .hatch{stroke:var(--on);stroke-width:1.6;stroke-opacity:.75}
.timeline .area{fill:var(--tone);fill-opacity:.28;stroke:var(--tone);stroke-width:1.2}
""".replace("FONT", FONT)
    + palette.GLYPH_CSS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSpan:
    """One attempt: aware instants, `ended` None while it runs. Attempts of the same task share a row."""

    task: str
    state: str
    started: datetime
    ended: datetime | None = None
    attempt: int = 1
    label: str = ""
    href: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Seconds since the start, and pixels."""

    start: datetime
    seconds: float
    left: float
    right: float

    def at(self, instant: datetime) -> float:
        return self.x(max(0.0, min(self.seconds, (instant - self.start).total_seconds())))

    def x(self, seconds: float) -> float:
        return self.left + (self.right - self.left) * seconds / self.seconds


def timeline_svg(
    rows: Sequence[DrawnSpan], *, start: datetime, end: datetime, standalone: bool = False, width: float = WIDTH
) -> str:
    """Draw attempts between two instants; what has no end runs until `end` and stays open there.

    Rows keep the order in which tasks first appear. Anything outside the two instants is cut off.
    """
    tasks: dict[str, list[DrawnSpan]] = {}
    for span in rows:
        tasks.setdefault(span.task, []).append(span)
    seconds = max((end - start).total_seconds(), 0.001)
    if len(tasks) > MAX_ROWS:
        scale = _Scale(start=start, seconds=seconds, left=MARGIN + 30, right=width - MARGIN - 8)
        body, height = _profile(rows, scale, end)
    else:
        names = [group[0].label or task for task, group in tasks.items()]
        longest = max((text_width(fit(name, LONGEST_LABEL, TEXT), TEXT) for name in names), default=0.0)
        scale = _Scale(start=start, seconds=seconds, left=MARGIN + longest + 12, right=width - MARGIN - 64)
        body, height = _gantt(list(tasks.values()), scale, end)
    size: Point = (width, height)
    description = f"Timeline of {count(len(tasks), 'task')} over {duration(seconds)}"
    return frame("timeline", body, size, TIMELINE_CSS, description, standalone=standalone)


def _gantt(tasks: list[list[DrawnSpan]], scale: _Scale, end: datetime) -> tuple[str, float]:
    row = ROW if len(tasks) <= SLIM_ABOVE else SLIM_ROW
    foot = HEAD + row * len(tasks) + 4
    parts, wide = _axis(scale, foot), num(scale.right + 64 + MARGIN)
    for number, spans in enumerate(tasks):
        middle = HEAD + row * number + row / 2
        name = spans[0].label or spans[0].task
        label = escape(fit(name, LONGEST_LABEL, TEXT))
        text = f'<text x="{num(MARGIN)}" y="{num(middle + 4)}"><title>{escape(name)}</title>{label}</text>'
        if number % 2 == 0:
            parts.append(f'<rect class="stripe" y="{num(middle - row / 2)}" width="{wide}" height="{num(row)}"/>')
        parts.append(linked(text, spans[-1].href))
        thick = min(14.0, row - 4)
        parts += [
            _bar(span, scale, end, middle, thick, after=after)
            for span, after in zip(spans, [*spans[1:], None], strict=True)
        ]
        parts.append(_took(spans, scale, end, middle))
    return "".join(parts), foot + MARGIN


def _axis(scale: _Scale, foot: float) -> list[str]:
    """Lines and labels at round distances from the start."""
    step = next((step for step in STEPS if scale.seconds / step <= TICKS), 0.0)
    if not step:
        days = 1
        while scale.seconds / (86400 * days) > TICKS:
            days *= 2
        step = 86400.0 * days
    parts = []
    count = int(scale.seconds / step + 1e-9)
    for number in range(count + 1):
        seconds = number * step
        x = num(scale.x(seconds))
        text = "0" if number == 0 else duration(seconds)
        parts.append(f'<line class="grid" x1="{x}" y1="{num(HEAD - 4)}" x2="{x}" y2="{num(foot)}"/>')
        parts.append(f'<text class="tick" x="{x}" y="14" text-anchor="middle">{text}</text>')
    return parts


def _bar(span: DrawnSpan, scale: _Scale, end: datetime, middle: float, thick: float, *, after: DrawnSpan | None) -> str:
    """The bar of an attempt; it makes room for the one `after` it."""
    left, right = scale.at(span.started), scale.at(span.ended or end)
    wide = max(SHORTEST_BAR, right - left)
    if after is not None:
        wide = max(1.0, min(wide, scale.at(after.started) - GAP - left))
    look = "open" if span.ended is None else "bar"
    box = f'x="{num(left)}" y="{num(middle - thick / 2)}" width="{num(wide)}" height="{num(thick)}" rx="3"'
    took = duration(((span.ended or end) - span.started).total_seconds())
    words = [span.label or span.task, f"attempt {span.attempt}", palette.word(span.state).lower(), took]
    title = escape(" · ".join([*words, *([span.detail] if span.detail else [])]))
    hatch = _hatch(left, wide, middle, thick) if palette.tone(span.state) == "bad" else ""
    markup = f'<g class="t-{palette.tone(span.state)}"><title>{title}</title><rect class="{look}" {box}/>{hatch}</g>'
    return linked(markup, span.href)


def _hatch(left: float, wide: float, middle: float, thick: float) -> str:
    """Strokes across a bar, so that a failure is seen without its colour."""
    count = min(400, int((wide - thick) / 6))
    top, foot = num(middle - thick / 2 + 1), num(middle + thick / 2 - 1)
    lines = [f"M{num(left + 3 + 6 * n)} {foot}L{num(left + 1 + 6 * n + thick)} {top}" for n in range(count + 1)]
    return f'<path class="hatch" d="{"".join(lines)}"/>' if wide > thick else ""


def _took(spans: list[DrawnSpan], scale: _Scale, end: datetime, middle: float) -> str:
    """How long a task took from its first start to its last end, right of its last bar."""
    last = max(span.ended or end for span in spans)
    first = min(span.started for span in spans)
    x = max(scale.at(last), scale.at(first) + SHORTEST_BAR) + 6
    text = duration((last - first).total_seconds())
    return f'<text class="took" x="{num(x)}" y="{num(middle + 4)}">{text}</text>'


def _profile(rows: Sequence[DrawnSpan], scale: _Scale, end: datetime) -> tuple[str, float]:
    """How many attempts ran at each instant, as an area."""
    changes: dict[float, int] = {}
    for span in rows:
        for instant, change in ((span.started, 1), (span.ended or end, -1)):
            x = round(scale.at(instant), 1)
            changes[x] = changes.get(x, 0) + change
    running, level, points = 0, [], []
    for x in sorted(changes):
        points.append((x, running))
        running += changes[x]
        points.append((x, running))
        level.append(running)
    most = max([1, *level])
    foot = HEAD + PROFILE
    path = [f"M{num(scale.left)} {num(foot)}"]
    path += [f"L{num(x)} {num(foot - (PROFILE - 12) * count / most)}" for x, count in points]
    parts = _axis(scale, foot)
    parts.append(f'<g class="t-live"><path class="area" d="{"".join(path)}L{num(scale.right)} {num(foot)}Z"/></g>')
    parts.append(f'<text class="tick" x="{num(scale.left - 6)}" y="{num(HEAD + 16)}" text-anchor="end">{most}</text>')
    parts.append(f'<text class="tick" x="{num(scale.left - 6)}" y="{num(foot)}" text-anchor="end">0</text>')
    parts.append(f'<text class="tick" x="{num(scale.left)}" y="{num(foot + 18)}">Attempts running at once</text>')
    return "".join(parts), foot + 18 + MARGIN
