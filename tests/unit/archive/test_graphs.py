"""Graphs as text: every task once, nothing that a terminal or a parser would obey."""

from __future__ import annotations

import re

import pytest

from nbflow.archive.draw import DrawnTask
from nbflow.archive.graphs import graph_dot, graph_mermaid, graph_text

DIAMOND = [
    DrawnTask(name="extract", state="succeeded", detail="12s"),
    DrawnTask(name="clean", upstream=("extract",), state="failed"),
    DrawnTask(name="weather", upstream=("extract",), state="succeeded"),
    DrawnTask(name="report", upstream=("clean", "weather"), state="upstream_failed"),
    DrawnTask(name="alone"),
]
HOSTILE = 'a"]; b\\\n\x1b]0;x\x07<script>#1;`'


def test_a_tree_shows_each_task_once_and_names_further_upstreams() -> None:
    assert graph_text(DIAMOND) == (
        "✓ extract  12s\n├── ✗ clean\n└── ✓ weather\n    └── ⊝ report  (also after clean)\nalone\n"
    )


def test_no_tasks_are_no_text() -> None:
    assert graph_text([]) == ""


def test_a_deep_graph_is_listed_by_layers() -> None:
    chain = [DrawnTask(name=f"t{n}", upstream=(f"t{n - 1}",) if n else ()) for n in range(10_000)]
    lines = graph_text(chain).splitlines()
    assert len(lines) == 10_000
    assert lines[0].split() == ["1", "t0"]
    assert lines[-1].split() == ["10000", "t9999", "(after", "t9998)"]
    assert max(map(len, lines)) < 40


def test_many_copies_are_one_line() -> None:
    tasks = [DrawnTask(name="a"), *[DrawnTask(name=f"train[{n}]", upstream=("a",)) for n in range(60)]]
    assert graph_text(tasks) == "a\n└── train \N{MULTIPLICATION SIGN}60\n"


def test_control_characters_are_shown_not_sent() -> None:
    text = graph_text([DrawnTask(name="a", label=HOSTILE), DrawnTask(name="b", upstream=("a",))])
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text
    assert r"\x1b" in text


def test_dot_names_every_task_and_edge_and_quotes_labels() -> None:
    text = graph_dot([*DIAMOND, DrawnTask(name="x", label=HOSTILE)], name='odd "name"')
    assert text.startswith('digraph "odd \\"name\\"" {\n')
    assert text.count("->") == 4
    assert "t0 -> t1;" in text
    for line in text.splitlines():
        assert line.replace("\\\\", "").replace('\\"', "").count('"') % 2 == 0
    assert 'label="extract"' in text


def test_mermaid_names_every_task_and_edge_and_escapes_labels() -> None:
    text = graph_mermaid([*DIAMOND, DrawnTask(name="x", label=HOSTILE)])
    lines = text.splitlines()
    assert lines[0] == "flowchart LR"
    assert sum("-->" in line for line in lines) == 4
    labels = [found[1] for line in lines if (found := re.fullmatch(r'  t\d+\["(.*)"\]', line))]
    assert len(labels) == 6
    assert not any(re.search(r'["<>\[\]`]', label) for label in labels)
    assert "class t1 bad" in text


@pytest.mark.parametrize("make", [graph_text, graph_dot, graph_mermaid])
def test_upstreams_that_are_not_drawn_are_left_out(make: object) -> None:
    assert "elsewhere" not in make([DrawnTask(name="a", upstream=("elsewhere",))])
