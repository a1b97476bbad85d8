"""The first moments of the command: closed streams, and what is started before anything is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbflow.cli import entry
from nbflow.executors import ahead


@pytest.mark.parametrize(
    ("arguments", "begun"),
    [
        ("run sales", [None]),
        ("resume @last -v", [None]),
        ("test sales.clean -p x=1", [None]),
        ("--file run --profile test run sales", [None]),
        ("--file=other.toml run sales", [None]),
        ("-C somewhere run sales", ["somewhere"]),
        ("", []),
        ("--version", []),
        ("-C", []),
        ("list", []),
        ("show run", []),
        ("--file run list", []),
        ("run sales --help", []),
        ("run -h", []),
        ("run sales -n", []),
        ("run sales --dry-run", []),
        ("run sales --detach", []),
    ],
)
def test_only_what_runs_notebooks_begins_ahead(
    arguments: str, begun: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str | None] = []
    monkeypatch.setattr(ahead, "begin", found.append)
    entry.begin_ahead(arguments.split())
    assert found == begun


def test_it_loads_nothing_that_an_interrupt_could_come_upon() -> None:
    """Before `main`, which hears Ctrl-C, Python would show a traceback."""
    code = "import sys; before = set(sys.modules); import nbflow.cli.entry; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"__future__", "nbflow", "nbflow.version", "nbflow.cli", "nbflow.cli.entry"}


def test_what_takes_long_is_started_before_anything_else_is_loaded() -> None:
    """What takes long is started by little, or it would not be ahead."""
    code = "import sys; before = set(sys.modules); import nbflow.executors.ahead; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"click", "json", "dataclasses", "pathlib", "inspect"}
    ours = {"nbflow", "nbflow.version", "nbflow.executors", "nbflow.executors.ahead"}
    assert {name for name in loaded if name.startswith("nbflow")} == ours


@pytest.mark.parametrize("arguments", [["run"], ["run", "nosuch"], ["run", "sales", "--nosuch"], ["resume", "@last"]])
def test_a_wrong_command_leaves_nothing_behind(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert [one for one in psutil.process_iter() if _works_in(one, tmp_path)] == []


def test_an_interrupt_while_it_loads_shows_no_traceback() -> None:
    source = (
        "import sys\nfrom nbflow.cli.entry import main\n"
        "class Interrupts:\n    def find_spec(self, name, *_):\n"
        "        if name == 'nbflow.cli.main':\n            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\nsys.argv[1:] = ['run', 'sales']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def test_streams_that_are_closed_lead_nowhere() -> None:
    source = (
        "import os, sys\nfrom nbflow.cli.entry import open_standard_streams\nopen_standard_streams()\n"
        "assert [os.path.samestat(os.fstat(one), os.stat(os.devnull)) for one in range(3)] == [True] * 3\n"
        "assert [os.get_inheritable(one) for one in range(3)] == [True] * 3\n"
        "print('x'), print('x', file=sys.stderr)\nassert sys.stdin.read() == ''\n"
    )
    command = [sys.executable, "-c", source]
    assert subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], check=False).returncode == 0


LAST = "import atexit, os, sys, threading\nfrom nbflow.cli.entry import leave\natexit.register(print, 'handled')\n"


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("print('text')", "text\nhandled\n"),
        (
            "threading.Thread(target=lambda: (threading.main_thread().join(), print('joined'))).start()",
            "joined\nhandled\n",
        ),
        (
            (
                "import asyncio, time\nloop, begun = asyncio.new_event_loop(), threading.Event()\n"
                "threading.Thread(target=loop.run_forever, daemon=True).start()\n"
                "look_up = lambda: (begun.set(), time.sleep(60))\n"
                "loop.call_soon_threadsafe(loop.run_in_executor, None, look_up)\nbegun.wait()"
            ),
            "handled\n",
        ),
    ],
)
def test_the_end_loses_nothing(before: str, said: str) -> None:
    """What was printed, what is to be done at the end, and threads that are waited for; a host is not looked up on."""
    done = subprocess.run(
        [sys.executable, "-c", f"{LAST}{before}\nleave(3)"], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, said, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_end_tells_of_output_that_is_lost() -> None:
    source = "from nbflow.cli.entry import leave\nprint('lost')\nleave(0)"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", source], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=buffered
        )
    assert done.returncode == 120
    assert "No space left" in done.stderr
