"""Runs in the background: the process that is started, and one that cannot begin."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nbflow.cli import detach
from nbflow.engine.owner import this_process
from nbflow.project import Project
from support.commands import Shell


class Started:
    """Stands for the process that carries the run out: takes it over and ends it, or dies."""

    pid = 4321

    def __init__(self, shell: Shell, command: list[str], how: dict[str, Any], *, dies: bool) -> None:
        self.shell = shell
        self.command = command
        self.how = how
        self.dies = dies
        self.killed = False
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.dies:
            return 2
        heir_of = self.command[self.command.index("--heir-of") + 1]
        with Project.open(self.shell.folder.file) as project:
            project.execute(self.command[-1], heir_of=heir_of)
        return None

    def kill(self) -> None:
        self.killed = True


class Starts:
    """Starts processes that are none; `dies` says what becomes of the next ones."""

    DEVNULL = subprocess.DEVNULL

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.dies = False
        self.all: list[Started] = []

    def Popen(self, command: list[str], **how: Any) -> Started:  # noqa: N802 - the name it stands for
        how["stdout"].write(b"error: it could not begin\n")
        self.all.append(Started(self.shell, command, how, dies=self.dies))
        return self.all[-1]


@pytest.fixture
def starts(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Starts:
    """What stands for the module subprocess."""
    made = Starts(shell)
    monkeypatch.setattr(detach, "subprocess", made)
    return made


def test_the_run_is_made_here_and_carried_out_there(shell: Shell, starts: Starts) -> None:
    said = shell("run", "sales", "--detach", "-p", "limit=3", "-s", "extract")
    assert said.code == 0
    run = said.out.strip()
    document = shell("show", run, "--json").json
    assert document["params"]["limit"] == 3
    assert document["state"] == "succeeded"
    assert f"nbflow logs -f {run}" in said.err
    [process] = starts.all
    file = str(shell.folder.file)
    begin = ["-P", "-m", "nbflow", "--file", file, "resume", "--executor", "local", "--heir-of", this_process(), run]
    assert process.command[1:] == begin
    assert process.how["start_new_session"] is True
    assert process.how["stdin"] is subprocess.DEVNULL


def test_the_log_is_private_and_beside_the_store(shell: Shell, starts: Starts) -> None:
    run = shell("run", "sales", "--detach").out.strip()
    log = shell.folder.root / "outputs" / ".nbflow" / "logs" / f"{run}.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert starts.all[0].how["stderr"] is starts.all[0].how["stdout"]


def test_json_gives_the_run_document(shell: Shell, starts: Starts) -> None:
    said = shell("run", "sales", "--detach", "--json")
    assert said.lines[-1]["schema"] == "nbflow.run/1"
    assert said.err == ""


def test_a_process_that_ends_at_once_is_told_with_what_it_said(shell: Shell, starts: Starts) -> None:
    starts.dies = True
    said = shell("run", "sales", "--detach")
    assert said.code == 6
    assert "could not be begun in the background: error: it could not begin" in said.err
    assert starts.all[0].killed
    assert "nbflow resume sales-" in said.err


def test_what_cannot_run_is_found_before_anything_is_started(shell: Shell, starts: Starts) -> None:
    assert shell("run", "sales", "--detach", "-p", "limit=0").code == 2
    assert shell("run", "sales", "--detach", "--executor", "nope").code == 2
    assert starts.all == []
    assert shell("runs", "--json").json["runs"] == []


def test_the_started_process_outlives_its_parent(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    program = "import os; print(os.getsid(0) == os.getpid(), os.getcwd())"
    process = detach._start([sys.executable, "-c", program], log)
    assert process.wait(30) == 0
    assert log.read_text() == f"True {Path.cwd()}\n"
    assert os.getsid(0) != process.pid
    assert time.time() - log.stat().st_mtime < 60
