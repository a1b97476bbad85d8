"""Where the project is looked for, and how paths are shown."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from nbflow.carrying import Carrier
from nbflow.core.decide import react
from nbflow.core.messages import Start
from nbflow.core.views import project as project_of
from nbflow.engine.owner import this_process
from nbflow.errors import UnreachableError
from nbflow.project import Project
from nbflow.runs import Runs
from support.commands import Shell


def test_without_a_file_the_hint_says_how_to_begin(shell: Shell) -> None:
    shell.folder.file.unlink()
    said = shell("list")
    assert said.code == 2
    assert f"there is no pipelines.toml in {shell.folder.root}" in said.err
    assert "nbflow init" in said.err


def test_a_project_above_is_named_and_not_used(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    below = shell.folder.root / "notebooks" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    said = shell("list")
    assert said.code == 2
    assert f"there is one above: nbflow -C {shell.folder.root}" in said.err


def test_a_folder_that_is_gone_is_named(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = shell("list")
    assert said.code == 2
    assert "the folder that this shell is in was removed" in said.err


def test_another_file_may_be_named(shell: Shell) -> None:
    shell.folder.file.rename(shell.folder.root / "-odd {name} 100%.toml")
    assert shell("list").code == 2
    assert shell("--file", "-odd {name} 100%.toml", "list").code == 0
    said = shell("--file", "none.toml", "list")
    assert (said.code, said.err.splitlines()[0]) == (2, "error: there is no file none.toml")


def test_a_profile_is_merged(shell: Shell) -> None:
    text = shell.folder.file.read_text() + '\n[profiles.prod.pipelines.sales]\ndescription = "In production"\n'
    shell.folder.file.write_text(text)
    assert shell("--profile", "prod", "list", "--json").json["pipelines"][0]["description"] == "In production"
    said = shell("--profile", "pord", "list")
    assert said.code == 2
    assert "there is no profile 'pord'" in said.err


def test_all_faults_of_the_file_are_told(shell: Shell) -> None:
    shell.folder.file.write_text("[pipelines.a.tasks]\nx = { notebok = 'x.ipynb' }\n[pools]\np = 0\n")
    said = shell("list", "--json")
    assert said.code == 2
    assert len(said.json["error"]["problems"]) >= 2
    assert "pipelines.toml:2:" in said.err
    assert "pipelines.toml:4:" in said.err


def test_paths_are_shown_from_where_the_shell_is(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    outside = shell("-C", str(tmp_path), "run", "sales")
    assert f"page    {tmp_path}/outputs/sales/" in outside.out
    monkeypatch.chdir(tmp_path)
    assert "page    outputs/sales/" in shell("run", "sales").out


@pytest.mark.parametrize(
    "arguments",
    [
        *(["runs"], ["show", "@last"], ["explain", "@last"], ["logs", "@last"], ["logs", "@last/clean"]),
        *(["open", "@last"], ["report", "@last"], ["runs", "--pipeline", "sales"]),
    ],
)
@pytest.mark.parametrize("broken", ["[pipelines.sales", "[pipelines.sales]\ntaks = 1\n"])
def test_a_broken_file_does_not_hide_the_runs(shell: Shell, arguments: list[str], broken: str) -> None:
    shell.run()
    before = shell(*arguments)
    shell.folder.file.write_text('[nbflow]\ntimezone = "Europe/Prague"\n' + broken)
    said = shell(*arguments, "--json")
    assert said.code == 0
    assert said.json
    [warning] = said.err.splitlines()
    assert warning.startswith("warning: pipelines.toml has mistakes")
    assert "outputs/.nbflow/state.db" in warning
    if "taks" in broken:
        assert shell(*arguments).out == before.out


def test_a_broken_file_still_says_where_the_runs_are(shell: Shell) -> None:
    text = '[nbflow]\noutputs = "elsewhere"\n' + shell.folder.file.read_text().replace("[nbflow]\n", "")
    shell.folder.file.write_text(text)
    run = shell.run()
    shell.folder.file.write_text(text + "[pools]\np = 0\n")
    assert [row["run"] for row in shell("runs", "--json").json["runs"]] == [run]
    said = shell("cancel", run, "--json")
    assert said.code == 4, "it has ended; a run that goes on can be stopped"
    assert "nothing left to be stopped" in said.json["error"]["hint"]


UNSURE = ("x = [\n", "[nbflow]\nstat = 'other/s.db'\n", "[nbflow]\nstate = 5\n", "[nbfow]\nstate = 'other/s.db'\n")
"""Files that do not say for sure where the runs are."""


@pytest.mark.parametrize("broken", UNSURE)
def test_without_a_sure_place_nothing_is_written(shell: Shell, broken: str) -> None:
    run = shell.run()
    page = shell.folder.root / "outputs" / "sales" / run / "index.html"
    page.unlink()
    shell.folder.file.write_text(broken)
    for arguments in (["cancel", "nope"], ["open", run], ["report", run]):
        said = shell(*arguments)
        assert said.code == 2, arguments
        assert "pipelines.toml:" in said.err
    assert not page.exists()
    assert shell("logs", run).code == 0
    assert shell("cancel", run).code == 4, "it has ended, wherever others are"


@pytest.mark.parametrize("broken", [*UNSURE, "state = 'other/s.db'\nx = [\n"])
def test_a_store_that_nobody_knows_is_no_empty_one(shell: Shell, broken: str) -> None:
    """The runs are in another place, maybe: "no runs yet" would be a failure that passes for a success."""
    text = '[nbflow]\nstate = "other/s.db"\n' + shell.folder.file.read_text().replace("[nbflow]\n", "")
    shell.folder.file.write_text(text)
    shell.run()
    shell.folder.file.write_text(broken)
    for command in ("runs", "show @last", "show sales", "explain @last", "logs @last", "report @last", "cancel @last"):
        said = shell(*command.split())
        assert (said.code, said.out) == (2, ""), command
        assert "pipelines.toml:" in said.err
        assert "the runs are those of" not in said.err
    said = shell("runs", "--json")
    assert (said.code, len(said.json["error"]["problems"])) == (2, 1)
    assert shell("show", "extract.ipynb").code == 0, "what needs no store"
    shell.folder.file.write_text(text + "[pools]\np = 0\n")
    assert len(shell("runs", "--json").json["runs"]) == 1, "it says where they are"


def test_without_any_run_a_file_that_is_sure_of_its_places_says_so(shell: Shell) -> None:
    shell.folder.file.write_text("[pools]\np = 0\n")
    said = shell("runs", "--json")
    assert (said.code, said.json["runs"]) == (0, [])


@pytest.mark.parametrize("broken", UNSURE)
@pytest.mark.parametrize("options", [[], ["--force"], ["--json"]])
def test_a_broken_file_does_not_take_the_stop_button_away(shell: Shell, broken: str, options: list[str]) -> None:
    with Project.open(shell.folder.file) as project:
        waiting, run = project.create("sales"), project.create("sales")
        project.runs.store.claim(run, this_process(), lambda _: True)
        shell.folder.file.write_text(broken)
        said = shell("cancel", run, *options)
        assert (said.code, run in said.out) == (0, True)
        assert said.err.startswith("warning: pipelines.toml has mistakes")
        [request] = project.runs.store.take(run)
        assert request.force is ("--force" in options)
        for text in ("@last", run[:-1]):
            said = shell("cancel", text)
            assert (said.code, said.out) == (2, "")
            assert f"'{text}' may mean another run than {run}" in said.err
            assert f"nbflow cancel {run}" in said.err
        said = shell("cancel", waiting)
        assert (said.code, "pipelines.toml:" in said.err) == (2, True), "to end it would write to the archive"
        assert project.runs.find(waiting).state == "queued"


def test_with_a_broken_file_the_end_of_a_run_can_be_waited_for(shell: Shell) -> None:
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
        fence = project.runs.store.claim(run, this_process(), lambda _: True)
        shell.folder.file.write_text(UNSURE[0])
        timer = threading.Timer(0.6, project.runs.store.release, (run, fence))
        timer.start()
        said = shell("cancel", run, "--wait")
        timer.join()
    assert (said.code, run in said.out) == (0, True)


@pytest.mark.parametrize("broken", [*UNSURE, "[pools]\np = 0\n"])
def test_a_dead_run_is_ended_where_its_place_is_sure(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(Runs, "dead", lambda runs: runs.store.runs(limit=1))
    monkeypatch.setattr(Carrier, "end_dead", lambda _, rows: ended.extend(row.run for row in rows))
    run = shell.run()
    ended.clear()
    shell.folder.file.write_text(broken)
    assert shell("runs").code == 0
    assert ended == ([] if broken in UNSURE else [run])


@pytest.mark.parametrize(
    "arguments",
    [
        *(["runs"], ["show", "@last"], ["explain", "@last"], ["logs", "@last"], ["open", "@last"], ["report", "@last"]),
        *(["cancel", "@last"], ["prune", "-n"], ["list"], ["resume", "@last"], ["validate"]),
    ],
)
def test_a_profile_that_is_not_there_is_refused(shell: Shell, arguments: list[str]) -> None:
    shell.run()
    for text in (shell.folder.file.read_text(), shell.folder.file.read_text() + "[pools]\np = 0\n"):
        shell.folder.file.write_text(text)
        said = shell("--profile", "bogus", *arguments)
        assert said.code == 2
        assert "there is no profile 'bogus'" in said.err + said.out


def test_what_needs_the_pipelines_tells_what_is_wrong(shell: Shell) -> None:
    shell.run()
    shell.folder.file.write_text("[pipelines.sales")
    for arguments in (["run", "sales"], ["list"], ["show", "other"], ["resume", "@last"]):
        said = shell(*arguments)
        assert said.code == 2
        assert "pipelines.toml:1:" in said.err


def test_of_dead_runs_that_cannot_be_ended_now_one_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reason = Project.__init__, UnreachableError("no room\nat all")

    def full(self: Project, *arguments: Any) -> None:
        make(self, *arguments)
        self.unrescued |= {"first": reason, "second": reason}

    monkeypatch.setattr(Project, "__init__", full)
    said = shell("list")
    assert said.code == 0
    assert said.err == (
        "warning: run first, whose process has died, cannot be ended now (nor can 1 more): no room at all\n"
    )


def test_of_a_run_that_its_process_has_given_back_nobody_is_said_to_have_died(shell: Shell) -> None:
    """It ended itself in good order: the store had been away for too long, say."""
    with Project.open(shell.folder.file) as project:
        run = project.create("sales")
        state = project.runs.state(project.runs.find(run))
        fence = project.runs.store.claim(run, this_process(), lambda _: True)
        events = react(state, [Start(owner=this_process())], state.created_at)
        project.runs.store.append(events, project_of(state), fence)
        project.runs.store.release(run, fence)
    said = shell("runs")
    assert said.err == f"run {run} was interrupted: its process had given it up; go on with: nbflow resume {run}\n"
