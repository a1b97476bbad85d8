"""What a store refuses, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbflow.core.rows import RunRow
from nbflow.core.views import project
from nbflow.errors import ConflictError
from nbflow.store import refusals
from support.build import NOON, RUN, planned
from support.stored import begun, cells

ROW = RunRow(run=RUN, pipeline="sales", state="running", created=NOON, document={}, owner="host:1:2", fence=3, seq=8)


def test_a_batch_tells_what_it_follows() -> None:
    history, state = begun(planned("a"))
    assert refusals.check_batch(history, project(state)) == 0
    events, projection = cells(state, 4)
    assert refusals.check_batch(events, projection) == 1


def test_a_batch_with_a_gap_names_the_place() -> None:
    _, state = begun(planned("a"))
    events, projection = cells(state, 4)
    with pytest.raises(ValueError, match=f"event 4 of {RUN} where 3 of {RUN} is due"):
        refusals.check_batch([events[0], *events[2:]], projection)
    with pytest.raises(ValueError, match="the projection is at event 5, the events end at 4"):
        refusals.check_batch(events[:3], projection)
    with pytest.raises(ValueError, match=f"event 2 of other where 2 of {RUN} is due"):
        refusals.check_batch([replace(one, run="other") for one in events], projection)
    with pytest.raises(ValueError, match="no events"):
        refusals.check_batch([], projection)


@pytest.mark.parametrize(
    ("row", "fence", "words"),
    [
        (None, 3, "is not in the store"),
        (ROW, 2, "has been taken over by process 1 on host"),
        (replace(ROW, owner=None), 2, "has been taken over by a process that has given it back since"),
        (replace(ROW, owner=None), 3, "is owned by nobody: it has not been claimed, or was given back"),
        (ROW, 3, "is at event 8, not 5: somebody else wrote to it"),
    ],
)
def test_a_stale_append_is_told_why(row: RunRow | None, fence: int, words: str) -> None:
    with pytest.raises(ConflictError) as caught:
        raise refusals.behind(refusals.check_owner(RUN, row, fence), 5)
    assert caught.value.message == f"run {RUN} {words}"
    assert caught.value.exit_code == 4


def test_a_run_that_is_held_names_its_owner_and_how_to_watch_it() -> None:
    with pytest.raises(ConflictError) as caught:
        refusals.check_free(ROW, "me", lambda _: True)
    error = caught.value
    assert error.message == f"run {RUN} is owned by process 1 on host"
    assert error.hint is not None
    assert f"nbflow logs -f {RUN}" in error.hint
    assert error.exit_code == 4


@pytest.mark.parametrize(
    ("row", "alive"),
    [
        (replace(ROW, owner=None), True),
        (replace(ROW, owner="me"), True),
        (ROW, False),
        (replace(ROW, lapsed=True), None),
    ],
)
def test_a_run_of_nobody_of_ours_or_of_the_dead_is_free(row: RunRow, alive: bool | None) -> None:
    refusals.check_free(row, "me", lambda _: alive)


@pytest.mark.parametrize(("row", "alive"), [(ROW, None), (replace(ROW, lapsed=True), True)])
def test_a_run_of_somebody_who_may_live_is_not(row: RunRow, alive: bool | None) -> None:
    with pytest.raises(ConflictError, match="is owned by process 1 on host"):
        refusals.check_free(row, "me", lambda _: alive)
