"""The picture of a graph: well formed, escaped, the same bytes each time, readable at any size."""

from __future__ import annotations

import random
import re
import time
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.archive import draw
from nbflow.archive.draw import DrawnTask, base_name, graph_svg
from nbflow.core.status import TaskState

SVG = "{http://www.w3.org/2000/svg}"


def parse(text: str) -> Element:
    return fromstring(text)


def texts(root: Element, kind: str) -> list[str]:
    return [found.text or "" for found in root.iter(f"{SVG}text") if found.get("class") == kind]


def random_tasks(count: int, seed: int = 1) -> list[DrawnTask]:
    chance = random.Random(seed)
    states = [str(state) for state in TaskState]
    return [
        DrawnTask(
            name=f"task_{n}",
            state=chance.choice(states),
            upstream=tuple(
                {f"task_{chance.randrange(max(0, n - 9), n)}" for _ in range(chance.randint(0, 2))} if n else ()
            ),
        )
        for n in range(count)
    ]


def test_every_task_is_a_box_and_every_need_a_line() -> None:
    tasks = [
        DrawnTask(name="a", state="succeeded", detail="12s", href="a.html"),
        DrawnTask(name="b", state="failed", upstream=("a",)),
        DrawnTask(name="c", upstream=("a", "b", "elsewhere")),
    ]
    root = parse(graph_svg(tasks, standalone=False))
    assert sorted(texts(root, "label")) == ["a", "b", "c"]
    assert texts(root, "detail") == ["12s"]
    assert [link.get("href") for link in root.iter(f"{SVG}a")] == ["a.html"]
    lines = [path for path in root.iter(f"{SVG}path") if (path.get("class") or "").startswith("line")]
    assert len(lines) == 3
    titles = {found.text for found in root.iter(f"{SVG}title")}
    assert titles == {"a · Succeeded · 12s", "b · Failed", "c"}


@given(st.text(min_size=1, max_size=30), st.text(max_size=30), st.text(min_size=1, max_size=30))
@settings(deadline=None)
def test_any_text_gives_a_well_formed_picture(name: str, detail: str, href: str) -> None:
    tasks = [DrawnTask(name=name, label=name, detail=detail, href=href, state="failed")]
    for standalone in (True, False):
        parse(graph_svg(tasks, standalone=standalone))


def test_names_are_text_never_markup() -> None:
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    tasks = [
        DrawnTask(name=hostile, label=hostile, detail=hostile, href=f"x{hostile}", state=hostile),
        DrawnTask(name="b", upstream=(hostile,)),
    ]
    for many in (tasks, [*tasks, *random_tasks(draw.MAX_BOXES + 1)]):
        root = parse(graph_svg(many, standalone=True))
        kinds = {found.tag.removeprefix(SVG) for found in root.iter()}
        assert kinds <= {"svg", "style", "rect", "g", "a", "title", "text", "path", "circle"}
        assert not any(key.startswith("on") for found in root.iter() for key in found.attrib)


def test_the_same_tasks_give_the_same_bytes() -> None:
    assert graph_svg(random_tasks(120), standalone=True) == graph_svg(random_tasks(120), standalone=True)


def test_a_picture_of_its_own_brings_its_colours_and_one_in_a_page_does_not() -> None:
    tasks = random_tasks(5)
    alone, within = graph_svg(tasks, standalone=True), graph_svg(tasks, standalone=False)
    assert "prefers-color-scheme:dark" in alone
    assert "var(" not in alone
    assert "<style" not in within
    assert 'class="ground"' not in within


def test_long_labels_end_inside_their_box() -> None:
    tasks = [DrawnTask(name="m" * 64, state="running", detail="w" * 200)]
    root = parse(graph_svg(tasks, standalone=False))
    plate = next(found for found in root.iter(f"{SVG}rect") if found.get("class") == "plate")
    assert float(plate.get("width", "0")) <= draw.WIDEST
    assert texts(root, "label")[0].endswith("…")
    assert texts(root, "detail")[0].endswith("…")
    assert "m" * 64 in next(root.iter(f"{SVG}title")).text


def test_few_copies_have_a_box_each_and_many_share_one() -> None:
    def fan(count: int) -> list[DrawnTask]:
        copies = [DrawnTask(name=f"train[{n}]", upstream=("a",), state="succeeded") for n in range(count - 1)]
        copies.append(DrawnTask(name="train[bad]", upstream=("a",), state="failed", href="bad.html"))
        needs = tuple(copy.name for copy in copies)
        return [DrawnTask(name="a", state="succeeded"), *copies, DrawnTask(name="z", upstream=needs, state="skipped")]

    few = parse(graph_svg(fan(draw.LARGE_GROUP), standalone=False))
    assert len(texts(few, "label")) == draw.LARGE_GROUP + 2
    many = parse(graph_svg(fan(60), standalone=False))
    assert sorted(texts(many, "label")) == ["a", "train \N{MULTIPLICATION SIGN}60", "z"]
    assert texts(many, "detail") == ["1 failed · 59 succeeded"]
    assert [link.get("href") for link in many.iter(f"{SVG}a")] == ["bad.html"]
    shares = [float(found.get("width", "0")) for found in many.iter(f"{SVG}rect") if found.get("class") == "share"]
    assert max(shares) / min(shares) == pytest.approx(59, rel=0.1)


def test_copies_that_are_only_planned_are_counted() -> None:
    root = parse(graph_svg([DrawnTask(name="train", copies=12)], standalone=False))
    assert texts(root, "label") == ["train \N{MULTIPLICATION SIGN}12"]


def test_tasks_that_hang_together_with_nothing_stand_in_rows() -> None:
    root = parse(graph_svg([DrawnTask(name=f"t{n}") for n in range(23)], standalone=False))
    assert len(texts(root, "label")) == 23
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    assert width < 700
    assert height < 300


@pytest.mark.parametrize("count", [draw.MAX_BOXES + 1, 10_000])
def test_too_many_boxes_become_a_mosaic_of_all_tasks(count: int) -> None:
    root = parse(graph_svg(random_tasks(count), standalone=False))
    squares = [found for found in root.iter(f"{SVG}rect") if found.get("class") in {"square", "hollow"}]
    assert 1 < len(squares) <= draw.MAX_SQUARES
    assert len(squares) == count if count <= draw.MAX_SQUARES else len(squares) == -(-count // 3)
    assert f"{count} tasks" in texts(root, "detail")[0]


def test_a_graph_of_too_many_lines_becomes_a_mosaic() -> None:
    tasks = [DrawnTask(name=f"t{n}", upstream=tuple(f"t{m}" for m in range(n))) for n in range(120)]
    root = parse(graph_svg(tasks, standalone=False))
    assert not [path for path in root.iter(f"{SVG}path") if (path.get("class") or "").startswith("line")]


def test_no_task_and_one_task_are_pictures_too() -> None:
    assert float(parse(graph_svg([], standalone=True)).get("width", "0")) > 0
    assert texts(parse(graph_svg([DrawnTask(name="a")], standalone=True)), "label") == ["a"]


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        graph_svg([DrawnTask(name="a", upstream=("b",)), DrawnTask(name="b", upstream=("a",))], standalone=False)


def test_a_thousand_tasks_take_less_than_two_seconds() -> None:
    deep = [DrawnTask(name=f"t{n}", upstream=(f"t{n - 1}",) if n else ()) for n in range(1000)]
    for tasks in (random_tasks(1000), deep, random_tasks(draw.MAX_BOXES)):
        began = time.process_time()
        graph_svg(tasks, standalone=True)
        assert time.process_time() - began < 2


def test_coordinates_lie_inside_the_picture() -> None:
    text = graph_svg(random_tasks(150), standalone=False)
    root = parse(text)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for x, y in re.findall(r'translate\((-?[\d.]+),(-?[\d.]+)\)"><g class="t-', text):
        assert 0 <= float(x) <= width
        assert 0 <= float(y) <= height
    assert "nan" not in text


def test_base_names() -> None:
    assert [base_name(name) for name in ("train", "train[ridge,eu]", "a[b[c]]")] == ["train", "train", "a"]
