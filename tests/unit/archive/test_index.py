"""The page of a run."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from bleach._vendor import html5lib

from nbflow.archive.index import FIRST_FAILURES, RunPage, run_page
from nbflow.core.status import RunStatus

WRITTEN = datetime(2026, 1, 31, 5, 4, tzinfo=UTC)
FOLDER = "outputs/sales/sales-20260131T060000-k3fa"
ERROR = {"kind": "exception", "message": "ValueError: no rows", "cell": 6, "ename": "ValueError", "signal": None}


def task(name: str, state: str = "succeeded", *upstream: str, **more: Any) -> dict[str, Any]:
    ran = state in {"succeeded", "failed"}
    slug = name.replace("[", ".").replace("]", "").replace(",", "-")
    return {
        "task": name,
        "state": state,
        "reused_from": None,
        "reason": "upstream done",
        "attempts": int(ran),
        "started": "2026-01-31T05:00:10.000Z" if ran else None,
        "ended": "2026-01-31T05:01:00.000Z" if ran else None,
        "error": ERROR if state == "failed" else None,
        "outputs": {"rows": 10} if state == "succeeded" else {},
        "cells": {"total": 5, "ok": 4, "failed": 1, "skipped": 0, "not_run": 0},
        "notebook": f"{FOLDER}/{slug}.ipynb" if ran else None,
        "html": f"{FOLDER}/{slug}.html" if ran else None,
        "upstream": list(upstream),
        "slug": slug,
        **more,
    }


def run(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "schema": "nbflow.run/1",
        "run": "sales-20260131T060000-k3fa",
        "pipeline": "sales",
        "state": "failed",
        "logical_date": "2026-01-31T05:00:00Z",
        "started": "2026-01-31T05:00:00.000Z",
        "ended": "2026-01-31T05:03:34.000Z",
        "trigger": "manual",
        "params": {"region": "eu", "limit": 1},
        "tasks": list(tasks),
        **more,
    }


FAILED = run(
    task("extract"),
    task("clean", "failed", "extract"),
    task("load", "upstream_failed", "clean"),
    task("report", "upstream_failed", "load"),
    task("audit", "skipped", "extract"),
    task("cleanup", "succeeded", "report"),
)


def page(found: dict[str, Any], **more: Any) -> str:
    return run_page(RunPage(run=found, folder=FOLDER, written=WRITTEN, **more))


def tree(markup: str) -> Any:
    return html5lib.parse(markup, treebuilder="etree", namespaceHTMLElements=False)


def words(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def by_class(root: Any, name: str) -> list[Any]:
    return [found for found in root.iter() if name in str(found.get("class") or "").split()]


def test_what_failed_and_why_stands_before_all_else() -> None:
    text = page(FAILED)
    (failure,) = by_class(tree(text), "failure")
    assert words(failure) == (
        "clean ValueError in cell 5 of 5 no rows Not run because of it: load , report Open at the failed cell Notebook"
    )
    assert [link.get("href") for link in failure.iter("a")] == ["clean.html#failed", "clean.ipynb"]
    assert text.index('class="failure"') < text.index("<svg xmlns") < text.index('id="tasks"')


def test_only_a_failure_in_a_cell_leads_to_a_failed_cell() -> None:
    lost = task("clean", "failed", error={**ERROR, "kind": "start_failed", "ename": None, "cell": None})
    (failure,) = by_class(tree(page(run(lost))), "failure")
    assert "failed cell" not in words(failure)
    assert [link.get("href") for link in failure.iter("a")] == ["clean.html#failed", "clean.ipynb"]


def test_states_are_counted_what_failed_first() -> None:
    assert words(by_class(tree(page(FAILED)), "legend")[0]) == "1 failed 2 succeeded 2 upstream failed 1 skipped"


@pytest.mark.parametrize(("number", "is_long"), [(300, False), (301, True)])
def test_only_a_long_table_leaves_out_what_is_out_of_sight(number: int, is_long: bool) -> None:
    root = tree(page(run(*(task(f"t{n}") for n in range(number)))))
    assert bool(by_class(root, "long")) is is_long


@pytest.mark.parametrize(
    ("found", "words_of_it"),
    [
        (FAILED, "1 of 6 tasks failed, and 2 did not run because of it."),
        (run(task("a"), state="succeeded"), "The task succeeded."),
        (run(task("a"), task("b"), state="succeeded"), "All 2 tasks succeeded."),
        (run(task("a"), task("b", "skipped"), state="succeeded"), "1 of 2 tasks succeeded, 1 skipped."),
        (run(task("a"), task("b", "cancelled"), state="cancelled"), "1 of 2 tasks done when the run was cancelled."),
        (run(task("a"), task("b", "pending"), state="running"), "1 of 2 tasks done when this page was written."),
        (run(state="succeeded"), "All 0 tasks succeeded."),
    ],
)
def test_one_sentence_says_how_the_run_stands(found: dict[str, Any], words_of_it: str) -> None:
    assert words(by_class(tree(page(found)), "verdict")[0]) == words_of_it


@pytest.mark.parametrize("state", list(RunStatus))
def test_every_state_of_a_run_has_a_page(state: RunStatus) -> None:
    root = tree(page(run(task("a"), state=state.value, ended=None)))
    assert by_class(root, "badge")


def test_facts_are_shown_in_the_zone_of_the_project() -> None:
    facts = words(by_class(tree(page(FAILED, timezone="Europe/Prague")), "facts")[0])
    assert facts == (
        "Logical date Sat 31 Jan 2026, 06:00 Started Sat 31 Jan 2026, 06:00:00 CET Duration 3m 34s "
        "Trigger manual Run sales-20260131T060000-k3fa"
    )
    running = words(by_class(tree(page(run(task("a"), state="running", ended=None))), "facts")[0])
    assert "Duration 4m so far" in running


def test_parameters_and_where_it_ran() -> None:
    root = tree(page(FAILED, facts={"git commit": "41715e3", "dirty": False}, description="Daily <sales>"))
    assert [words(table) for table in by_class(root, "values")] == [
        "region eu limit 1",
        "git commit 41715e3 dirty false",
    ]
    assert words(by_class(root, "what")[0]) == "Daily <sales>"


def test_every_task_has_a_row_with_links_outputs_and_cells() -> None:
    root = tree(page(FAILED))
    rows = {words(by_class(row, "name")[0]): row for row in by_class(root, "row")}
    assert list(rows) == ["extract", "clean", "load", "report", "audit", "cleanup"]
    assert [link.get("href") for link in rows["extract"].iter("a")] == ["extract.html", "extract.html", "extract.ipynb"]
    assert "rows = 10" in words(rows["extract"])
    assert "1 failed, 4 ok" in words(rows["extract"])
    assert "Upstream failed: upstream done" in words(rows["load"])
    assert not list(rows["load"].iter("a"))
    assert "clean.html#failed" in [link.get("href") for link in rows["clean"].iter("a")]


def test_the_graph_and_the_timeline_are_drawn_with_links() -> None:
    root = tree(page(FAILED))
    graph, timeline = by_class(root, "nbflow-svg")
    assert {link.get("href") for link in graph.iter("{http://www.w3.org/2000/svg}a")} == {
        "extract.html",
        "clean.html",
        "cleanup.html",
    }
    assert len(by_class(graph, "label")) == 6
    assert len(by_class(timeline, "bar")) == 3
    assert not list(graph.iter("style"))


def test_a_run_that_has_not_begun_has_no_timeline() -> None:
    root = tree(page(run(task("a", "queued"), state="queued", started=None, ended=None)))
    assert len(by_class(root, "nbflow-svg")) == 1


def test_copies_that_failed_in_the_same_way_are_told_once() -> None:
    copies = [task(f"train[{n}]", "failed" if n % 2 else "succeeded", "a") for n in range(40)]
    other = task("train[x]", "failed", "a", error={**ERROR, "message": "another"})
    root = tree(page(run(task("a"), *copies, other, task("z", "upstream_failed", "train[1]"))))
    first, second = by_class(root, "failure")
    assert words(by_class(first, "name")[0]) == "train \N{MULTIPLICATION SIGN}20"
    assert len(list(first.iter("a"))) == 12
    assert "and 8 more" in words(first)
    assert "Not run because of it: z" in words(first)
    assert "another" in words(second)
    (group,) = list(root.iter("details"))
    assert words(group.find("summary")) == "train \N{MULTIPLICATION SIGN}41 34m 10s 21 failed 20 succeeded"
    assert group.get("open") is None


def test_many_failures_are_folded_after_the_first() -> None:
    found = run(*[task(f"t{n}", "failed", error={**ERROR, "message": str(n)}) for n in range(FIRST_FAILURES + 3)])
    root = tree(page(found))
    (folded,) = list(root.iter("details"))
    assert words(folded.find("summary")) == "3 more failed"
    assert len(by_class(folded, "failure")) == 3


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_every_text_is_escaped() -> None:
    error = {"kind": HOSTILE, "message": HOSTILE, "cell": 1, "ename": HOSTILE, "signal": HOSTILE}
    history = [
        {"attempt": n, "state": "failed", "started": "2026-01-31T05:00:00Z", "ended": None, "error": error}
        for n in (1, 2)
    ]
    bad = {
        "error": error,
        "reason": HOSTILE,
        "outputs": {HOSTILE: HOSTILE},
        "slug": HOSTILE,
        "description": HOSTILE,
        "notebook": HOSTILE,
        "html": HOSTILE,
        "attempt_history": history,
    }
    hostile = run(
        task(HOSTILE, "failed", **bad),
        task(HOSTILE + "2", HOSTILE, HOSTILE, **bad),
        task("c[1]", "succeeded", **bad),
        task("c[2]", "succeeded", **bad),
        run=HOSTILE,
        pipeline=HOSTILE,
        trigger=HOSTILE,
        params={HOSTILE: HOSTILE},
    )
    root = tree(page(hostile, description=HOSTILE, facts={HOSTILE: HOSTILE}))
    assert not list(root.iter("script"))
    assert not list(root.iter("img"))
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
    for link in root.iter("a"):
        assert not re.match(r"(?i)\s*javascript:", link.get("href") or "")


def test_a_page_is_whole_names_no_address_and_is_the_same_each_time() -> None:
    found = page(FAILED)
    assert found.startswith("<!doctype html>")
    assert found.rstrip().endswith("</html>")
    assert not re.search(r"""(src|href)=["']?(https?:|//)|@import|url\(""", found)
    assert found == page(FAILED)


def test_identifiers_are_unique() -> None:
    found = [element.get("id") for element in tree(page(FAILED)).iter() if element.get("id")]
    assert len(found) == len(set(found))


def test_a_thousand_tasks_have_a_page_within_seconds() -> None:
    copies = [task(f"score[{n}]", "failed" if n % 50 == 0 else "succeeded", "a") for n in range(998)]
    needs = [copy["task"] for copy in copies]
    found = run(task("a"), *copies, task("z", "upstream_failed", *needs))
    began = time.process_time()
    text = page(found)
    assert time.process_time() - began < 5
    assert len(text) < 2_000_000
