"""The last words of a run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from nbflow.cli.output import Output, Outputs
from nbflow.cli.session import Session
from nbflow.cli.summary import error_line, show_outcome, tally
from nbflow.results import RunResult
from support.commands import Shell, Terminal, TextFile


def task(name: str, state: str, **error: Any) -> dict[str, Any]:
    full = {"kind": "exception", "message": "it broke", "ename": None, **error} if state == "failed" else None
    return {"task": name, "state": state, "error": full}


def result(state: str, *tasks: dict[str, Any]) -> RunResult:
    times = {"started": "2026-01-31T05:00:00.000Z", "ended": "2026-01-31T05:01:30.000Z"}
    return RunResult({"run": "sales-1", "state": state, **times, "tasks": list(tasks)})


def shown(found: RunResult, stream: io.StringIO, page: Path = Path("none/index.html")) -> list[str]:
    show_outcome(Session(Outputs(Output(stream), Output(io.StringIO()), json=False)), found, page)
    return stream.getvalue().splitlines()


def test_a_success_is_short() -> None:
    assert shown(result("succeeded", task("a", "succeeded"), task("b", "succeeded")), TextFile()) == [
        "",
        "✓ succeeded  sales-1 in 1m 30s",
        "  2 tasks succeeded",
    ]


def test_a_failure_says_what_where_and_what_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "index.html"
    page.touch()
    found = result("failed", task("a[x y]", "failed", ename="ValueError", message="bad"), task("b", "upstream_failed"))
    assert shown(found, TextFile(), page) == [
        "",
        "✗ failed  sales-1 in 1m 30s",
        "  1 upstream failed, 1 failed",
        "  ✗ a[x y]: ValueError: bad",
        "  page    index.html",
        "  logs    nbflow logs 'sales-1/a[x y]'",
        "  resume  nbflow resume sales-1",
    ]


def test_many_failures_are_counted() -> None:
    found = result("failed", *(task(f"t{place}", "failed") for place in range(8)))
    lines = shown(found, TextFile())
    assert sum("it broke" in line for line in lines) == 5
    assert "  and 3 more" in [line.rstrip() for line in lines]


def test_a_long_error_is_wrapped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    found = result("failed", task("a", "failed", message="word " * 30))
    lines = shown(found, Terminal())
    assert all(len(line) <= 50 for line in lines)
    assert any(line.startswith("    word") for line in lines)


def test_the_tally_ends_with_what_asks_for_attention() -> None:
    states = ("failed", "skipped", "succeeded", "succeeded", "upstream_failed", "cancelled")
    found = result("failed", *(task(str(place), state) for place, state in enumerate(states)))
    assert tally(found) == "2 succeeded, 1 skipped, 1 cancelled, 1 upstream failed, 1 failed"


def test_an_error_is_one_clean_line() -> None:
    assert error_line(task("a", "failed", kind="timeout", message="30 s\npassed \x1b[2J")) == (
        r"timeout: 30 s passed \x1b[2J"
    )
    assert len(error_line(task("a", "failed", message="x" * 5000))) < 400


def test_the_plan_as_a_table(shell: Shell) -> None:
    assert shell("plan", "sales", "-s", "extract").out.splitlines() == [
        "TASK          ACTION  REASON",
        "extract       ▸ run   no upstream",
        "clean         » skip  not selected",
        "train[ridge]  » skip  not selected",
        "train[gbm]    » skip  not selected",
        "3 to skip, 1 to run",
    ]
