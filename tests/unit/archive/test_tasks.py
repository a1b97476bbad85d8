"""Tasks of a run as its page lists them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nbflow.archive.tasks import cut, group, relative, task_view

NOW = datetime(2026, 1, 31, 6, tzinfo=UTC)
FOLDER = "outputs/sales/sales-1"


def task(name: str = "clean", state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "task": name,
        "state": state,
        "reused_from": None,
        "reason": "after extract",
        "attempts": 1,
        "started": "2026-01-31T05:00:00.000Z",
        "ended": "2026-01-31T05:01:05.000Z",
        "error": None,
        "outputs": {},
        "cells": {"total": 5, "ok": 5, "failed": 0, "skipped": 0, "not_run": 0},
        "notebook": f"{FOLDER}/clean.ipynb",
        "html": f"{FOLDER}/clean.html",
        **more,
    }


def view(**more: Any) -> Any:
    return task_view(task(**more), FOLDER, NOW)


def test_a_task_that_succeeded() -> None:
    found = view(outputs={"rows": 10, "day": "x"})
    assert (found.page, found.notebook, found.took) == ("clean.html", "clean.ipynb", "1m 05s")
    assert (found.cells, found.cells_words, found.cells_total) == ((("ok", 5, "ok"),), "5 ok", 5)
    assert found.outputs == (("rows", "10"), ("day", '"x"'))
    assert (found.reason, found.problem, found.earlier) == ("after extract", "", ())


def test_a_task_that_has_not_begun() -> None:
    found = view(state="pending", started=None, ended=None, notebook=None, html=None, attempts=0, cells=None, reason="")
    assert (found.page, found.notebook, found.took, found.seconds) == (None, None, "", 0)
    assert (found.cells, found.spans) == ((), ())


def test_a_task_that_runs_lasts_until_now() -> None:
    found = view(state="running", ended=None)
    assert found.took == "1h"
    assert found.spans[0].ended is None


def test_attempts_before_the_one_that_counts_are_linked() -> None:
    error = {"kind": "kernel_died", "message": "m", "cell": 1, "ename": None, "signal": 9}
    history = [
        {
            "attempt": 1,
            "state": "failed",
            "started": "2026-01-31T05:00:00Z",
            "ended": "2026-01-31T05:00:10Z",
            "error": error,
        },
        {
            "attempt": 2,
            "state": "failed",
            "started": "2026-01-31T05:00:20Z",
            "ended": "2026-01-31T05:00:30Z",
            "error": error,
        },
    ]
    ended = view(state="failed", attempt_history=history, attempts=2, slug="train.a-b", error=error)
    assert [(link.label, link.href) for link in ended.earlier] == [("attempt 1", "attempts/train.a-b.1.ipynb")]
    assert [(span.attempt, span.state, span.detail) for span in ended.spans] == [
        (1, "failed", "The kernel died (signal 9)"),
        (2, "failed", "The kernel died (signal 9)"),
    ]
    measured = [*history[:1], {**history[1], "cpu_seconds": 3.0, "peak_memory": 200_000_000}]
    assert view(state="failed", attempt_history=measured, attempts=2).used == "CPU 3s, peak 200 MB"
    assert ended.used == ""
    running = {"attempt": 3, "state": "running", "started": "2026-01-31T05:00:40Z", "ended": None, "error": None}
    again = view(state="running", attempt_history=[*history, running], attempts=3)
    assert len(again.earlier) == 2
    waiting = view(state="retrying", attempt_history=history, attempts=2)
    assert len(waiting.earlier) == 2


def test_a_result_of_another_run_leads_to_it() -> None:
    found = view(reused_from="sales-0", notebook=None, html=None, reason="unchanged")
    assert found.page == "../sales-0/index.html"
    assert found.reason == "result of sales-0: unchanged"


def test_a_task_that_was_tried_again_says_at_which_attempt_it_succeeded() -> None:
    reason = "attempt 2 failed (exception); retry 2 of 3"
    assert view(attempts=3, reason=reason).reason == "succeeded at attempt 3"
    assert view(attempts=3, reason=reason, state="retrying", ended=None).reason == reason
    assert view(attempts=3, reason="same", reused_from="sales-0").reason == "result of sales-0: same"


def test_what_failed_is_counted_first() -> None:
    cells = {"total": 6, "ok": 3, "failed": 1, "skipped": 1, "not_run": 1}
    assert view(state="failed", cells=cells).cells_words == "1 failed, 3 ok, 1 skipped, 1 not run"


def test_an_end_on_purpose_is_told() -> None:
    cells = {"total": 5, "ok": 3, "failed": 0, "skipped": 0, "not_run": 2}
    assert view(stopped_at=7, cells=cells).reason == "after extract; ended on purpose at cell 3 of 5"


def test_a_problem_is_one_line() -> None:
    error = {
        "kind": "exception",
        "message": "ValueError: a\n\x1b[31mb\x1b[0m " + "x" * 500,
        "cell": 1,
        "ename": "ValueError",
    }
    found = view(state="failed", error=error)
    assert found.problem.startswith("ValueError: a b x")
    assert len(found.problem) == 160


@pytest.mark.parametrize(
    ("path", "folder", "address"),
    [
        (None, FOLDER, None),
        ("", FOLDER, None),
        (f"{FOLDER}/a.html", FOLDER, "a.html"),
        ("outputs/sales/sales-0/a.html", FOLDER, "../sales-0/a.html"),
        ("/data/out/sales/1/a.html", "/data/out/sales/1", "a.html"),
        (f"{FOLDER}/javascript:alert(1)", FOLDER, "javascript%3Aalert%281%29"),
        (f'{FOLDER}/a b?c#d"e.html', FOLDER, "a%20b%3Fc%23d%22e.html"),
    ],
)
def test_addresses_are_relative_and_quoted(path: str | None, folder: str, address: str | None) -> None:
    assert relative(path, folder) == address


def test_copies_are_a_group_in_the_place_of_the_first() -> None:
    names = ["a", "train[1]", "b", "train[2]", "train[3]"]
    states = ["succeeded", "succeeded", "succeeded", "failed", "skipped"]
    views = [task_view(task(name, state), FOLDER, NOW) for name, state in zip(names, states, strict=True)]
    groups = group(views, unfold=True)
    assert [(one.name, len(one.rows)) for one in groups] == [("a", 1), ("train", 3), ("b", 1)]
    assert groups[1].counts == (("failed", 1), ("succeeded", 1), ("skipped", 1))
    assert (groups[1].state, groups[1].took, groups[1].open) == ("failed", "3m 15s", True)
    assert not group(views, unfold=False)[1].open
    many = [task_view(task(f"t[{n}]"), FOLDER, NOW) for n in range(7)]
    assert not group(many, unfold=True)[0].open


def test_values_are_cut_to_one_line() -> None:
    assert cut("a\n b\tc") == "a b c"
    assert cut("x" * 100) == "x" * 79 + "…"
