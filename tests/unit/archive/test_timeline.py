"""The picture of when attempts ran."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.archive.timeline import MAX_ROWS, WIDTH, DrawnSpan, timeline_svg

SVG = "{http://www.w3.org/2000/svg}"
START = datetime(2026, 1, 31, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(task: str, start: float, end: float | None, state: str = "succeeded", **more: object) -> DrawnSpan:
    return DrawnSpan(task=task, state=state, started=at(start), ended=None if end is None else at(end), **more)


def drawn(spans: list[DrawnSpan], seconds: float = 100, **more: object) -> Element:
    return fromstring(timeline_svg(spans, start=START, end=at(seconds), **more))


def bars(root: Element, kind: str = "bar") -> list[tuple[float, float]]:
    found = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == kind]
    return [(float(rect.get("x", "0")), float(rect.get("width", "0"))) for rect in found]


def labels(root: Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text") if text.get("class") is None]


def test_attempts_share_the_row_of_their_task_and_lie_where_their_times_are() -> None:
    root = drawn([span("a", 0, 25), span("b", 50, 75, "failed"), span("b", 75, 100, attempt=2)])
    (x0, w0), (x1, w1), (x2, _) = bars(root)
    assert w0 == pytest.approx(w1, abs=2)
    assert x1 - x0 == pytest.approx(2 * w0, abs=0.3)
    assert 1 <= x2 - (x1 + w1) <= 2
    assert len({text.split("a")[0] for text in labels(root)}) == 2
    rows = {rect.get("y") for rect in root.iter(f"{SVG}rect") if rect.get("class") == "bar"}
    assert len(rows) == 2


def test_attempts_that_follow_at_once_are_told_apart_however_short() -> None:
    root = drawn([span("a", 10, 10.1, "failed"), span("a", 10.5, 50, attempt=2), span("a", 50, None, attempt=3)])
    (x0, w0), (x1, w1) = bars(root)
    ((x2, _),) = bars(root, "open")
    assert w0 >= 1
    assert x1 - (x0 + w0) >= 1
    assert x2 - (x1 + w1) >= 1
    lone = bars(drawn([span("a", 10, 10.1)]))
    assert lone[0][1] == 3


def test_a_failed_attempt_is_hatched_and_others_are_not() -> None:
    hatched = drawn([span("a", 0, 50, "failed")])
    plain = drawn([span("a", 0, 50)])
    assert [path.get("class") for path in hatched.iter(f"{SVG}path")] == ["hatch"]
    assert not list(plain.iter(f"{SVG}path"))


def test_what_still_runs_is_open_until_the_end() -> None:
    root = drawn([span("a", 0, 100), span("b", 50, None, "running")])
    (full,) = bars(root)
    (running,) = bars(root, "open")
    assert running[0] + running[1] == pytest.approx(full[0] + full[1], abs=0.2)


def test_times_outside_are_cut_off_and_the_shortest_bar_is_visible() -> None:
    root = drawn([span("a", -50, 500), span("b", 10, 10), span("c", 5000, 6000)])
    for x, width in bars(root):
        assert width >= 3
        assert 0 <= x <= WIDTH
        assert x + width <= WIDTH


def test_ticks_are_round_and_few() -> None:
    for seconds, some in [(0.5, "0.1s"), (8, "2s"), (100, "30s"), (3600, "10m"), (90_000, "6h"), (9_000_000, "16d")]:
        root = drawn([span("a", 0, seconds)], seconds)
        ticks = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "tick"]
        assert ticks[0] == "0"
        assert 2 <= len(ticks) <= 9
        assert some in ticks, (seconds, ticks)


def test_too_many_tasks_are_drawn_as_how_many_ran_at_once() -> None:
    spans = [span(f"t{n}", n, n + 10) for n in range(MAX_ROWS + 1)]
    root = drawn(spans, MAX_ROWS + 20)
    assert not bars(root)
    assert [path.get("class") for path in root.iter(f"{SVG}path")] == ["area"]
    ticks = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "tick"]
    assert "10" in ticks
    assert "Attempts running at once" in ticks


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
@settings(deadline=None)
def test_any_text_gives_a_well_formed_picture(name: str, detail: str) -> None:
    drawn([span(name, 0, 10, detail, label=name, detail=detail, href=detail)], standalone=True)


def test_nothing_and_no_time_at_all_are_pictures_too() -> None:
    assert drawn([]).get("width")
    assert drawn([span("a", 0, 0)], 0).get("width")


def test_the_same_rows_give_the_same_bytes() -> None:
    spans = [span(f"t{n}", n, n + 3) for n in range(80)]
    one, other = (timeline_svg(spans, start=START, end=at(100), standalone=True) for _ in range(2))
    assert one == other
    assert "var(" not in one
