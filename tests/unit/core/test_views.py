"""Documents of runs, tasks, plans and events, with the keys that scripts rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core import views
from nbflow.core.attempt import ArchivedFile, CellCounts, ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.plan import Action, Plan
from nbflow.core.spec import RetryPolicy
from nbflow.core.values import encode
from support.build import NOON, RUN, Story, planned, stamp
from support.strategies import instances

FOLDER = f"sales/{RUN}"


def published(task: str, *suffixes: str) -> tuple[ArchivedFile, ...]:
    return tuple(ArchivedFile(path=f"{FOLDER}/{task}{suffix}", size=1, sha256="ff") for suffix in suffixes)


def finished(task: str, attempt: int = 1, **more: Any) -> msg.Finished:
    return msg.Finished(task=task, attempt=attempt, outcome=Outcome(**{"verdict": Verdict.SUCCEEDED, **more}))


@pytest.fixture
def story() -> Story:
    """One success with outputs, one failure, one task that is blocked by it."""
    limit = encode(date(2026, 1, 31))
    story = Story(planned("a", accepts=("day",)), planned("b"), planned("c", "b"), params={"day": limit})
    story.send("start", at=1)
    counts = CellCounts(total=5, ok=5)
    story.send(
        finished("a", outputs={"rows": 10, "day": limit}, cells=counts, files=published("a", ".ipynb", ".html")), at=2.5
    )
    error = TaskError(kind=ErrorKind.EXCEPTION, message="no rows", cell=7, ename="ValueError")
    failed = CellCounts(total=3, ok=1, failed=1, not_run=1)
    story.send(
        finished("b", verdict=Verdict.FAILED, error=error, cells=failed, files=published("b", ".ipynb")), at=3.0005
    )
    return story


def test_the_run_document(story: Story) -> None:
    document = views.run_document(story.state)
    assert json.loads(json.dumps(document)) == document
    head = {key: document[key] for key in ("schema", "run", "pipeline", "state", "logical_date", "started", "ended")}
    assert head == {
        "schema": "nbflow.run/1",
        "run": RUN,
        "pipeline": "sales",
        "state": "failed",
        "logical_date": "2026-01-31T12:00:00Z",
        "started": "2026-01-31T12:00:01.000Z",
        "ended": "2026-01-31T12:00:03.000Z",
    }
    assert document["params"] == {"day": "2026-01-31"}
    assert [task["task"] for task in document["tasks"]] == ["a", "b", "c"]
    assert views.run_summary(story.state) == {key: value for key, value in document.items() if key != "tasks"}


def test_a_task_that_succeeded(story: Story) -> None:
    task = views.task_document(story.state, story.state.tasks["a"])
    assert task == {
        "task": "a",
        "state": "succeeded",
        "reused_from": None,
        "reason": "no upstream",
        "attempts": 1,
        "started": "2026-01-31T12:00:01.000Z",
        "ended": "2026-01-31T12:00:02.500Z",
        "error": None,
        "outputs": {"rows": 10, "day": "2026-01-31"},
        "cells": {"total": 5, "ok": 5, "failed": 0, "skipped": 0, "not_run": 0},
        "notebook": f"outputs/{FOLDER}/a.ipynb",
        "html": f"outputs/{FOLDER}/a.html",
        "upstream": [],
        "params": {"day": "2026-01-31"},
    }


def test_a_task_that_failed(story: Story) -> None:
    task = views.task_document(story.state, story.state.tasks["b"])
    assert task["error"] == {
        "kind": "exception",
        "message": "no rows",
        "cell": 7,
        "ename": "ValueError",
        "signal": None,
    }
    assert (task["notebook"], task["html"]) == (f"outputs/{FOLDER}/b.ipynb", None)
    assert task["cells"] == {"total": 3, "ok": 1, "failed": 1, "skipped": 0, "not_run": 1}


def test_a_notebook_that_had_made_way_when_it_was_adopted(story: Story) -> None:
    task = story.state.tasks["b"]
    (attempt,) = task.attempts
    assert attempt.outcome is not None
    place = f"{FOLDER}/attempts/b.1.ipynb"
    moved = replace(attempt.outcome, files=(ArchivedFile(path=place, size=1, sha256="0"),))
    task = replace(task, attempts=[replace(attempt, outcome=moved)])
    assert views.task_document(story.state, task)["notebook"] == f"outputs/{place}"


def test_a_task_that_never_began(story: Story) -> None:
    task = views.task_document(story.state, story.state.tasks["c"])
    assert (task["state"], task["reason"], task["upstream"]) == ("upstream_failed", "b failed", ["b"])
    assert (task["attempts"], task["started"], task["error"], task["notebook"]) == (0, None, None, None)
    assert task["ended"] == "2026-01-31T12:00:03.000Z"


def test_a_success_after_a_failure_shows_no_error_and_the_outputs_of_the_success() -> None:
    story = Story(planned("a", retry=RetryPolicy(retries=1)))
    story.send("start")
    story.send(
        finished("a", verdict=Verdict.FAILED, outputs={"rows": 1}, error=TaskError(kind=ErrorKind.LOST, message=""))
    )
    running = views.task_document(story.state, story.state.tasks["a"])
    assert (running["state"], running["error"], running["outputs"]) == ("running", None, {})
    story.send(finished("a", attempt=2, outputs={"rows": 2}))
    task = views.task_document(story.state, story.state.tasks["a"])
    assert (task["error"], task["outputs"], task["attempts"]) == (None, {"rows": 2}, 2)


def test_a_task_that_waits_for_its_retry_shows_its_error() -> None:
    story = Story(planned("a", retry=RetryPolicy(retries=1, delay=9)))
    story.send("start")
    story.send("failed a/1 timeout")
    task = views.task_document(story.state, story.state.tasks["a"])
    assert (task["state"], task["error"]["kind"], task["ended"]) == ("retrying", "timeout", None)


def test_a_reused_task_shows_where_it_is_from() -> None:
    story = Story(planned("a", action=Action.REUSE, reason="read", reused_from="old", outputs={"rows": 3}))
    story.send("start")
    task = views.task_document(story.state, story.state.tasks["a"])
    assert (task["reused_from"], task["outputs"], task["notebook"]) == ("old", {"rows": 3}, None)


class TestProjection:
    def test_it_holds_what_was_touched_by_plan_position(self, story: Story) -> None:
        story.state.touched = {"b", "a"}
        found = views.project(story.state)
        assert set(found.tasks) == {0, 1}
        assert found.tasks[1]["task"] == "b"
        assert found.outputs == {0: story.state.tasks["a"].outputs}
        assert (found.row.state, found.row.seq, found.row.created) == ("failed", story.state.seq, NOON)

    def test_the_row_is_the_document_without_tasks(self, story: Story) -> None:
        assert views.project(story.state).row.document == views.run_summary(story.state)


class TestEvents:
    @given(st.sampled_from([cls for cls in ev.TYPES.values() if cls is not ev.RunCreated]).flatmap(instances))
    def test_every_event_has_the_common_keys_and_all_its_own(self, event: Any) -> None:
        document = views.event_document(stamp([event], seq=7)[0])
        assert (document["seq"], document["at"], document["run"]) == (7, "2026-01-31T12:00:00.000Z", RUN)
        assert document["type"] == ev.type_of(event)
        assert document["task"] == getattr(event, "task", None)
        assert set(type(event).__dataclass_fields__) <= document.keys()
        json.dumps(document)

    def test_the_first_event_names_the_tasks_and_leaves_the_plan_out(self, story: Story) -> None:
        document = views.event_document(story.history[0])
        assert document["tasks"] == ["a", "b", "c"]
        assert document["params"] == {"day": "2026-01-31"}
        assert not document.keys() & {"plan", "settings"}

    def test_values_are_readable_and_instants_in_milliseconds(self) -> None:
        day = {"day": encode(date(2026, 1, 31))}
        events: list[ev.Event] = [
            ev.TaskQueued(task="a", reason="x", params=day),
            ev.TaskReused(task="a", reason="x", reused_from="old", outputs=day),
            ev.AttemptEnded(task="a", attempt=1, outcome=Outcome(verdict=Verdict.SUCCEEDED, outputs=day)),
            ev.RetryScheduled(task="a", attempt=1, due=NOON + timedelta(seconds=1.5), reason="x"),
        ]
        queued, reused, ended, retry = (views.event_document(one) for one in stamp(events))
        assert queued["params"] == reused["outputs"] == ended["outcome"]["outputs"] == {"day": "2026-01-31"}
        assert retry["due"] == "2026-01-31T12:00:01.500Z"


def test_the_plan_document() -> None:
    plan = Plan(pipeline="sales", tasks=(planned("a"), planned("b", "a", action=Action.SKIP, reason="not selected")))
    assert views.plan_document(plan)["tasks"] == [
        {"task": "a", "action": "run", "reason": "no upstream", "upstream": []},
        {"task": "b", "action": "skip", "reason": "not selected", "upstream": ["a"]},
    ]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=1))), "2026-01-31T05:00:00.000Z"),
        (datetime(2026, 1, 31, 6, 0, 0, 999, tzinfo=UTC), "2026-01-31T06:00:00.000Z"),
        (datetime(2026, 1, 31, 6, 0, 0, 999_999, tzinfo=UTC), "2026-01-31T06:00:00.999Z"),
        (None, None),
    ],
)
def test_instants(at: datetime | None, text: str | None) -> None:
    assert views.instant(at) == text


def test_an_hour_that_comes_twice_has_two_instants() -> None:
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold) for fold in (0, 1))
    assert first == second
    assert (views.date_instant(first), views.date_instant(second)) == ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")
    assert (views.instant(first), views.instant(second)) == ("2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z")
