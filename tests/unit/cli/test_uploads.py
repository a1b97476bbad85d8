"""Commands in a project whose archive is on object storage in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbflow import aside
from nbflow.archive import look
from nbflow.archive.files import FileArchive
from nbflow.core.attempt import ArchivedFile
from nbflow.errors import UnreachableError
from nbflow.project import Project
from support.commands import SALES, Said, Shell, executed, make_shell
from support.held import HeldFileSystem, held_files, held_url, silent

NOTEBOOK = executed(("print(1)", "ok", [{"output_type": "stream", "name": "stdout", "text": "one\n"}]))


@pytest.fixture
def url() -> str:
    return held_url()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str) -> Shell:
    monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", "0.3")
    shell = make_shell(tmp_path, capsys, monkeypatch, SALES.replace("[nbflow]\n", f'[nbflow]\noutputs = "{url}"\n'))
    shell.notebooks["clean"] = NOTEBOOK
    return shell


def words(said: Said) -> str:
    return " ".join(said.out.split())


def test_a_run_on_object_storage(shell: Shell, url: str) -> None:
    said = shell("run", "sales", "--json")
    assert said.code == 0
    document = said.lines[-1]
    run = document["run"]
    assert document["archived"] == "done"
    assert [task["archived"] for task in document["tasks"]] == [None, "done", None, None]
    assert document["tasks"][1]["notebook"] == f"{url}/sales/{run}/clean.ipynb"
    assert set(held_files(url)) == {f"sales/{run}/{name}" for name in ("clean.ipynb", "run.json", "index.html")}
    assert shell("show", run, "--json").json == document
    assert f" archive {url}/sales/{run} TASK " in words(shell("show", run))
    assert " archived done " in words(shell("show", f"{run}/clean"))
    assert "one" in shell("logs", f"{run}/clean").out
    assert shell("report", run).code == 0
    assert shell("resume", run).code == 0


def test_a_run_while_it_is_down(shell: Shell, url: str) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    said = shell("run", "sales")
    assert said.code == 0, "the results stand"
    assert "warning: not archived yet: " in said.err
    assert "cannot be reached" in said.err
    run = shell("runs", "--json").json["runs"][0]
    assert run["archived"] == "pending"
    assert f" archive {url}/sales/{run['run']}, 3 files pending " in words(shell("show", "@last"))
    assert " archived pending " in words(shell("show", "@last/clean"))
    assert "one" in shell("logs", "@last/clean").out
    assert Path(shell("open", "@last", "--print").out.strip()).exists()
    said = shell("report", "@last")
    assert (said.code, Path(said.out.strip()).exists()) == (6, True)
    assert "cannot be reached" in said.err
    assert held_files(url) == {}
    HeldFileSystem.down = None
    text = shell.folder.file.read_text()
    shell.folder.file.write_text(text.replace("[nbflow]", "[nbflow]\nstat = 's.db'"))
    said = shell("report", "@last")
    assert (said.code, held_files(url)) == (2, {}), "who knows whether that is the store that is meant"
    assert "pipelines.toml:3:1: nbflow.stat" in said.err
    shell.folder.file.write_text(text)
    assert shell("run", "other").code == 0
    assert len([path for path in held_files(url) if path.startswith("sales/")]) == 3, "the next start has uploaded it"
    assert shell("show", run["run"], "--json").json["archived"] == "done"


def test_a_run_whose_page_found_no_room_is_completed_and_uploaded_with_the_next(
    shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had been given back, so nobody finds it dead."""
    publish = FileArchive.publish

    def full(self: FileArchive, path: str, data: bytes) -> ArchivedFile:
        if path.endswith("index.html"):
            raise UnreachableError("no space left on the spool's disk")
        return publish(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(FileArchive, "publish", full)
        said = shell("run", "sales")
        assert (said.code, "no space left" in said.err) == (6, True)
    run = shell("runs", "--json").json["runs"][0]
    assert (run["state"], run["archived"]) == ("succeeded", "pending")
    said = shell("run", "other")
    assert (said.code, "died" in said.err) == (0, False)
    names = {path.rpartition("/")[2] for path in held_files(url) if path.startswith("sales/")}
    assert names == {"clean.ipynb", "run.json", "index.html"}
    assert shell("show", run["run"], "--json").json["archived"] == "done"


def test_the_api_waits_for_uploads_too(shell: Shell, url: str) -> None:
    with Project.open() as project:
        result = project.run("sales")
    assert result["archived"] == "done"
    assert len(held_files(url)) == 3


def test_a_run_is_resumed_whose_copies_are_gone(shell: Shell, url: str) -> None:
    """What the run itself had put there makes way, as its events tell, whatever this machine has forgotten."""
    shell.script["clean/1"] = ["failed clean/1 exception"]
    run = shell.run()
    notebook, manifest = f"sales/{run}/clean.ipynb", f"sales/{run}/run.json"
    before = held_files(url)
    for folder in ("spool", "uploads"):
        shutil.rmtree(shell.folder.root / "outputs/.nbflow" / folder)
    shell.notebooks["clean"] = executed(("print(2)", "ok", []))
    assert shell("resume", run).code == 0
    after = held_files(url)
    assert set(after) == set(before)
    assert all(after[path] != before[path] for path in (notebook, manifest))
    assert json.loads(after[manifest])["state"] == "succeeded"
    assert shell("show", run, "--json").json["archived"] == "done"


def test_looking_loads_nothing_of_the_storage(shell: Shell) -> None:
    look = "import sys; from nbflow.cli.main import call; call(['list'])"
    code = f"{look}; print(sum('fsspec' in one for one in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_a_page_that_is_made_anew_is_uploaded(shell: Shell, url: str) -> None:
    run = shell.run()
    page = Path(shell("open", run, "--print").out.strip())
    page.unlink()
    HeldFileSystem.store.clear()
    assert shell("report", run).code == 0
    assert page.exists()
    assert f"sales/{run}/index.html" in held_files(url)


def test_storage_that_says_no_for_good(shell: Shell) -> None:
    HeldFileSystem.down = PermissionError("no")
    said = shell("run", "sales")
    assert (said.code, said.out) == (6, "")
    assert "access is denied" in said.err
    assert shell("runs", "--json").json["runs"] == []
    [check] = [one for one in shell("doctor", "--json").json["checks"] if one["check"] == "archive"]
    assert check["state"] == "fail"
    HeldFileSystem.down = ConnectionRefusedError("no")
    [check] = [one for one in shell("doctor", "--json").json["checks"] if one["check"] == "archive"]
    assert check["state"] == "warn"


def test_storage_that_does_not_answer_holds_up_no_command(
    shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each comes to its end: with what is here, by the end of its patience, or where somebody does not wait on."""
    monkeypatch.setattr(look, "LONGEST", 0.2)
    monkeypatch.setattr(aside, "PATIENCE", 0.1)
    first = shell.run()
    with silent():
        shell.script["clean/1"] = ["failed clean/1 exception"]
        said = shell("run", "sales")
        assert said.code == 1
        assert said.err.count("has not answered for 0.2 s: what is published waits on this machine") == 1
        assert "warning: not archived yet: " in said.err
        shell.script.clear()
        assert shell("resume", "@last").code == 0
        for command in ("show", "open", "logs", "explain"):
            assert shell(command, "@last").code == 0
        assert shell("runs", "--json").json["runs"][0]["archived"] == "pending"
        assert shell("report", "@last").code == 6
        [check] = [one for one in shell("doctor", "--json").json["checks"] if one["check"] == "archive"]
        assert (check["state"], check["message"]) == ("warn", f"{url} has not answered for 0.2 s")
        for folder in ("spool", "uploads"):
            shutil.rmtree(shell.folder.root / "outputs/.nbflow" / folder)
        with monkeypatch.context() as patch:
            patch.setattr(aside.Aside, "result", _interrupted)
            said = shell("logs", f"{first}/clean")
        assert (said.code, said.err) == (130, f"fetching from {url}; Ctrl-C ends the wait\ninterrupted\n")
        said = shell("prune", first, "--yes")
        assert (said.code, "has not answered" in said.err) == (6, True)
    assert shell("prune", "--keep", "9", "--yes").code == 0
    assert not [path for path in held_files(url) if first in path], "what was begun has been finished"


def _interrupted(_: aside.Aside[None]) -> None:
    raise KeyboardInterrupt


def test_what_somebody_else_has_put_there_is_named(shell: Shell, url: str) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    run = shell.run()
    HeldFileSystem.down = None
    HeldFileSystem(skip_instance_cache=True).pipe_file(f"{url}/sales/{run}/clean.ipynb", b"theirs")
    assert "is there already, with other content" in shell("report", run).err
    assert shell("report", run).code == 4
    assert held_files(url)[f"sales/{run}/clean.ipynb"] == b"theirs"
    [check] = [one for one in shell("doctor", "--json").json["checks"] if one["check"] == "uploads"]
    assert run in check["message"]
