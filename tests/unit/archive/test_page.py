"""The page of an executed notebook."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bleach._vendor import html5lib

from nbflow.archive.page import ERROR_WORDS, Link, error_view, notebook_page, values
from nbflow.core.attempt import ErrorKind

ABOUT = {
    "run": "sales-20260131T060000-k3fa",
    "pipeline": "sales",
    "task": "clean",
    "attempt": 3,
    "logical_date": "2026-01-31T05:00:00Z",
    "state": "failed",
    "error": {
        "kind": "exception",
        "message": "ValueError: no <rows>",
        "cell": 3,
        "ename": "ValueError",
        "signal": None,
    },
    "stopped_at": None,
    "parameters": {"day": "2013-07-04", "limit": 1000},
    "outputs": {"rows": 737},
    "started": "2026-01-31T05:00:12.100Z",
    "ended": "2026-01-31T05:00:37.600Z",
    "duration": 25.5,
    "environment": {"kernel": "python3", "kernel_version": "ipython 9.18.1", "packages": {"pandas": "3", "six": "1"}},
    "warnings": ["cell 4 overwrites `limit`"],
}


def code(source: str, state: str | None = None, **more: Any) -> dict[str, Any]:
    facts = {"nbflow": {"state": state, **more.pop("facts", {})}} if state else {}
    tags = {"tags": more.pop("tags")} if "tags" in more else {}
    cell = {
        "cell_type": "code",
        "source": source,
        "metadata": {**facts, **tags},
        "outputs": [],
        "execution_count": None,
    }
    return {**cell, **more}


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def document(*cells: dict[str, Any], **about: Any) -> dict[str, Any]:
    metadata = {"kernelspec": {"name": "python3", "language": "python"}, "nbflow": {**ABOUT, **about}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}


FAILED = document(
    text("# Clean\n\n## Read"),
    code("limit = 1", "ok", tags=["parameters"], execution_count=1, facts={"duration": 0.4}),
    code("limit = 1000", "ok", tags=["injected-parameters"], execution_count=2),
    code("raise ValueError", "failed", execution_count=3, outputs=[{"output_type": "error", "traceback": ["T"]}]),
    text("## Keep"),
    code("keep()", "not_run"),
    code("more()", "not_run"),
)


def page(found: dict[str, Any], **more: Any) -> str:
    return notebook_page(found, title=more.pop("title", "clean"), **more)


def tree(markup: str) -> Any:
    return html5lib.parse(markup, treebuilder="etree", namespaceHTMLElements=False)


def words(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def by_class(root: Any, name: str) -> list[Any]:
    return [found for found in root.iter() if name in str(found.get("class") or "").split()]


def by_id(root: Any, name: str) -> list[Any]:
    return [found for found in root.iter() if found.get("id") == name]


def test_the_head_tells_what_the_notebook_knows_of_itself() -> None:
    root = tree(page(FAILED, timezone="Europe/Prague", facts={"Pool": "warehouse"}))
    (facts,) = by_class(root, "facts")
    assert words(facts) == (
        "Run sales-20260131T060000-k3fa Attempt 3 Logical date Sat 31 Jan 2026, 06:00 "
        "Started Sat 31 Jan 2026, 06:00:12 CET Duration 26s Kernel ipython 9.18.1 Pool warehouse "
        "Code cells 1 failed, 2 ok, 2 not run"
    )
    assert words(by_class(root, "badge")[0]) == "Failed"
    tables = [words(table) for table in by_class(root, "values")]
    assert tables[0] == "day 2013-07-04 limit 1000"
    assert tables[1] == "rows 737"
    assert "packages pandas 3, six 1" in tables[2]
    assert words(by_class(root, "warning")[0]) == "cell 4 overwrites `limit`"


def test_the_failed_cell_stands_out_and_the_head_leads_to_it() -> None:
    root = tree(page(FAILED))
    (failure,) = by_class(root, "failure")
    assert words(failure) == "ValueError in cell 3 of 5 no <rows> Go to the failed cell"
    assert [link.get("href") for link in failure.iter("a")] == ["#failed"]
    (target,) = by_id(root, "failed")
    (broken,) = by_class(root, "broken")
    assert target in list(broken.iter())
    assert broken.get("id") == "cell-4"
    assert words(by_class(root, "stop")[0]) == "The notebook stopped here: 2 cells below did not run."
    assert [cell.get("id") for cell in by_class(root, "idle")] == ["cell-6", "cell-7"]


def test_cells_show_count_state_and_duration() -> None:
    root = tree(page(FAILED))
    summaries = [words(summary) for summary in root.iter("summary") if summary.get("data-lines")]
    assert summaries == ["OK [1] 0.4s", "OK [2]", "Failed [3]", "Not run [ ]", "Not run [ ]"]
    assert [words(found) for found in by_class(by_class(root, "injected")[0], "tag")] == ["Parameters of this run"]


def test_what_was_used_stands_beside_the_duration() -> None:
    used = {"cpu_seconds": 1.5, "peak_memory": 90_000_000}
    made = document(code("x", "ok", facts={"duration": 2.0, **used}), error=None, state="succeeded", **used)
    root = tree(page(made))
    (took,) = by_class(root, "took")
    assert took.get("title") == "CPU 1.5s, peak 90 MB"
    assert words(took) == "2s , CPU 1.5s, peak 90 MB"
    assert "Used CPU 1.5s, peak 90 MB" in words(by_class(root, "facts")[0])


def test_durations_come_from_instants_where_none_was_measured() -> None:
    facts = {"start": "2026-01-31T05:00:00Z", "end": "2026-01-31T05:01:05Z"}
    root = tree(page(document(code("x", "ok", facts=facts), error=None, state="succeeded")))
    assert [words(found) for found in by_class(root, "took")] == ["1m 05s"]


def test_an_error_without_a_cell_is_its_own_target() -> None:
    error = {"kind": "start_failed", "message": "exit code 1", "cell": None, "ename": None, "signal": None}
    root = tree(page(document(code("x", "not_run"), error=error)))
    (target,) = by_id(root, "failed")
    assert target.get("class") == "failure"
    assert words(target) == "The kernel did not start exit code 1"
    assert not by_class(root, "broken")


def test_a_killed_cell_is_the_failed_one_where_the_error_names_none() -> None:
    error = {"kind": "kernel_died", "message": "", "cell": None, "ename": None, "signal": 9}
    root = tree(page(document(code("a", "ok"), code("b", "killed"), error=error)))
    assert by_class(root, "broken")[0].get("id") == "cell-2"
    assert words(by_id(root, "failed")[0]) == "This cell was killed"
    assert "The kernel died (signal 9)" in words(by_class(root, "failure")[0])


def test_an_end_on_purpose_is_said_and_is_no_failure() -> None:
    root = tree(page(document(code("exit()", "ok"), code("b", "not_run"), state="succeeded", error=None, stopped_at=0)))
    assert words(by_class(root, "stop")[0]) == "The notebook ended here on purpose (exit without an error)."
    assert not by_id(root, "failed")
    assert not by_class(root, "failure")


def test_headings_are_an_outline_where_there_are_several() -> None:
    root = tree(page(FAILED))
    assert [words(found) for found in by_class(root, "contents")] == ["Clean Read Keep"] * 2
    for link in by_class(root, "contents")[0].iter("a"):
        assert len(by_id(root, link.get("href")[1:])) == 1
    assert not by_class(tree(page(document(text("# One"), error=None))), "contents")


def test_identifiers_are_unique() -> None:
    cells = [text("# failed\n\n# failed\n\n# cell-1"), *FAILED["cells"]]
    found = [element.get("id") for element in tree(page(document(*cells))).iter() if element.get("id")]
    assert len(found) == len(set(found))


def test_links_lead_where_they_are_told() -> None:
    links = [Link(label="sales", href="../"), Link(label="<run>", href='index.html"')]
    root = tree(page(FAILED, links=links, notebook="clean.ipynb"))
    assert [(link.get("href"), words(link)) for link in by_class(root, "crumbs")[0].iter("a")] == [
        ("../", "sales"),
        ('index.html"', "<run>"),
    ]
    assert sum(link.get("href") == "clean.ipynb" for link in root.iter("a")) == 2


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_every_text_is_escaped() -> None:
    about = dict.fromkeys(("run", "task", "attempt", "state"), HOSTILE)
    error = {"kind": HOSTILE, "message": HOSTILE, "cell": 1, "ename": HOSTILE, "signal": HOSTILE}
    stuff = {HOSTILE: HOSTILE}
    found = document(
        {"cell_type": "raw", "source": HOSTILE, "metadata": {}},
        code(HOSTILE, HOSTILE, tags=[HOSTILE]),
        text(f"# {HOSTILE}\n\n# x\n\n# y\n\n{HOSTILE}"),
        **{**about, "error": error, "parameters": stuff, "outputs": stuff, "environment": stuff, "warnings": [HOSTILE]},
    )
    root = tree(page(found, title=HOSTILE, facts=stuff, links=[Link(label=HOSTILE, href=HOSTILE)], notebook=HOSTILE))
    assert not list(root.iter("script"))
    assert not list(root.iter("img"))
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]


@pytest.mark.parametrize(
    "found",
    [
        {"nbformat": 4, "metadata": {}, "cells": []},
        {"nbformat": 4, "metadata": {"nbflow": None}, "cells": [{"cell_type": "code", "source": ["a\n", "b"]}]},
        {"metadata": {"language_info": {"name": "R", "pygments_lexer": "r"}}, "cells": [code("x <- 1")]},
        {"metadata": {"language_info": {"pygments_lexer": {"name": "ipython", "version": 3}}}, "cells": [code("x")]},
        document(code("x", "novel"), error={}, parameters=None, outputs=None, environment=None, warnings=None),
        document({"cell_type": "novel", "source": "x", "metadata": {}}, error=None),
    ],
)
def test_notebooks_that_say_little_have_a_page_too(found: dict[str, Any]) -> None:
    root = tree(page(found))
    assert words(root.find(".//h1")) == "clean"


def test_a_page_is_whole_and_names_no_address() -> None:
    found = page(FAILED, notebook="clean.ipynb")
    assert found.startswith("<!doctype html>")
    assert found.rstrip().endswith("</html>")
    assert not re.search(r"""(src|href)=["']?(https?:|//)|@import|url\(""", found)
    assert page(FAILED) == page(FAILED)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_error_has_words(kind: ErrorKind) -> None:
    view = error_view({"kind": kind.value, "message": "m", "cell": 0, "ename": None, "signal": None}, None, 1, 3)
    assert view.name == ERROR_WORDS.get(kind.value, "Failed")
    assert kind is ErrorKind.EXCEPTION or kind.value in ERROR_WORDS
    assert view.cell == "cell 1 of 3"


def test_messages_are_plain_and_bounded() -> None:
    view = error_view({"ename": "E", "message": "E: \x1b[31mred\x1b[0m\x07 " + "x" * 9000}, "failed")
    assert view.message.startswith("red x")
    assert len(view.message) < 4100
    assert view.message.endswith("…")


def test_tables_of_values_show_texts_without_quotes() -> None:
    assert values({"a": "x", "b": 1, "c": [None, "y"], "d": "line\n\x00"}) == [
        ("a", "x"),
        ("b", "1"),
        ("c", '[null, "y"]'),
        ("d", "line\n\ufffd"),
    ]
    assert values(None) == []
