"""Which runs a rule means, and which of them are still needed."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.retention import ENDED, Retention, ended_at, meant, needed
from nbflow.core.rows import RunRow
from nbflow.core.views import instant
from support.build import NOON

NOW = NOON + timedelta(days=100)
STATES = ("queued", "running", *ENDED)


def row(run: str, days: float = 0, *, pipeline: str = "sales", ended: bool = True) -> RunRow:
    """A run that was made, and has ended, so many days after noon."""
    at = NOON + timedelta(days=days)
    return RunRow(run=run, pipeline=pipeline, state="x", created=at, document={"ended": instant(at) if ended else None})


def names(rows: list[RunRow], rule: Retention, **states: str) -> list[str]:
    known = {one.run: states.get(one.run, "succeeded") for one in rows}
    return [one.run for one in meant(rows, rule, known, NOW)]


ROWS = [row("e", 40), row("d", 30), row("o", 25, pipeline="other"), row("c", 20), row("b", 10), row("a", 0)]


def test_a_rule_without_anything_means_nothing() -> None:
    assert names(ROWS, Retention()) == names(ROWS, Retention(pipeline="sales")) == []


def test_age_counts_from_the_end() -> None:
    assert names(ROWS, Retention(older_than=85 * 86_400)) == ["b", "a"]
    assert names([row("late", 99), row("never", 1, ended=False)], Retention(older_than=86_400.0)) == ["never"]
    assert ended_at(row("x", 3)) == NOON + timedelta(days=3)


def test_no_run_is_older_than_any_age() -> None:
    assert names(ROWS, Retention(older_than=1e300)) == []


def test_the_newest_of_each_pipeline_are_kept() -> None:
    assert names(ROWS, Retention(keep=1)) == ["d", "c", "b", "a"]
    assert names(ROWS, Retention(keep=0)) == ["e", "d", "o", "c", "b", "a"]
    assert names(ROWS, Retention(keep=2, pipeline="sales")) == ["c", "b", "a"]


def test_all_that_is_given_must_apply() -> None:
    assert names(ROWS, Retention(keep=4, older_than=95 * 86_400)) == ["a"]
    assert names(ROWS, Retention(keep=5, older_than=95 * 86_400)) == []
    assert names(ROWS, Retention(states=("failed",), older_than=1.0), c="failed") == ["c"]
    assert names(ROWS, Retention(states=("failed",), keep=1), c="failed", a="failed") == ["a"]


def test_what_has_not_ended_is_neither_meant_nor_counted() -> None:
    assert names(ROWS, Retention(keep=1), e="running", d="queued") == ["b", "a"]


def test_runs_by_name() -> None:
    assert names(ROWS, Retention(runs=("o", "a")), o="running") == ["o", "a"]


def test_what_is_needed_stays_with_what_it_needs_itself() -> None:
    references = [("new", "c"), ("c", "b"), ("b", "a"), ("x", "y")]
    assert needed(["a", "b", "c", "x", "y"], references) == {"c": "new", "b": "c", "a": "b"}
    assert needed(["a", "b", "c", "new"], references) == {}
    assert needed([], references) == {}


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=20),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_no_run_that_stays_needs_one_that_goes(references: list[tuple[str, str]], gone: set[str]) -> None:
    found = needed(gone, references)
    goes = gone - set(found)
    assert all(origin not in goes or run in goes for run, origin in references)
    assert set(found) <= gone
    assert all((taker, run) in references and taker not in goes for run, taker in found.items())
    # No more stay than must: without one of them, one that stays would lack something.
    for run in found:
        smaller = (goes | {run}) - {run for run, taker in found.items() if taker == run}
        assert any(origin == run and taker not in smaller for taker, origin in references)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["p", "q"]), st.sampled_from(STATES)), max_size=12),
    st.none() | st.integers(0, 60),
    st.none() | st.integers(0, 5),
    st.sets(st.sampled_from(ENDED)),
)
def test_a_rule_against_its_words(
    made: list[tuple[int, str, str]], days: int | None, keep: int | None, states: set[str]
) -> None:
    runs = [(f"r{number}", *one) for number, one in enumerate(sorted(made, reverse=True))]
    rows = [row(run, day, pipeline=pipeline) for run, day, pipeline, _ in runs]
    rule = Retention(older_than=None if days is None else days * 86_400.0, keep=keep, states=tuple(states))
    found = {one.run for one in meant(rows, rule, {run: state for run, _, _, state in runs}, NOW)}
    for run, day, pipeline, state in runs:
        alike = [one for one, _, other, its in runs if other == pipeline and its in (states or ENDED)]
        expected = (
            not rule.means_none
            and state in (states or ENDED)
            and (days is None or 100 - day > days)
            and (keep is None or alike.index(run) >= keep)
        )
        assert (run in found) is expected
