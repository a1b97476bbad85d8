"""Pools that runs share: who may take slots, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core import events as ev
from nbflow.core.decide import react
from nbflow.core.dispatch import wanted
from nbflow.core.pools import ALONE, Turns, turns_of
from nbflow.core.rows import PoolUse
from nbflow.core.state import RunState, fold
from support.build import NOON, Story, after, created, planned
from support.notation import parse_message

START = parse_message("start")


def use(run: str, held: int, want: int = 0, *, since: float = 0.0, **more: Any) -> PoolUse:
    """What a living run has of the pool `db`."""
    at = after(since) if want else None
    return PoolUse(run=run, pool="db", held=held, wanted=want, since=at, **{"owner": "host:1:1", **more})


def turns(*others: PoolUse, since: float | None = None) -> Turns:
    """The turns of the run `me`."""
    mine = {} if since is None else {"db": after(since)}
    return Turns(run="me", pools=("db",), others=others, since=mine)


class TestRoom:
    def test_alone_all_of_it(self) -> None:
        assert ALONE.room("db", 3) == 3

    def test_what_others_hold_is_not_there(self) -> None:
        assert turns(use("a", 2), use("b", 1)).room("db", 5) == 2

    def test_another_pool_is_another_matter(self) -> None:
        assert turns(replace(use("a", 2), pool="api")).room("db", 3) == 3

    def test_who_has_waited_longer_goes_first(self) -> None:
        assert turns(use("a", 1, 2, since=5.0), since=6.0).room("db", 4) == 1
        assert turns(use("a", 1, 2, since=7.0), since=6.0).room("db", 4) == 3

    def test_who_does_not_wait_yet_comes_after_all_who_do(self) -> None:
        assert turns(use("a", 0, 1, since=1000.0)).room("db", 2) == 1

    def test_of_two_who_began_to_wait_together_one_goes_first(self) -> None:
        first, second = turns(use("z", 0, 1, since=1.0), since=1.0), turns(use("a", 0, 1, since=1.0), since=1.0)
        assert (first.room("db", 1), second.room("db", 1)) == (1, 0)

    def test_nobody_waits_for_one_that_gives_no_sign_of_life_but_what_it_holds_may_still_be_in_use(self) -> None:
        for gone in ({"lapsed": True}, {"owner": None}):
            assert turns(use("a", 1, 1, **gone)).room("db", 3) == 2


class TestTurns:
    def test_a_run_knows_its_pools_from_its_plan(self) -> None:
        tasks = [planned("a", pool="db"), planned("b"), planned("c", pool="api"), planned("d", pool="db")]
        assert turns_of(created(tasks)).pools == ("db", "api")
        assert turns_of(created([planned("a")])).pools == ()

    def test_waiting_begins_once_and_ends(self) -> None:
        first = turns().waiting({"db": 1}, NOON)
        assert first.waiting({"db": 2}, after(9)).since == {"db": NOON}
        assert first.waiting({}, after(9)).since == {}

    def test_who_gets_a_slot_goes_to_the_end_of_the_line(self) -> None:
        state = Story(planned("a", pool="db"), planned("b")).state
        before = turns(since=0.0)
        assert before.after(state, [ev.AttemptSubmitted(task="b", attempt=1)], after(5)) is before
        assert before.after(state, [ev.AttemptSubmitted(task="a", attempt=1)], after(5)).since == {"db": after(5)}

    def test_who_is_waited_for(self) -> None:
        others = [use("holds", 1), use("late", 0, 1, since=9.0), use("first", 0, 1, since=1.0)]
        assert turns(*others, since=5.0).before == ["holds", "first"]
        assert turns(*others).before == []

    def test_what_others_are_told(self) -> None:
        """Of three slots one is left, which is too little for the first task and enough for the second."""
        tasks = [planned("a", pool="db", slots=2), planned("b", pool="db"), planned("c", pool="api")]
        state = fold(
            [ev.Stamped(run="me", seq=1, at=NOON, event=replace(created(tasks, pools=POOLS, jobs=9), run="me"))]
        )
        mine = replace(turns_of(state.created), others=[use("a", 2)])
        react(state, [START], NOON, mine)
        waiting = mine.waiting(wanted(state), NOON)
        assert waiting.uses(state, wanted(state)) == (
            PoolUse(run="me", pool="db", held=1, wanted=2, since=NOON),
            PoolUse(run="me", pool="api", held=1),
        )

    def test_reasons(self) -> None:
        assert turns(use("x", 2), since=0.0).reason("db", 2, 0) == "waits for pool db (2 of 2 taken, by run x)"
        two = turns(use("x", 1), use("y", 1), since=0.0)
        assert two.reason("db", 3, 1) == "waits for pool db (3 of 3 taken, by run x and y)"
        many = turns(use("x", 1), use("y", 1), use("z", 1))
        assert many.reason("db", 3, 0) == "waits for pool db (3 of 3 taken, by run x and y and others)"
        turn = turns(use("y", 0, 1, since=1.0), since=2.0)
        assert turn.reason("db", 2, 1) == "waits for pool db (1 of 2 taken; it is the turn of run y)"
        assert turns().reason("db", 1, 1) == "waits for pool db (1 of 1 taken)"


POOLS = {"db": 3, "api": 1}


def make(run: str, count: int, slots: int, jobs: int) -> RunState:
    tasks = [planned(f"t{number}", pool="db", slots=slots) for number in range(count)]
    first = replace(created(tasks, pools=POOLS, jobs=jobs), run=run)
    return fold([ev.Stamped(run=run, seq=1, at=NOON, event=first)])


@settings(max_examples=30)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 3), st.integers(1, 4)), min_size=2, max_size=4),
    rng=st.randoms(use_true_random=False),
)
def test_runs_share_a_pool_and_all_come_to_their_end(shapes: list[tuple[int, int, int]], rng: Any) -> None:
    """Each looks in when chance says so; attempts end when chance says so; what is out never exceeds the pool."""
    runs = {f"run{place}": make(f"run{place}", *shape) for place, shape in enumerate(shapes)}
    lines = {name: turns_of(state.created) for name, state in runs.items()}
    uses: dict[str, tuple[PoolUse, ...]] = dict.fromkeys(runs, ())
    begun: list[str] = []
    seconds = 0.0
    for _ in range(3000):
        going = [name for name, state in runs.items() if state.ended_at is None]
        if not going:
            break
        name, seconds = rng.choice(going), seconds + 1.0
        state, now = runs[name], after(seconds)
        others = [replace(one, owner="host:1:1") for run, found in uses.items() if run != name for one in found]
        messages = [START] if state.started_at is None else []
        if state.live and rng.random() < 0.5:
            messages = [parse_message(f"succeeded {next(iter(state.live))}/1")]
        mine = replace(lines[name], others=others)
        events = react(state, messages, now, mine)
        begun += [name for one in events if isinstance(one.event, ev.AttemptSubmitted)]
        lines[name] = mine.after(state, (one.event for one in events), now).waiting(wanted(state), now)
        uses[name] = lines[name].uses(state, wanted(state))
        assert sum(one.held for found in uses.values() for one in found) <= POOLS["db"]
    assert all(state.ended_at is not None for state in runs.values())
    assert len(begun) == sum(count for count, _, _ in shapes)


def test_two_runs_take_turns_however_many_tasks_each_has() -> None:
    runs = {"big": make("big", 30, 1, 9), "small": make("small", 3, 1, 9)}
    lines = {name: turns_of(state.created) for name, state in runs.items()}
    uses: dict[str, tuple[PoolUse, ...]] = {"big": (), "small": ()}
    begun: list[str] = []

    def look(name: str, at: float, *messages: Any) -> None:
        others = [replace(one, owner="host:1:1") for run, found in uses.items() if run != name for one in found]
        mine = replace(lines[name], others=others)
        events = react(runs[name], messages, after(at), mine)
        begun.extend(name for one in events if isinstance(one.event, ev.AttemptSubmitted))
        slots = wanted(runs[name])
        lines[name] = mine.after(runs[name], (one.event for one in events), after(at)).waiting(slots, after(at))
        uses[name] = lines[name].uses(runs[name], slots)

    look("big", 0, START)
    look("small", 1, START)
    assert begun == ["big"] * 3
    for place in range(4):
        look("big", 2 + place, parse_message(f"succeeded t{place}/1"))
        look("small", 2.5 + place)
    assert begun[3:] == ["big", "small", "big", "small"]
