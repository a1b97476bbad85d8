"""Names, and the nearest name to a wrong one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.faults import MANY, also_for, did_you_mean, name_fault, nearest


@pytest.mark.parametrize("name", ["a", "_", "A-b_9", "x" * 64, "console", "com", "lpt10", "nul_"])
def test_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "9a", "-a", "a b", "a.b", "a/b", "..", "é", "x" * 65, "a\n", "con", "NUL", "Com1", "lpt9", "aux", "prn"],
)
def test_what_is_no_name(name: str) -> None:
    assert name_fault(name)


@given(st.text(max_size=70))
def test_a_legal_name_is_safe_in_paths(name: str) -> None:
    if name_fault(name) is None:
        assert name.isascii()
        assert not set(name) & set("/\\. \0%{}'\"")


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("extrat", ["extract", "report"], "extract"),
        ("Run-If", ["run_if", "runs"], "run_if"),
        ("zzz", ["extract"], None),
        ("x", [], None),
        ("", ["a"], None),
        ("x" * 10_000, ["x" * 64], "x" * 64),
    ],
)
def test_the_nearest_name(name: str, names: list[str], found: str | None) -> None:
    assert nearest(name, names) == found


def test_hints() -> None:
    assert did_you_mean("b", ["bb", "c"], what="tasks") == 'did you mean "bb"?'
    assert did_you_mean("x", ["c", "a"], what="tasks") == "tasks: a, c"
    assert did_you_mean("x", [], what="tasks") == "there are no tasks"
    assert did_you_mean("zz", [f"a{i}" for i in range(9)], what="tasks") == "tasks: a0, a1, a2, a3, a4, a5, a6, a7, ..."


def test_other_tasks_are_counted() -> None:
    assert [also_for(count) for count in (0, 1, 2_000)] == [
        "",
        " (also for 1 other task)",
        " (also for 2,000 other tasks)",
    ]


def test_among_many_names_a_hint_stays_cheap() -> None:
    names = [f"task_{i}" for i in range(MANY * 30)]
    start = time.process_time()
    assert nearest("Task_17", [*names[:10], *names[20:], "task_17"]) == "task_17"
    assert did_you_mean("zzz", names, what="tasks").startswith("tasks: task_0, ")
    for index in range(50):
        nearest(f"tisk_{index}", names)
    assert time.process_time() - start < 5
