"""A graph of tasks as text: for a terminal, for Graphviz and for Mermaid. Names are data and are escaped here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nbflow.archive import palette
from nbflow.archive.draw import Box, DrawnTask, share_boxes
from nbflow.archive.layered import layers

DEEPEST = 16
"""A tree beyond this depth would run out of the right side; a numbered list of layers is printed instead."""

MARKS = {
    "succeeded": "✓",
    "failed": "✗",
    "running": "▶",
    "retrying": "↻",
    "queued": "◷",
    "pending": "·",
    "skipped": "»",
    "upstream_failed": "⊝",
    "cancelled": "■",
    "interrupted": "‖",
}


def graph_text(tasks: Sequence[DrawnTask]) -> str:
    """A tree in which every task stands once, below the last of its upstreams; others are named beside it.

    Ends with a newline; the empty text for no tasks. Raises ValueError for a cycle.
    """
    boxes = share_boxes(tasks)
    depth = layers([box.upstream for box in boxes])
    if max(depth, default=0) > DEEPEST:
        return _listed(boxes, depth)
    below: list[list[int]] = [[] for _ in boxes]
    roots = []
    parent: dict[int, int] = {}
    for index, box in enumerate(boxes):
        if box.upstream:
            parent[index] = max(box.upstream, key=lambda up: (depth[up], up))
            below[parent[index]].append(index)
        else:
            roots.append(index)
    lines: list[str] = []
    for root in roots:
        _branch(boxes, below, parent, root, lines)
    return "".join(f"{line}\n" for line in lines)


def graph_dot(tasks: Sequence[DrawnTask], name: str = "nbflow") -> str:
    """The graph in the language of Graphviz."""
    index = {task.name: number for number, task in enumerate(tasks)}
    lines = [f"digraph {_dot(name)} {{", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname=sans];']
    for number, task in enumerate(tasks):
        tone = palette.tone(task.state)
        fill, line = palette.COLOURS[f"{tone}-soft"][0], palette.COLOURS[tone][0]
        look = f', fillcolor="{fill}", color="{line}"' if task.state else ', fillcolor="#ffffff"'
        lines.append(f"  t{number} [label={_dot(_label(task))}{look}];")
    lines += [f"  t{index[up]} -> t{index[task.name]};" for task in tasks for up in task.upstream if up in index]
    return "\n".join([*lines, "}", ""])


def graph_mermaid(tasks: Sequence[DrawnTask]) -> str:
    """The graph in the language of Mermaid, which Markdown of GitHub and GitLab draws."""
    index = {task.name: number for number, task in enumerate(tasks)}
    lines = ["flowchart LR"]
    lines += [f'  t{number}["{_mermaid(_label(task))}"]' for number, task in enumerate(tasks)]
    lines += [f"  t{index[up]} --> t{index[task.name]}" for task in tasks for up in task.upstream if up in index]
    tones = sorted({palette.tone(task.state) for task in tasks if task.state})
    for tone in tones:
        fill, line = palette.COLOURS[f"{tone}-soft"][0], palette.COLOURS[tone][0]
        members = ",".join(f"t{n}" for n, task in enumerate(tasks) if task.state and palette.tone(task.state) == tone)
        lines.append(f"  classDef {tone} fill:{fill},stroke:{line},color:{palette.COLOURS['text'][0]}")
        lines.append(f"  class {members} {tone}")
    return "\n".join([*lines, ""])


def _branch(boxes: list[Box], below: list[list[int]], parent: dict[int, int], root: int, lines: list[str]) -> None:
    """Lines of a root and all that stands below it. DEEPEST bounds the depth."""
    stack = [(root, "", "")]
    while stack:
        index, here, after = stack.pop()
        others = [boxes[up].label for up in boxes[index].upstream if up != parent.get(index)]
        lines.append(here + _line(boxes[index]) + (f"  (also after {_clean(', '.join(others))})" if others else ""))
        children = below[index]
        for child in reversed(children):
            last = child == children[-1]
            stack.append((child, after + ("└── " if last else "├── "), after + ("    " if last else "│   ")))


def _listed(boxes: list[Box], depth: list[int]) -> str:
    wide = len(str(max(depth) + 1))
    lines, shown = [], -1
    for index in sorted(range(len(boxes)), key=lambda i: (depth[i], i)):
        number = f"{depth[index] + 1:>{wide}}" if depth[index] != shown else " " * wide
        shown = depth[index]
        ups = ", ".join(boxes[up].label for up in boxes[index].upstream)
        lines.append(f"{number}  {_line(boxes[index])}" + (f"  (after {_clean(ups)})" if ups else ""))
    return "".join(f"{line}\n" for line in lines)


def _line(box: Box) -> str:
    mark = MARKS.get(box.task.state or "", "")
    detail = f"  {_clean(box.task.detail)}" if box.task.detail else ""
    return f"{mark} {_clean(box.label)}{detail}" if mark else f"{_clean(box.label)}{detail}"


def _label(task: DrawnTask) -> str:
    return Box(task=task).label


def _clean(text: str) -> str:
    """Text that a terminal only prints: control characters show as `\\x1b`."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _dot(text: str) -> str:
    return '"' + _clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid(text: str) -> str:
    return re.sub(r'[#&<>"`\\\[\](){}|;%]', lambda found: f"#{ord(found[0])};", _clean(text))
