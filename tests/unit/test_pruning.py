"""Runs that are taken out: which stay and why, in which order all goes, and what a kill at any moment leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nbflow.core.plan import Action
from nbflow.core.ports import Store
from nbflow.core.retention import Retention
from nbflow.core.rows import Removed, RunRow
from nbflow.core.values import encode
from nbflow.errors import ConflictError, NoRoomError, UnreachableError
from nbflow.pruning import Pruner, Pruning
from nbflow.runs import Runs
from nbflow.store.memory import MemoryStore
from support.build import NOON, planned
from support.stored import Kept, dead, projected, rebuilt

NOW = NOON + timedelta(days=100)
DAY = 86_400.0


class Killed(BaseException):
    """The process is killed here."""


@dataclass
class Shelf:
    """Folders of runs in memory. `strike` is asked before and after each step, and may have the process killed."""

    folders: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    strike: Callable[[str], None] = lambda _: None

    def fault(self, row: RunRow) -> str | None:
        return self.faults.get(row.run)

    def place(self, row: RunRow) -> Path:
        return Path("nowhere", row.run)

    def erase(self, removed: Removed) -> None:
        self.strike("before erase")
        if removed.run in self.stuck:
            raise UnreachableError(f"cannot remove {removed.run}")
        self.folders.discard(removed.run)
        self.strike("after erase")


class World:
    """A store, a shelf, and a pruner of both. `living` are owners that live."""

    def __init__(self, root: Path) -> None:
        self.store: Store = MemoryStore()
        self.shelf = Shelf()
        self.root = root
        self.living: set[str] = set()

    def add(self, run: str, day: float = 0, *, end: str = "succeeded a/1 n=1", origin: str | None = None) -> Kept:
        """A run that has ended, with its folder; `a` of it is that of another run, where one is given."""
        a = planned("a")
        if origin is not None:
            a = planned("a", action=Action.REUSE, reused_from=origin, outputs={"n": encode(1)})
        made = Kept(self.store, a, planned("b", "a"), run=run, at=NOON + timedelta(days=day))
        made.send("start")
        if origin is None:
            made.send(end)
        if made.state.ended_at is None:
            made.send("succeeded b/1" if origin is None else "failed b/1")
        self.store.release(run, made.fence)
        self.shelf.folders.add(run)
        return made

    def pruner(self, owner: str = "pruner", **tasks: tuple[str, ...]) -> Pruner:
        runs = Runs(self.store, self.living.__contains__)
        return Pruner(runs=runs, shelves=self.shelf, local=self.root, archive=self.root, tasks=tasks, owner=owner)

    def prune(self, rule: Retention, **tasks: tuple[str, ...]) -> Pruning:
        pruner = self.pruner(**tasks)
        return pruner.carry_out(pruner.survey(rule, NOW))

    @property
    def left(self) -> list[str]:
        return sorted(row.run for row in self.store.runs())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


EVERYTHING = Retention(keep=0)


def names(pruning: Pruning) -> list[str]:
    return [one.run for one in pruning.runs]


class TestStays:
    def test_what_no_rule_means(self, world: World) -> None:
        for day in (1, 2, 3):
            world.add(f"run-{day}", day)
        assert names(world.prune(Retention(older_than=98.5 * DAY))) == ["run-1"]
        assert world.left == sorted(world.shelf.folders) == ["run-2", "run-3"]

    def test_what_goes_on_or_has_not_begun(self, world: World) -> None:
        running = Kept(world.store, planned("a"), run="running", owner="me")
        running.send("start")
        Kept(world.store, planned("a"), run="queued", owner="me")
        dead_one = Kept(world.store, planned("a"), run="dead", owner="gone")
        dead_one.send("start")
        world.living = {"me"}
        found = world.prune(EVERYTHING)
        assert found.runs == ()
        assert found.kept == {"dead": "its process has died: `nbflow report dead` ends it"}
        named = world.prune(Retention(runs=("running", "queued"))).kept
        assert named["running"] == "it is going on"
        assert "has not begun" in named["queued"]
        assert world.left == ["dead", "queued", "running"]

    def test_what_somebody_has_in_hand(self, world: World) -> None:
        world.add("one")
        world.store.claim("one", "me", dead)
        world.living = {"me"}
        assert world.prune(EVERYTHING).kept == {"one": "me has it"}
        world.living = set()
        assert names(world.prune(EVERYTHING)) == ["one"]

    def test_what_is_not_archived(self, world: World) -> None:
        world.add("one")
        world.shelf.faults["one"] = "its archive is not complete"
        assert world.prune(EVERYTHING).kept == {"one": "its archive is not complete"}

    def test_what_another_has_taken_over(self, world: World) -> None:
        world.add("old", 1)
        world.add("new", 50, origin="old")
        found = world.prune(Retention(older_than=60 * DAY))
        assert found.kept == {"old": "run new has taken results of it over"}
        assert names(world.prune(EVERYTHING)) == ["new", "old"]
        assert world.left == []

    def test_what_a_run_will_take_over_that_has_not_begun(self, world: World) -> None:
        world.add("old", 1)
        reuse = planned("a", action=Action.REUSE, reused_from="old", outputs={"n": encode(1)})
        Kept(world.store, reuse, run="waiting", at=NOON + timedelta(days=5))
        world.living = {"engine"}
        assert world.prune(EVERYTHING).kept == {"old": "run waiting has taken results of it over"}

    def test_the_newest_success_of_each_declared_task(self, world: World) -> None:
        world.add("one", 1)
        world.add("two", 2, end="failed a/1")
        found = world.prune(EVERYTHING, sales=("a", "b"), other=("c",))
        assert found.kept == {"one": "it is the newest success of task 'a'"}
        assert names(found) == ["two"]
        assert names(world.prune(Retention(runs=("one",)), sales=("a", "b"))) == ["one"]

    def test_what_changes_between_the_look_and_the_removal(self, world: World) -> None:
        changed, taken = world.add("changed", 1, end="failed a/1"), world.add("taken", 2)
        world.add("origin", 3)
        pruner = world.pruner()
        found = pruner.survey(EVERYTHING, NOW)
        changed.fence = world.store.claim("changed", "engine", dead)
        changed.play("resume", "start", "failed a/2")
        world.store.release("changed", changed.fence)
        world.store.claim(taken.run, "engine", dead)
        world.living.add("engine")
        world.add("late", 4, origin="origin")
        done = pruner.carry_out(found)
        assert done.runs == ()
        assert done.kept == {
            "changed": "it has gone on meanwhile",
            "taken": "run taken is owned by engine",
            "origin": "run late has taken results of run origin over",
        }
        for run in world.left:
            assert projected(world.store, run) == rebuilt(world.store, run)
        assert {row.run: row.owner for row in world.store.runs()}["changed"] is None


class TestNoRoom:
    """On the disk of the store, until files of two runs have gone."""

    @pytest.fixture
    def full(self, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
        for day, run in enumerate(("one", "two", "three", "four")):
            world.add(run, day)
        claim = world.store.claim

        def tight(*arguments: Any) -> int:
            if arguments[1] == "pruner" and len(world.shelf.folders) > 2:
                raise NoRoomError("the disk is full", folder=world.root)
            return claim(*arguments)

        monkeypatch.setattr(world.store, "claim", tight)
        monkeypatch.setattr(world.shelf, "place", lambda row: world.root)
        return world

    def test_files_go_first_but_only_as_many_as_must(self, full: World) -> None:
        gone: list[str] = []
        full.shelf.strike = lambda when: gone.extend([when] if len(full.left) == 4 else [])
        assert names(full.prune(Retention(keep=1))) == ["three", "two", "one"]
        assert gone == ["before erase", "after erase"] * 2
        assert full.left == sorted(full.shelf.folders) == ["four"]
        assert full.store.removals.removed() == []

    def test_what_has_changed_makes_no_room(self, full: World) -> None:
        pruner = full.pruner()
        found = pruner.survey(Retention(keep=2), NOW)
        extra = planned("a", action=Action.REUSE, reused_from="two", outputs={"n": encode(1)})
        made = Kept(full.store, extra, planned("b", "a"), run="new", owner="engine")
        with pytest.raises(UnreachableError, match="the disk is full") as caught:
            pruner.carry_out(found)
        assert "make room there" in str(caught.value.hint)
        assert full.left == ["four", "new", "one", "three", "two"]
        assert sorted(full.shelf.folders) == ["four", "three", "two"], "what the new one needs is there"
        assert made.state.run == "new"

    @pytest.mark.parametrize("has_ended", [False, True])
    def test_what_a_run_took_over_that_was_made_meanwhile_makes_no_room(self, full: World, has_ended: bool) -> None:
        pruner = full.pruner()
        found = pruner.survey(Retention(keep=2), NOW)
        journal = full.root / ".nbflow" / "journals" / "two" / "a.1.jsonl"
        journal.parent.mkdir(parents=True)
        journal.touch()
        if has_ended:
            full.add("new", 5, origin="two")
        else:
            extra = planned("a", action=Action.REUSE, reused_from="two", outputs={"n": encode(1)})
            Kept(full.store, extra, planned("b", "a"), run="new", owner="engine").send("start")
        with pytest.raises(UnreachableError, match="the disk is full"):
            pruner.carry_out(found)
        assert "two" in full.left
        assert "two" in full.shelf.folders
        assert journal.exists()
        assert "one" not in full.shelf.folders

    @pytest.mark.parametrize("has_changed", [False, True])
    def test_nor_what_one_took_over_that_was_to_go_and_stays(self, full: World, has_changed: bool) -> None:
        taker = full.add("taker", 5, origin="one")
        pruner = full.pruner()
        found = pruner.survey(Retention(runs=("taker", "one")), NOW)
        assert names(found) == ["taker", "one"]
        fence = full.store.claim("taker", "engine", dead)
        full.living.add("engine")
        if has_changed:
            taker.fence = fence
            taker.play("resume", "start")
        with pytest.raises(UnreachableError, match="the disk is full"):
            pruner.carry_out(found)
        assert full.shelf.folders >= {"taker", "one"}

    def test_what_another_prune_has_begun_goes_although_nobody_can_note_that(
        self, full: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full.store.removals.remove("four", full.store.claim("four", "killed", dead))
        forget = full.store.removals.forget

        def tight(run: str) -> None:
            if len(full.shelf.folders) > 2:
                raise NoRoomError("the disk is full", folder=full.root)
            forget(run)

        monkeypatch.setattr(full.store.removals, "forget", tight)
        done = full.prune(EVERYTHING)
        assert ([one.run for one in done.begun], done.faults) == (["four"], {})
        assert names(done) == ["three", "two", "one"]
        assert full.left == sorted(full.shelf.folders) == []
        assert [one.run for one in full.prune(Retention()).begun] == ["four"]
        assert full.store.removals.removed() == []

    def test_nor_what_somebody_had_for_a_moment(self, full: World, monkeypatch: pytest.MonkeyPatch) -> None:
        tight, owned = full.store.claim, ["four"]

        def claim(run: str, *others: Any) -> int:
            if run in owned:
                owned.remove(run)
                raise ConflictError("nbflow report has it")
            return tight(run, *others)

        monkeypatch.setattr(full.store, "claim", claim)
        done = full.prune(EVERYTHING)
        assert (names(done), done.kept) == (["three", "two", "one"], {"four": "nbflow report has it"})
        assert full.left == sorted(full.shelf.folders) == ["four"]

    def test_files_on_another_disk_make_none(self, full: World, monkeypatch: pytest.MonkeyPatch) -> None:
        pruner = full.pruner()
        found = pruner.survey(EVERYTHING, NOW)
        monkeypatch.setattr(full.shelf, "place", lambda row: Path("/proc"))
        with pytest.raises(UnreachableError, match="the disk is full"):
            pruner.carry_out(found)
        assert len(full.shelf.folders) == len(full.left) == 4


class TestFiles:
    def test_rows_go_before_files(self, world: World) -> None:
        world.add("one")
        seen: list[tuple[str, list[str], list[Removed]]] = []
        world.shelf.strike = lambda point: seen.append((point, world.left, world.store.removals.removed()))
        world.prune(EVERYTHING)
        noted = [Removed(run="one", pipeline="sales")]
        assert seen == [("before erase", [], noted), ("after erase", [], noted)]
        assert world.store.removals.removed() == []

    def test_what_cannot_be_removed_is_named_and_tried_again(self, world: World) -> None:
        for run in ("one", "two"):
            world.add(run)
        world.shelf.stuck = {"one"}
        done = world.prune(EVERYTHING)
        assert done.faults == {"one": "cannot remove one"}
        assert world.shelf.folders == {"one"}
        assert names(done) == ["two", "one"]
        world.shelf.stuck = set()
        assert [one.run for one in world.prune(Retention()).begun] == ["one"]
        assert world.shelf.folders == set()
        assert world.prune(Retention()).is_empty

    def test_a_run_made_anew_keeps_its_files(self, world: World) -> None:
        world.add("one")
        world.shelf.stuck = {"one"}
        world.prune(EVERYTHING)
        world.shelf.stuck = set()
        world.add("one")
        world.prune(Retention())
        assert world.shelf.folders == {"one"}
        assert world.store.removals.removed() == []

    def test_journals_and_log_go_with_it(self, world: World) -> None:
        world.add("one")
        journal, log = (
            world.root / ".nbflow" / "journals" / "one" / "a.1.jsonl",
            world.root / ".nbflow" / "logs" / "one.log",
        )
        other = world.root / ".nbflow" / "logs" / "two.log"
        for place in (journal, log, other):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("x")
        world.prune(EVERYTHING)
        assert not journal.parent.exists()
        assert not log.exists()
        assert other.exists()

    def test_orphans_only_when_asked(self, world: World) -> None:
        place = world.root / "sales" / "sales-20260131T060000-k3fa"
        place.mkdir(parents=True)
        pruner = world.pruner()
        found = pruner.survey(Retention(), NOW)
        assert found.orphans == (place,)
        assert found.is_empty
        pruner.carry_out(found)
        assert place.exists()
        assert pruner.carry_out(found, orphans=True).orphans == (place,)
        assert not place.exists()

    def test_the_folder_of_a_known_run_is_no_orphan(self, world: World) -> None:
        run = "sales-20260131T060000-k3fa"
        (world.root / "sales" / run).mkdir(parents=True)
        world.add(run)
        assert world.pruner().survey(Retention(), NOW).orphans == ()

    def test_the_document(self, world: World) -> None:
        world.add("one", 1, end="failed a/1")
        document = world.pruner().survey(EVERYTHING, NOW).document(dry_run=True)
        assert document["schema"] == "nbflow.prune/1"
        assert document["dry_run"] is True
        assert document["runs"] == [
            {"run": "one", "pipeline": "sales", "state": "failed", "ended": "2026-02-01T12:00:00.000Z", "bytes": 0}
        ]
        assert (document["kept"], document["bytes"], document["store_bytes"]) == ([], 0, 0)


class PruningMachine(RuleBasedStateMachine):
    """Runs come, take results over, are claimed and pruned, and pruning is killed: against a small model."""

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        self.days: dict[str, int] = {}
        self.origins: dict[str, str] = {}
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(choice=st.integers(0, 50), works=st.booleans())
    def add(self, choice: int, works: bool) -> None:
        """A run; every other one takes a result of one that is there."""
        self.number += 1
        run = f"run-{self.number:03}"
        left = self.world.left
        origin = left[choice % len(left)] if choice % 2 and left else None
        origin = self.origins.get(origin, origin) if origin is not None else None  # the run that it really came from
        self.days[run] = self.number
        if origin is not None:
            self.origins[run] = origin
        self.world.add(run, self.number, end="succeeded a/1 n=1" if works else "failed a/1", origin=origin)

    @rule(choice=st.integers(0, 50), lives=st.booleans())
    def claim(self, choice: int, lives: bool) -> None:
        left = self.world.left
        if left:
            owner = f"owner of {left[choice % len(left)]}"
            self.world.store.claim(left[choice % len(left)], owner, dead)
            if lives:
                self.world.living.add(owner)

    @rule(days=st.none() | st.integers(0, 30), keep=st.none() | st.integers(0, 4), kill=st.none() | st.integers(0, 9))
    def prune(self, days: int | None, keep: int | None, kill: int | None) -> None:
        """With `kill`, the process is killed at that step."""
        wanted = Retention(older_than=None if days is None else (100 - days) * DAY, keep=keep)
        expected = self.expected(days, keep)
        steps = iter(range(1000))

        def strike(_: str) -> None:
            if next(steps) == kill:
                raise Killed

        self.world.shelf.strike = strike
        try:
            done = self.world.prune(wanted)
        except Killed:
            assert set(self.days) - set(self.world.left) <= expected
        else:
            assert set(names(done)) == expected
        self.days = {run: day for run, day in self.days.items() if run in self.world.left}
        self.world.shelf.strike = lambda _: None

    def expected(self, days: int | None, keep: int | None) -> set[str]:
        """What a rule takes out, by the words of the documentation."""
        if days is None and keep is None:
            return set()
        newest = sorted(self.days, reverse=True)
        owned = {row.run for row in self.world.store.runs() if row.owner in self.world.living}
        goes = {run for run in newest if (days is None or self.days[run] < days) and run not in owned}
        goes -= set(newest[: keep or 0])
        while needed := {self.origins[run] for run in self.days if run not in goes and run in self.origins} & goes:
            goes -= needed
        return goes

    @invariant()
    def nothing_is_half_a_run(self) -> None:
        if not hasattr(self, "world"):
            return
        store, left = self.world.store, set(self.world.left)
        noted = {one.run for one in store.removals.removed()}
        assert left <= self.world.shelf.folders, "a run has lost its files"
        assert self.world.shelf.folders <= left | noted, "files that nobody will remove"
        for run in left:
            assert projected(store, run) == rebuilt(store, run)
            assert self.origins.get(run, run) in left, "a result was taken over from a run that is gone"

    @rule()
    def finish(self) -> None:
        """A prune without a rule finishes what was begun."""
        self.world.prune(Retention())
        assert self.world.shelf.folders == set(self.world.left)
        assert self.world.store.removals.removed() == []


PruningMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestMachine = PruningMachine.TestCase
