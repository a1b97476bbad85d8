"""Looking at runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nbflow.core.events import Stamped
from nbflow.core.rows import Past
from nbflow.core.spec import RetryPolicy
from nbflow.core.state import fold
from nbflow.core.views import project
from nbflow.errors import NotFoundError, UnreachableError, UsageError
from nbflow.runs import Runs, copies_named, pasts
from nbflow.store.memory import MemoryStore
from support.build import Story, after, planned
from support.engines import FakeClock


def stored(store: MemoryStore, run: str, *messages: str, at: float = 0, owner: str | None = None) -> None:
    """Keep the run that some messages make, under a name."""
    story = Story(planned("a"), planned("b", "a"))
    for message in messages:
        story.send(message)
    history = [Stamped(run=run, seq=one.seq, at=after(at), event=one.event) for one in story.history]
    history[0] = replace(history[0], event=replace(story.state.created, run=run))
    state = fold(history[:1])
    store.create(history[:1], project(state))
    fence = store.claim(run, owner or "me", lambda _: False)
    if history[1:]:
        store.append(history[1:], project(fold(history)), fence)
    if owner is None:
        store.release(run, fence)


@pytest.fixture
def runs() -> Runs:
    store = MemoryStore()
    stored(store, "sales-1-aaaa", "start", "succeeded a/1", "succeeded b/1", at=1)
    stored(store, "sales-2-bbbb", "start", "failed a/1", at=2)
    stored(store, "sales-2-cccc", "start", "succeeded a/1", at=3, owner="dead")
    stored(store, "stock-3-dddd", "start", at=4, owner="alive")
    return Runs(store, lambda owner: owner == "alive")


def test_a_run_that_was_given_back_before_it_had_begun_is_interrupted() -> None:
    """Nobody is about to begin it; one that nobody has had yet waits for somebody."""
    store = MemoryStore()
    stored(store, "sales-1-aaaa")
    runs = Runs(store, lambda _: False)
    assert runs.state_of(runs.find("sales-1-aaaa")) == "interrupted"
    assert runs.document(runs.find("sales-1-aaaa")).state == "interrupted"
    story = Story(planned("a"))
    created = replace(story.state.created, run="sales-2-bbbb")
    history = [Stamped(run=created.run, seq=1, at=after(1), event=created)]
    store.create(history, project(fold(history)))
    assert runs.state_of(runs.find("sales-2-bbbb")) == "queued"


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("sales-1-aaaa", "sales-1-aaaa"),
        ("sales-1", "sales-1-aaaa"),
        ("st", "stock-3-dddd"),
        ("cccc", "sales-2-cccc"),
        ("@last", "stock-3-dddd"),
        ("@last-failed", "sales-2-bbbb"),
    ],
)
def test_find(runs: Runs, text: str, run: str) -> None:
    assert runs.find(text).run == run


def test_find_none_or_several(runs: Runs) -> None:
    with pytest.raises(UsageError, match="sales-2-bbbb"):
        runs.find("sales-2")
    for text in ("purchase", "", "%", "_", "zzzz"):
        with pytest.raises(NotFoundError):
            runs.find(text)
    with pytest.raises(UsageError, match="@first"):
        runs.find("@first")
    with pytest.raises(NotFoundError, match="no run yet"):
        Runs(MemoryStore(), lambda _: False).find("@last")


def test_a_run_whose_owner_is_gone_is_interrupted(runs: Runs) -> None:
    states = {row.run: runs.state_of(row) for row in runs.rows()}
    assert states == {
        "sales-1-aaaa": "succeeded",
        "sales-2-bbbb": "failed",
        "sales-2-cccc": "interrupted",
        "stock-3-dddd": "running",
    }
    assert runs.document(runs.find("cccc")).state == "interrupted"
    assert runs.summary(runs.find("cccc"))["state"] == "interrupted"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["interrupted"], ["sales-2-cccc"]),
        (["running"], ["stock-3-dddd"]),
        (["failed", "interrupted"], ["sales-2-cccc", "sales-2-bbbb"]),
        ([], ["stock-3-dddd", "sales-2-cccc", "sales-2-bbbb", "sales-1-aaaa"]),
    ],
)
def test_rows_by_the_state_they_really_have(runs: Runs, states: list[str], expected: list[str]) -> None:
    assert [row.run for row in runs.rows(states=states)] == expected


def test_what_a_new_plan_is_told(runs: Runs) -> None:
    past = runs.past("sales", "a")
    assert past is not None
    assert past.run == "sales-2-cccc"
    previous = runs.previous("sales")
    assert previous is not None
    assert set(previous.states) == {"a", "b"}
    assert runs.previous("nothing") is None
    assert runs.past("sales", "nothing") is None


def test_a_history_that_makes_no_sense_is_named(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged, or written by another nbflow; whoever goes through all runs can pass over it."""
    row = runs.find("sales-1-aaaa")
    events = list(runs.store.events(row.run))
    monkeypatch.setattr(MemoryStore, "events", lambda *_: iter([events[0], *events[2:]]))
    for look in (runs.state, runs.seen):
        with pytest.raises(UnreachableError, match="run sales-1-aaaa: its history makes no sense"):
            look(row)


def test_events_after(runs: Runs) -> None:
    row = runs.find("aaaa")
    everything = list(runs.events(row))
    assert [one.seq for one in runs.events(row, 3)] == [one.seq for one in everything[3:]]


def test_durations_are_medians_of_successes() -> None:
    store = MemoryStore()
    for number, seconds in enumerate((10, 2, 4, 300)):
        story = Story(planned("a"), planned("b", "a"))
        story.send("start")
        story.send("succeeded a/1" if seconds < 300 else "failed a/1", at=seconds)
        first = replace(story.history[0], run=f"r{number}", event=replace(story.state.created, run=f"r{number}"))
        history = [first, *(replace(one, run=f"r{number}") for one in story.history[1:])]
        state = fold(history[:1])
        store.create(history[:1], project(state))
        store.append(history[1:], project(fold(history)), store.claim(f"r{number}", "me", lambda _: False))
    assert Runs(store, lambda _: False).durations("sales") == {"a": 4.0}
    assert Runs(store, lambda _: False).durations("other") == {}


def test_what_was_tried_again_is_timed_by_nobody() -> None:
    """From its first attempt to its last, the time counts in which nothing of it was running."""
    story, store = Story(planned("a", retry=RetryPolicy(retries=1)), planned("b")), MemoryStore()
    story.send("start")
    story.send("lost a/1", "succeeded b/1", at=2)
    story.send("tick", at=172_800)
    story.send("succeeded a/2", at=172_801)
    store.create(story.history[:1], project(fold(story.history[:1])))
    run = story.state.run
    store.append(story.history[1:], project(story.state), store.claim(run, "me", lambda _: False))
    assert {task["task"]: task["state"] for task in store.task_rows(run)} == {"a": "succeeded", "b": "succeeded"}
    assert Runs(store, lambda _: False).durations("sales") == {"b": 2.0}


def test_what_resume_would_run(runs: Runs) -> None:
    assert runs.resumed(runs.find("bbbb"), after(100)) == ("a", "b")
    assert runs.resumed(runs.find("cccc"), after(100)) == ("b",), "what was lost with its engine, and only that"
    assert runs.resumed(runs.find("aaaa"), after(100)) == ()
    assert runs.state_of(runs.find("cccc")) == "interrupted", "nothing was changed"


def test_one_of_another_host_is_believed_to_go_on_while_its_lease_lasts() -> None:
    clock = FakeClock()
    store = MemoryStore(clock.now)
    stored(store, "far", "start", owner="elsewhere:1:1")
    runs = Runs(store, lambda _: None)
    assert (runs.state_of(runs.find("far")), runs.dead()) == ("running", [])
    clock.go_on(61)
    assert runs.state_of(runs.find("far")) == "interrupted"
    assert [row.run for row in runs.dead()] == ["far"]


def test_nothing_of_a_run_whose_process_is_gone_is_shown_as_running(runs: Runs) -> None:
    document = runs.document(runs.find("cccc"))
    assert [(task["task"], task["state"]) for task in document["tasks"]] == [("a", "succeeded"), ("b", "cancelled")]
    assert document.task("b")["error"]["kind"] == "lost"
    assert [task["state"] for task in runs.document(runs.find("dddd"))["tasks"]] == ["running", "pending"]
    assert [row.run for row in runs.dead()] == ["sales-2-cccc"]


def test_copies_by_name() -> None:
    state = Story(planned("a"), planned("t[x]", base="t"), planned("t[y]", base="t")).state
    assert copies_named(state, "a") == ["a"]
    assert copies_named(state, "t[y]") == ["t[y]"]
    assert copies_named(state, "t") == ["t[x]", "t[y]"]
    with pytest.raises(NotFoundError) as caught:
        copies_named(state, "t[z]")
    assert "did you mean" in str(caught.value.hint)


def listed(*messages: str, run: str = "r1", **score: Any) -> Runs:
    """A run whose task `score` has a copy for each of two items, and what became of them."""
    store = MemoryStore()
    story = Story(planned("score", for_each=["b", "a"], **score), planned("report", "score"), jobs=9)
    story.send("start")
    for seconds, message in enumerate(messages, start=1):
        story.send(message, at=seconds)
    history = [replace(one, run=run) for one in story.history]
    history[0] = replace(history[0], event=replace(story.state.created, run=run))
    store.create(history[:1], project(fold(history[:1])))
    store.append(history[1:], project(fold(history)), store.claim(run, "me", lambda _: False))
    return Runs(store, lambda _: False)


def test_copies_of_a_list_are_taken_over_together_as_lists() -> None:
    runs = listed("succeeded score[a]/1 n=1", "succeeded score[b]/1 n=2 m=3")
    assert runs.past("sales", "score", is_list=True) == Past(run="r1", outputs={"n": [2, 1], "m": [3, None]})
    assert runs.past("sales", "other", is_list=True) is None
    assert listed("succeeded score[a]/1 n=1", "failed score[b]/1").past("sales", "score", is_list=True) is None
    assert listed("succeeded score[a]/1").past("sales", "score", is_list=True) is None


def test_runs_are_read_once_for_all_tasks_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = listed("succeeded score[a]/1 n=1", "succeeded score[b]/1 n=2")
    read: list[str] = []
    events = runs.store.events

    def note(run: str, after: int = 0) -> Iterator[Stamped]:
        read.append(run)
        return events(run, after)

    monkeypatch.setattr(runs.store, "events", note)
    before = pasts(runs, "sales")
    assert [before(f"score[{item}]") for item in "ab"] == [Past(run="r1", outputs={"n": n}) for n in (1, 2)]
    assert (before("score"), before("nothing")) == (Past(run="r1", outputs={"n": [2, 1]}), None)
    assert read == ["r1"]


def test_copies_that_their_condition_left_out_gave_nothing() -> None:
    runs = listed("succeeded score[b]/1 n=2", when="item != 'a'")
    assert runs.past("sales", "score", is_list=True) == Past(run="r1", outputs={"n": [2, None]})


def test_a_task_with_copies_has_the_duration_of_most_of_them() -> None:
    durations = listed("succeeded score[a]/1", "succeeded score[b]/1").durations("sales")
    assert durations == {"score[a]": 1.0, "score[b]": 2.0, "score": 2.0}


def test_a_declared_task_means_all_its_copies() -> None:
    runs = listed("succeeded score[a]/1")
    state = runs.state(runs.find("r1"))
    assert copies_named(state, "score") == ["score[b]", "score[a]"]
    assert copies_named(state, "score[a]") == ["score[a]"]
