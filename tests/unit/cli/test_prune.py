"""`nbflow prune`: what it shows, when it asks, what it leaves."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from nbflow.engine.owner import this_process
from nbflow.project import Project
from support.commands import SALES, Shell, Terminal, executed, make_shell

CANARY = "hunter2-canary"


def folders(shell: Shell) -> list[str]:
    place = shell.folder.root / "outputs" / "sales"
    return sorted(one.name for one in place.iterdir()) if place.exists() else []


def history(shell: Shell, number: int = 3) -> list[str]:
    """Runs of `sales`, the oldest first."""
    shell.notebooks["extract"] = executed(("print(1)", "ok", []))
    return [shell.run() for _ in range(number)]


def test_the_newest_are_kept(shell: Shell) -> None:
    one, two, three = history(shell)
    said = shell("prune", "--keep", "1", "--yes")
    assert said.code == 0, said.err
    assert one in said.out
    assert two in said.out
    assert "to remove: 2 runs with " in said.out
    assert "removed 2 runs: " in said.out
    assert [document["run"] for document in shell("runs", "--json").json["runs"]] == [three]
    assert folders(shell) == [three]
    assert shell("show", one).code == 3
    assert shell("prune", "--keep", "1", "--yes").out == "nothing to remove\n"


def test_a_dry_run_removes_nothing(shell: Shell) -> None:
    runs = history(shell)
    said = shell("prune", "--keep", "1", "-n")
    assert said.code == 0
    assert "to remove: 2 runs" in said.out
    document = shell("prune", "--keep", "1", "-n", "--json").json
    assert document["dry_run"] is True
    assert [one["run"] for one in document["runs"]] == [runs[1], runs[0]]
    assert document["bytes"] == sum(one["bytes"] for one in document["runs"]) > 0
    assert set(folders(shell)) == set(runs)


def test_the_newest_success_stays_unless_it_is_named(shell: Shell) -> None:
    (one,) = history(shell, 1)
    shell.script["extract/1"] = shell.script["extract/2"] = ["failed extract/1"]
    said = shell("prune", "--keep", "0", "--yes", "--json").json
    assert said["runs"] == []
    assert said["kept"] == [{"run": one, "reason": "it is the newest success of task 'extract'"}]
    done = shell("prune", one[-4:], "--yes", "--json").json
    assert (done["dry_run"], [run["run"] for run in done["runs"]]) == (False, [one])
    assert folders(shell) == []


def test_nothing_is_removed_unasked(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = history(shell, 2)
    assert shell("prune").code == shell("prune", "--keep", "2").code == shell("prune", "--json").code == 0
    assert shell("prune").out == "nothing to remove\n"
    for more in ((), ("--json",)):
        said = shell("prune", "--keep", "1", *more)
        assert said.code == 2
        assert "there is no terminal to ask on" in said.err + said.out
    assert set(folders(shell)) == set(runs)
    for answer, left in (("\n", 2), ("n\n", 2), ("", 2), ("y\n", 1)):
        out = Terminal()
        answers = Terminal(answer)
        monkeypatch.setattr(sys, "stdin", answers)
        monkeypatch.setattr(sys, "stdout", out)
        assert shell("prune", "--keep", "1").code == 0
        assert "Remove this for good? [y/N]" in out.getvalue()
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        assert len(folders(shell)) == left


def begun(shell: Shell, run: str) -> None:
    """Remove a run as far as one comes whose process dies before the files are gone."""
    with Project.open(shell.folder.file) as project:
        fence = project.runs.store.claim(run, this_process(), lambda _: True)
        project.runs.store.removals.remove(run, fence)


def left_by_a_crash(shell: Shell) -> Path:
    log = shell.folder.root / "outputs" / ".nbflow" / "logs" / "sales-20200101T000000-abcd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("gone")
    os.utime(log, (0, 0))
    return log


@pytest.mark.parametrize("options", [(), ("--keep", "1"), ("--orphans",), ("--json",), ("--yes",)])
def test_what_was_begun_and_what_crashes_left_is_cleared_unasked(shell: Shell, options: tuple[str, ...]) -> None:
    one, two = history(shell, 2)
    begun(shell, one)
    log = left_by_a_crash(shell)
    assert folders(shell) == sorted([one, two])
    said = shell("prune", "-n")
    assert said.out.splitlines()[-1] == (
        "to clear away in any case: 1 run that an earlier call has begun to remove, 1 place that crashes have left"
    )
    said = shell("prune", *options)
    assert (said.code, said.err) == (0, "")
    assert (folders(shell), log.exists()) == ([two], False)
    if "--json" in options:
        assert (said.json["runs"], said.json["begun"]) == ([], [one])
    else:
        assert "finished what an earlier prune had begun: 1 run" in said.out
        assert "cleared away 1 place that crashes had left" in said.out
        assert "removed 0" not in said.out
    assert shell("prune").out == "nothing to remove\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_where_runs_are_meant_too_only_they_need_a_yes(shell: Shell, options: tuple[str, ...]) -> None:
    one, two, three = history(shell)
    begun(shell, one)
    log = left_by_a_crash(shell)
    said = shell("prune", "--keep", "1", *options)
    assert said.code == 2
    assert "there is no terminal to ask on" in said.err + said.out
    assert ("had begun: 1 run" in said.out) is not bool(options)
    assert (folders(shell), log.exists()) == (sorted([two, three]), False)


def test_a_no_is_meant_for_the_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = history(shell)
    begun(shell, one)
    out = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    monkeypatch.setattr(sys, "stdout", out)
    assert shell("prune", "--keep", "1").code == 0
    assert "Remove this for good? [y/N] finished what an earlier prune had begun: 1 run" in out.getvalue()
    assert folders(shell) == sorted([two, three])


def test_what_cannot_be_cleared_away_is_told_with_the_refusal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = history(shell)
    begun(shell, one)

    def fail(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        said = shell("prune", "--keep", "1")
        assert said.code == 2
        assert "of 1 run not all files could be removed" in said.err
        assert "there is no terminal to ask on" in said.err
        assert shell("prune").code == 6
        monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
        patch.setattr(sys, "stdout", Terminal())
        assert shell("prune", "--keep", "1").code == 6
    assert folders(shell) == sorted([two, three])


def test_what_says_too_little_or_too_much(shell: Shell) -> None:
    (one,) = history(shell, 1)
    for arguments, words in (
        (("--pipeline", "sales"), "alone would be all of its runs"),
        ((one, "--keep", "3"), "give no rule beside it"),
        (("--older-than", "soon"), "--older-than soon"),
        (("--older-than", "999999999d"), "--older-than 999999999d: a duration is between 0 and 3650d"),
        (("--older-than", "99999999999d"), "--older-than 99999999999d: durations are written like"),
        (("--state", "running"), "running"),
    ):
        said = shell("prune", "--yes", *arguments)
        assert said.code == 2
        assert words in said.err
    assert shell("prune", "nothing", "--yes").code == 3
    assert folders(shell) == [one]


def test_by_age_and_state(shell: Shell) -> None:
    works = history(shell, 1)[0]
    for attempt in (1, 2):
        shell.script[f"extract/{attempt}"] = [f"failed extract/{attempt}"]
    fails = shell.run()
    assert shell("prune", "--older-than", "1d", "--yes", "--json").json["runs"] == []
    found = shell("prune", "--state", "failed", "--yes", "--json").json["runs"]
    assert [(one["run"], one["state"]) for one in found] == [(fails, "failed")]
    assert folders(shell) == [works]


def test_a_run_whose_results_are_taken_over_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SALES.replace("matrix = {", 'params = { limit = "{{ tasks.clean.outputs.n }}" }, matrix = {')
    shell = make_shell(tmp_path, capsys, monkeypatch, text)
    shell.script["clean/1"] = ["succeeded clean/1 n=3"]
    one = shell.run()
    two = shell.run("-s", "train")
    assert {task["reused_from"] for task in shell("show", two, "--json").json["tasks"]} == {one, None}
    said = shell("prune", one, "--yes", "--json")
    assert said.code == 4
    assert said.err == f"error: run {one} stays: run {two} has taken results of it over\n"
    assert said.json["kept"] == [{"run": one, "reason": f"run {two} has taken results of it over"}]
    said = shell("prune", one, "--yes")
    assert (said.code, said.err) == (4, f"error: run {one} stays: run {two} has taken results of it over\n")
    assert shell("prune", one, "-n").code == 0
    three = shell.run("-F")
    said = shell("prune", one, three, "--yes")
    assert (said.code, "removed 1 run: " in said.out) == (4, True)
    assert sorted(run["run"] for run in shell("runs", "--json").json["runs"]) == sorted([one, two])
    assert len(shell("prune", one, two, "--yes", "--json").json["runs"]) == 2
    assert shell("runs", "--json").json["runs"] == []


def test_orphans_and_files_that_cannot_be_removed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = history(shell, 2)
    orphan = shell.folder.root / "outputs" / "sales" / "sales-20200101T000000-abcd"
    orphan.mkdir()
    said = shell("prune", "--yes")
    assert "1 folder of unknown runs stay" in said.out
    assert orphan.exists()
    assert shell("prune", "--orphans", "--yes").code == 0
    assert not orphan.exists()

    def fail(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        said = shell("prune", one, "--yes")
    assert said.code == 6
    assert "of 1 run not all files could be removed" in said.err
    assert "Permission denied" in said.err
    assert "1 run that an earlier call has begun to remove" in shell("prune", "-n").out
    assert shell("prune", "--yes").code == 0
    assert folders(shell) == [two]
    assert list((shell.folder.root / "outputs" / ".nbflow" / "removed").iterdir()) == []


def test_nothing_of_it_is_found_afterwards(shell: Shell) -> None:
    shell.notebooks["extract"] = executed((f"print('{CANARY}')", "ok", []))
    one = shell.run("-p", f"region={CANARY}")
    two = shell.run()

    def holders() -> set[Path]:
        found = [place for place in shell.folder.root.joinpath("outputs").rglob("*") if place.is_file()]
        return {place for place in found if CANARY.encode() in place.read_bytes()}

    assert holders()
    shell.notebooks["extract"] = executed(("print(1)", "ok", []))
    shell("prune", one, two, "--yes")
    assert holders() == set()


def test_a_project_without_runs(shell: Shell) -> None:
    said = shell("prune", "--keep", "3", "--yes")
    assert (said.code, said.err) == (0, "")
    assert not (shell.folder.root / "outputs").exists()


@pytest.mark.parametrize("broken", ["x = [\n", "x = 1\n", "[pools]\np = 0\n"])
def test_a_file_with_faults_takes_nothing_out(shell: Shell, broken: str) -> None:
    """What the file would have kept is not known then, nor maybe where the runs are."""
    text = shell.folder.file.read_text()
    shell.folder.file.write_text(text.replace("[nbflow]", "[nbflow]\nstate = 'other/s.db'"))
    runs = history(shell, 2)
    before = shell.folder.file.read_text()
    shell.folder.file.write_text(broken + before)
    for arguments in (("--keep", "0", "-y"), ("--keep", "0", "-n"), ("--orphans", "-y"), (runs[0], "-y"), ()):
        said = shell("prune", *arguments)
        assert (said.code, said.out) == (2, ""), arguments
        assert "pipelines.toml:" in said.err
    assert set(folders(shell)) == set(runs)
    shell.folder.file.write_text(before)
    assert {document["run"] for document in shell("runs", "--json").json["runs"]} == set(runs)


def test_a_pipeline_that_nobody_knows(shell: Shell) -> None:
    (one,) = history(shell, 1)
    said = shell("prune", "--pipeline", "sale", "--keep", "0", "-y")
    assert said.code == 3
    assert "did you mean 'sales'?" in said.err
    assert folders(shell) == [one]
    shell.folder.file.write_text(shell.folder.file.read_text().replace("pipelines.sales", "pipelines.trade"))
    assert shell("prune", "--pipeline", "sales", "--keep", "0", "-y").code == 0, "it has been there"
    assert folders(shell) == []
