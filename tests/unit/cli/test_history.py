"""runs and explain."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from nbflow.core.attempt import Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.engine.owner import this_process
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.commands import Shell
from support.stored import Kept


def test_no_runs_make_no_file(shell: Shell) -> None:
    said = shell("runs")
    assert (said.code, said.out) == (0, "no runs yet; begin one with: nbflow run PIPELINE\n")
    assert shell("runs", "--json").json == {"schema": "nbflow.runs/1", "runs": []}
    assert not (shell.folder.root / "outputs").exists()


def test_the_newest_run_comes_first(shell: Shell) -> None:
    first = shell.run()
    shell.script["clean/1"] = ["failed clean/1"]
    second = shell.run()
    other = shell("run", "other", "--json").lines[-1]["run"]
    document = shell("runs", "--json").json
    assert [run["run"] for run in document["runs"]] == [other, second, first]
    assert [run["state"] for run in document["runs"]] == ["succeeded", "failed", "succeeded"]
    assert all("tasks" not in run for run in document["runs"])
    lines = shell("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "STATE", "STARTED", "TOOK", "FOR"]
    assert [line.split()[0] for line in lines[1:]] == [other, second, first]


def test_runs_may_be_narrowed(shell: Shell) -> None:
    good = shell.run()
    shell.script["clean/1"] = ["failed clean/1"]
    bad = shell.run()
    shell("run", "other")

    def found(*arguments: str) -> list[str]:
        return [run["run"] for run in shell("runs", *arguments, "--json").json["runs"]]

    assert found("--pipeline", "sales") == [bad, good]
    assert found("--state", "failed") == [bad]
    assert found("--state", "failed", "--state", "succeeded", "--pipeline", "sales") == [bad, good]
    assert len(found("-n", "1")) == 1
    assert found("--state", "cancelled") == []
    assert shell("runs", "--state", "cancelled").out == "no runs\n"


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--pipeline", "sale"], 3), (["--state", "lost"], 2), (["-n", "0"], 2), (["x"], 2)]
)
def test_bad_narrowing(arguments: list[str], code: int, shell: Shell) -> None:
    assert shell("runs", *arguments).code == code


def test_explain_tells_the_story_of_each_task(shell: Shell) -> None:
    shell.script["extract/1"] = ["failed extract/1 exception:OSError"]
    shell.script["clean/1"] = ["failed clean/1 timeout"]
    run = shell.run()
    document = shell("explain", run, "--json").json
    assert (document["run"], document["state"]) == (run, "failed")
    assert document["resume"] == ["clean", "train[ridge]", "train[gbm]"]
    story = {task["task"]: [entry["text"] for entry in task["history"]] for task in document["tasks"]}
    assert [re.sub("waits [0-9.]+s", "waits a while", text) for text in story["extract"]] == [
        "may run: no upstream",
        "attempt 1 failed after 1s: OSError: it broke",
        "waits a while to be tried again: attempt 1 failed (exception); retry 1 of 1",
        "may run again",
        "attempt 2 succeeded after 1s",
    ]
    assert story["train[gbm]"] == ["not run: clean failed"]
    text = shell("explain", run).out
    assert text.startswith(f"run {run}  ✗ failed\n")
    assert text.endswith("resume would run 3 tasks: clean, train[ridge], train[gbm]\n")


def test_explain_names_what_no_attempt_can_tell_and_what_one_has_left_behind(shell: Shell) -> None:
    shell.run()
    with closing(SqliteStore(shell.folder.root / "outputs/.nbflow/state.db")) as store:
        tasks = [planned("a", for_each="{{ params.gone }}"), planned("b"), planned("c")]
        left = Outcome(verdict=Verdict.SUCCEEDED, duration=2, left_behind=("sleep (pid 7)",))
        kept = Kept(store, *tasks, run="mine-1", owner=this_process())
        kept.play("start", Finished(task="b", attempt=1, outcome=left), "lost c/1")
    told = {task["task"]: task["history"] for task in shell("explain", "mine-1", "--json").json["tasks"]}
    assert [entry["text"] for entry in told["a"]] == [
        "it could not begin: start_failed: for_each: there is no parameter 'gone'",
    ]
    assert told["c"][1]["text"] == "attempt 1 failed: lost: the worker is gone"
    assert told["b"][-1]["text"] == "attempt 1 succeeded after 2s; left behind, and was ended: sleep (pid 7)"


def test_explain_says_what_holds_the_slots_that_a_task_waits_for(shell: Shell) -> None:
    shell.run()
    tasks = [planned("a", pool="db"), planned("b", pool="db"), planned("c")]
    with closing(SqliteStore(shell.folder.root / "outputs/.nbflow/state.db")) as store:
        Kept(store, *tasks, run="mine-1", owner=this_process(), pools={"db": 1}, jobs=2).send("start")
        said = {task["task"]: task["waits"] for task in shell("explain", "mine-1", "--json").json["tasks"]}
        assert said == {"a": None, "b": "waits for pool db (1 of 1 taken)", "c": None}
        assert "    waits for pool db (1 of 1 taken)\n" in shell("explain", "mine-1").out


def test_explain_one_task_or_all_its_copies(shell: Shell) -> None:
    shell.run()

    def tasks(what: str) -> list[str]:
        return [task["task"] for task in shell("explain", what, "--json").json["tasks"]]

    assert tasks("@last/clean") == ["clean"]
    assert tasks("@last/train") == ["train[ridge]", "train[gbm]"]
    assert tasks("@last/train[gbm]") == ["train[gbm]"]


def test_explain_a_task_whose_list_has_become_empty(shell: Shell) -> None:
    """At the resume; what it had before tells why."""
    shell.run()
    ups = [planned(f"up[{n}]", matrix={"n": n}) for n in (1, 2)]
    source = "{{ [] if tasks.up.outputs.x[1] else ['old'] }}"
    score = planned("score", "up[1]", "up[2]", for_each=source, run_if="all_done")
    with closing(SqliteStore(shell.folder.root / "outputs/.nbflow/state.db")) as store:
        kept = Kept(store, *ups, score, run="mine-1", owner=this_process())
        kept.play("start", "succeeded up[1]/1 x=1", "failed up[2]/1", "failed score[old]/1")
        kept.play("resume", "start", "succeeded up[2]/2 x=1")
    (told,) = shell("explain", "mine-1/score", "--json").json["tasks"]
    assert (told["task"], told["history"][-1]["text"]) == ("score[old]", "skipped: for_each has this item no more")


def test_nothing_to_resume_after_a_success(shell: Shell) -> None:
    assert shell("explain", shell.run()).out.endswith("resume would run nothing\n")


@pytest.mark.parametrize("what", ["@last/claen", "nope", "nope/clean", "@lst"])
def test_explain_of_what_is_not_there(what: str, shell: Shell) -> None:
    shell.run()
    said = shell("explain", what)
    assert said.code == (2 if what == "@lst" else 3)
    assert "hint: " in said.err


def test_explain_after_resume_keeps_the_whole_story(shell: Shell) -> None:
    shell.script["clean/1"] = ["failed clean/1"]
    run = shell.run()
    shell("resume", run)
    history = shell("explain", f"{run}/clean", "--json").json["tasks"][0]["history"]
    assert [entry["type"] for entry in history].count("run_resumed") == 1
    assert history[-1]["text"] == "attempt 2 succeeded after 1s"
