"""The command as a whole: what it imports, which commands there are, and how every call ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

import nbflow
from nbflow.cli import look
from nbflow.cli.main import LATER, MODULES, SECTIONS, call, cli
from support.commands import Shell

HEAVY = ("papermill", "nbformat", "networkx", "jupyter_server", "rich", "jinja2", "nbconvert", "nbclient", "psutil")
COMMANDS = list(MODULES)


def started(arguments: Sequence[str], folder: Path) -> set[str]:
    """Modules that a call has imported by its end."""
    program = (
        "import sys\nfrom nbflow.cli.main import call\n"
        f"code = call({list(arguments)!r})\nassert code == 0, code\n"
        "print('\\nMODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True, env=os.environ
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("arguments", [["--version"], ["list"], ["list", "--json"], ["runs"], ["--help"], ["validate"]])
def test_looking_imports_nothing_heavy(arguments: list[str], shell: Shell) -> None:
    shell.run()
    loaded = started(arguments, shell.folder.root)
    assert not loaded & set(HEAVY)


def test_the_version_loads_no_command(shell: Shell) -> None:
    loaded = started(["--version"], shell.folder.root)
    assert not loaded & set(MODULES.values())


@pytest.mark.parametrize("flag", ["--version", "version"])
def test_the_version(flag: str, shell: Shell) -> None:
    said = shell(flag)
    if flag == "--version":
        assert (said.code, said.out) == (0, f"nbflow {nbflow.__version__}\n")
    else:
        assert said.code == 2


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"nbflow {nbflow.__version__}\n"


def test_without_a_command_there_is_help(shell: Shell) -> None:
    said = shell()
    assert said.code == 0
    assert all(title in said.out for title in SECTIONS)
    assert "130  interrupted" in said.out


def test_an_unknown_command_names_the_nearest(shell: Shell) -> None:
    said = shell("rnu", "sales")
    assert said.code == 2
    assert said.err == "error: there is no command 'rnu'\nhint: did you mean 'run'?\n"


@pytest.mark.parametrize("name", LATER)
def test_commands_of_later_stages_are_not_there_yet(name: str, shell: Shell) -> None:
    said = shell(name)
    assert said.code == 2
    assert f"the command '{name}' is not there yet" in said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help
    assert len(command.help.split("\n")[0]) <= 100
    assert len(command.get_short_help_str(60)) < 60 or "..." not in command.get_short_help_str(60)
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts} has no help"


READING = ("validate", "schema", "doctor", "list", "graph", "plan", "runs", "show", "explain", "logs", "open", "report")


@pytest.mark.parametrize("name", [*READING, "init", "run", "resume", "test", "cancel"])
def test_reading_commands_take_json(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert any("--json" in option.opts for option in command.params)


def test_a_bad_option_is_told_in_our_style(shell: Shell) -> None:
    said = shell("run", "sales", "--fail-fats")
    assert said.code == 2
    assert said.err == (
        "error: no such option '--fail-fats'. Did you mean '--fail-fast'?\nhint: see `nbflow run --help`\n"
    )
    assert shell("run").code == 2


def test_usage_errors_are_documents_too(shell: Shell) -> None:
    said = shell("run", "sales", "--json", "-j", "0")
    assert said.code == 2
    assert said.json["error"]["exit_code"] == 2
    assert "-j" in said.json["error"]["message"]


def test_c_works_as_if_started_there(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "else where"
    other.mkdir()
    monkeypatch.chdir(other)
    assert shell("list").code == 2
    assert shell("-C", str(tmp_path), "list", "--json").json["pipelines"][0]["pipeline"] == "sales"


@pytest.mark.parametrize("folder", ["nowhere", "pipelines.toml", "a\0b"])
def test_c_takes_a_folder(folder: str, shell: Shell) -> None:
    said = shell("-C", folder, "list")
    assert said.code == 2
    assert said.err.startswith("error: cannot work in ")


def test_an_exception_is_a_bug_and_told_without_a_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(look, "_pipeline_document", broken)
    monkeypatch.delenv("NBFLOW_DEBUG", raising=False)
    said = shell("list")
    assert said.code == 70
    assert "Traceback" not in said.err


def test_an_interrupt_before_anything_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(look, "_pipeline_document", interrupted)
    said = shell("list")
    assert (said.code, said.err) == (130, "interrupted\n")


def test_a_broken_pipe_that_is_not_ours_is_a_bug(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(look, "_pipeline_document", broken)
    assert shell("list").code == 70


def piped(arguments: Sequence[str], folder: Path, *, full: bool = False) -> subprocess.CompletedProcess[bytes]:
    """A call whose standard output is a closed pipe, or a full disk."""
    if full:
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "nbflow", *arguments], cwd=folder, stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("arguments", [["list"], ["runs", "--json"], ["--help"], ["run", "--help"], ["--version"]])
def test_a_reader_that_is_gone_ends_a_command_in_silence(arguments: list[str], shell: Shell) -> None:
    done = piped(arguments, shell.folder.root)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["list"], ["runs", "--json"], ["--help"], ["run", "--help"], ["--version"]])
def test_a_full_disk_is_told(arguments: list[str], shell: Shell) -> None:
    done = piped(arguments, shell.folder.root, full=True)
    assert done.returncode == 6
    assert done.stderr.startswith(b"error: cannot write any output: No space left")


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("arguments", "code"), [(["list"], 0), (["list", "--json"], 0), (["show", "nosuch"], 3)])
def test_closed_streams_are_as_those_that_lead_nowhere(
    arguments: list[str], code: int, closed: str, shell: Shell
) -> None:
    command = [sys.executable, "-m", "nbflow", *arguments]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command], cwd=shell.folder.root, capture_output=True, check=False
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stdout + done.stderr


def test_completion_of_commands(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_NBFLOW_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "nbflow val")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert call([]) == 0
    assert capfd.readouterr().out == "plain,validate\n"
