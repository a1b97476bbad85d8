"""Copies that `for_each` makes in a run: they take the place of their task, and keep it."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow.core import events as ev
from nbflow.core.items import name_items
from nbflow.core.plan import PlannedTask
from nbflow.core.runstate import PLACES, InvalidTransition
from nbflow.core.spec import RunIf
from nbflow.core.state import evolve, fold
from support.build import NOON, RUN, Story, planned

FILES = "{{ tasks.clean.outputs.files }}"


def each(*needs: str, for_each: Any = FILES, **more: Any) -> PlannedTask:
    return planned("score", *needs, for_each=for_each, **{"params": {"file": "{{ item }}"}, **more})


def story(*more: PlannedTask, **score: Any) -> Story:
    """`clean` gives files, `score` runs for each, `report` comes after."""
    report = planned("report", "score", params={"rows": "{{ tasks.score.outputs.rows }}"}, run_if="all_done")
    return Story(planned("clean"), each("clean", **score), report, *more, jobs=9)


def expanded(*items: Any) -> Story:
    found = story()
    found.send("start")
    files = ",".join(f'"{item}"' for item in items)
    found.send(f"succeeded clean/1 files=[{files}]")
    return found


def test_copies_take_the_place_of_their_task_in_the_order_of_the_items() -> None:
    found = expanded("b", "a")
    assert found.lines("task_expanded") == ["task_expanded score score[b] score[a]"]
    assert list(found.state.tasks) == ["clean", "score[b]", "score[a]", "report"]
    assert found.state.copies["score"] == ["score[b]", "score[a]"]
    assert found.lines("task_queued")[1:] == ['task_queued score[b] file="b"', 'task_queued score[a] file="a"']
    assert found.state.tasks["report"].planned.waits_for == ("score[b]", "score[a]")
    assert found.state.tasks["report"].planned.upstream == ("score[b]", "score[a]")
    assert [list(gate.behind) for gate in found.state.gates.after["clean"]] == [["score[b]", "score[a]"]]


def test_places_stay_and_leave_room_for_copies() -> None:
    before = story().state.index
    assert before == {"clean": 0, "score": 1, "report": 1 + PLACES}
    after = expanded("b", "a").state.index
    assert after == {"clean": 0, "score[b]": 1, "score[a]": 2, "report": 1 + PLACES}


def test_what_comes_after_waits_for_all_copies_and_sees_lists() -> None:
    found = expanded("b", "a")
    found.send("succeeded score[a]/1 rows=1")
    assert found.states()["report"] == "pending"
    assert "task_queued report rows=[2,1]" in found.send("succeeded score[b]/1 rows=2")


def test_an_empty_list_is_a_success_with_nothing_to_run() -> None:
    found = expanded()
    assert found.states() == {"clean": "succeeded", "score": "succeeded", "report": "running"}
    assert found.state.tasks["score"].reason == "for_each has no items: there is nothing to run"
    assert found.lines("task_queued")[-1] == "task_queued report rows=[]"


def test_a_history_folds_to_the_same_state() -> None:
    found = expanded("b", "a")
    found.send("succeeded score[a]/1 rows=1", "failed score[b]/1")
    folded = fold(found.history)
    assert {**vars(folded), "touched": None} == {**vars(found.state), "touched": None}


def test_it_happens_once() -> None:
    found = expanded("b")
    again = ev.TaskExpanded(task="score", reason="again", copies=name_items("score", ["c"]))
    with pytest.raises(InvalidTransition, match="has its copies already"):
        evolve(found.state, ev.Stamped(run=RUN, seq=found.state.seq + 1, at=NOON, event=again))


def test_lists_of_lists() -> None:
    nested = planned("deep", "score", for_each="{{ tasks.score.outputs.parts }}", params={"n": "{{ item }}"})
    found = story(nested)
    found.send("start")
    found.send('succeeded clean/1 files=["a","b"]')
    found.send("succeeded score[a]/1 parts=[1,2]", "succeeded score[b]/1 parts=[3]")
    assert found.lines("task_queued")[-2:] == ["task_queued deep[0] n=[1,2]", "task_queued deep[1] n=[3]"]


class TestAnew:
    """`up` has two copies, of which one fails; `score` runs for what they give, whatever becomes of them."""

    def failed(self) -> Story:
        ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
        score = each("up[1]", "up[2]", for_each="{{ tasks.up.outputs.x }}", run_if="all_done")
        found = Story(*ups, score, planned("report", "score"), jobs=9)
        found.send("start")
        found.send("succeeded up[1]/1 x=10", "failed up[2]/1")
        assert found.lines("task_expanded") == ["task_expanded score score[10] score[None]"]
        return found

    def test_a_list_is_made_anew_where_its_upstreams_run_again(self) -> None:
        found = self.failed()
        found.send("succeeded score[10]/1 rows=1", "failed score[None]/1")
        assert found.states()["report"] == "upstream_failed"
        found.send("resume", "start")
        assert found.state.stale == {"score"}
        said = found.send("succeeded up[2]/2 x=20")
        assert said[2:] == [
            "task_expanded score score[10] score[20]",
            "task_skipped score[None]: for_each has this item no more",
            "task_queued score[20] file=20",
            "attempt_submitted score[20]/1",
        ]
        assert found.state.tasks["score[10]"].attempt == 1
        assert found.send("succeeded score[20]/1")[-1] == "attempt_submitted report/1"
        assert found.send("succeeded report/1")[-1] == "run_finished succeeded"
        assert list(found.state.tasks) == ["up[1]", "up[2]", "score[10]", "score[None]", "score[20]", "report"]
        assert fold(found.history).tasks == found.state.tasks

    def test_what_was_dropped_is_left_alone_until_it_is_listed_again(self) -> None:
        ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
        last = "tasks.up.outputs.x[1]"
        source = f"{{{{ ['a', 'b'] if {last} == 1 else ['b', 'c'] if {last} == None else ['b'] }}}}"
        found = Story(*ups, each("up[1]", "up[2]", for_each=source, run_if="all_done"), planned("end", "score"), jobs=9)
        found.send("start")
        found.send("succeeded up[1]/1 x=0", "failed up[2]/1")
        found.send("failed score[b]/1", "failed score[c]/1")
        found.send("resume", "start")
        found.send("succeeded up[2]/2 x=2")
        assert found.states()["score[c]"] == "skipped"
        found.send("failed score[b]/2")
        assert found.send("resume", "start")[0] == "run_resumed score[b] end"
        assert found.state.stale == set()
        copies = name_items("score", ["b", "c"], name_items("score", ["b", "c"]))
        found.state.stale.add("score")
        listed = ev.TaskExpanded(task="score", reason="again", copies=copies)
        evolve(found.state, ev.Stamped(run=RUN, seq=found.state.seq + 1, at=NOON, event=listed))
        assert (found.states()["score[c]"], found.state.dropped) == ("pending", set())
        assert found.state.tasks["score[c]"].attempt == 1

    def test_what_waits_for_a_list_waits_for_the_new_one(self) -> None:
        found = self.failed()
        found.send("succeeded score[10]/1", "failed score[None]/1")
        found.send("resume", "start")
        found.send("succeeded up[2]/2 x=20")
        assert found.states()["report"] == "pending"

    def test_copies_that_are_listed_again_go_on_counting_attempts(self) -> None:
        found = self.failed()
        found.send("succeeded score[10]/1", "failed score[None]/1")
        found.send("resume", "start")
        found.send("failed up[2]/2")
        assert found.lines("task_expanded")[-1] == "task_expanded score score[10] score[None]"
        assert found.lines("attempt_submitted")[-1] == "attempt_submitted score[None]/2"

    def test_a_list_that_becomes_empty_leaves_nothing_to_wait_for(self) -> None:
        ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
        source = "{{ tasks.up.outputs.x[0] if tasks.up.outputs.x[1] else ['old'] }}"
        report = planned("report", "score", params={"rows": "{{ tasks.score.outputs.rows }}"})
        found = Story(*ups, each("up[1]", "up[2]", for_each=source, run_if="all_done"), report, jobs=9)
        found.send("start")
        found.send("succeeded up[1]/1 x=[]", "failed up[2]/1")
        found.send("failed score[old]/1")
        found.send("resume", "start")
        said = found.send("succeeded up[2]/2 x=1")
        assert said[2:] == [
            "task_expanded score",
            "task_skipped score[old]: for_each has this item no more",
            "task_queued report rows=[]",
            "attempt_submitted report/1",
        ]
        assert found.send("succeeded report/1")[-1] == "run_finished succeeded"

    @pytest.mark.parametrize("rule", list(RunIf))
    def test_a_list_that_becomes_empty_is_judged_as_one_that_always_was(self, rule: RunIf) -> None:
        """As one success: alone, and beside another task that has failed."""

        def judged(*, anew: bool) -> dict[str, tuple[str, str]]:
            source = "{{ [] if tasks.up.outputs.x[1] else ['old'] }}"
            score = each("up[1]", "up[2]", for_each=source, run_if="all_done")
            ends = [planned(f"end{len(also)}", "score", *also, run_if=rule.value) for also in ((), ("bad",))]
            ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
            found = Story(*ups, planned("bad"), score, *ends, jobs=9)
            found.send("start")
            if anew:
                found.send("succeeded up[1]/1 x=1", "failed up[2]/1")
                found.send("cancel")
                found.send("stopped bad/1", "stopped score[old]/1")
                found.send("resume", "start")
            attempt = 2 if anew else 1
            first = [] if anew else ["succeeded up[1]/1 x=1"]
            found.send(*first, f"succeeded up[2]/{attempt} x=1", f"failed bad/{attempt}")
            assert not anew or found.states()["score[old]"] == "skipped"
            assert vars(fold(found.history))["gates"] == found.state.gates
            ended = [found.state.tasks[name] for name in ("end0", "end1")]
            return {one.planned.name: (one.state.value, one.reason) for one in ended}

        assert judged(anew=True) == judged(anew=False)

    def test_it_is_left_as_it_is_where_only_copies_run_again(self) -> None:
        found = expanded("b", "a")
        found.send("succeeded score[b]/1", "failed score[a]/1")
        found.send("succeeded report/1")
        said = found.send("resume", "start")
        assert found.state.stale == set()
        assert not [one for one in said if one.startswith("task_expanded")]
        assert "attempt_submitted score[a]/2" in said


def test_lists_that_follow_one_another_share_what_they_wait_for_also_when_one_grows() -> None:
    second = planned("rank", "score", for_each=FILES)
    found = Story(planned("clean"), each("clean"), second, planned("report", "rank"), jobs=9)
    found.send("start")
    found.send('succeeded clean/1 files=["a","b","c"]')
    found.send("succeeded score[a]/1", "succeeded score[b]/1", "failed score[c]/1")
    found.send("resume")
    found.send("succeeded score[c]/2")
    state = found.state
    ranks = state.copies["rank"]
    assert len(ranks) == 3
    assert len({id(state.tasks[name].planned.waits_for) for name in ranks}) == 1
    assert len({id(state.gates.after[name]) for name in state.copies["score"]}) == 1
    (gate,) = state.gates.after["score[a]"]
    assert (list(gate.behind), gate.waiting) == (ranks, 0)
    assert all(state.gates.before[name] is gate for name in ranks)
