"""What a machine may have none of: processes, threads, a network. A run waits a moment, or says what is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.disks import cannot, need_strace
from support.projects import Project, project

TOML = """
[pipelines.p.tasks]
first = { notebook = "quick.ipynb" }
second = { notebook = "quick.ipynb", needs = ["first"] }

[pipelines.single.tasks]
only = { notebook = "quick.ipynb" }
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as found:
        found.notebook("quick", "print('quick')")
        yield found


def without(made: Project, calls: str, when: str) -> Project:
    """The system refuses some of the calls of each process of a command."""
    need_strace()
    fault = f"inject={calls}:error=EAGAIN:when={when}"
    return replace(made, wrap=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", fault))


def test_no_process_for_a_moment(made: Project) -> None:
    """Neither a server, nor a worker, nor a kernel, the first times that each is asked for."""
    said = without(made, "vfork,fork,clone", "1..2").call("run", "single", "--json")
    assert said.code == 0, said.out + said.err
    assert [task["attempts"] for task in said.lines[-1]["tasks"]] == [1]
    made.check()


def test_no_thread(made: Project) -> None:
    """The task says so; the run ends in order, and can be resumed."""
    said = without(made, "vfork,fork,clone,clone3", "1..2").call("run", "p", "--json")
    assert said.code == 1, said.out + said.err
    first, second = said.lines[-1]["tasks"]
    assert (first["state"], first["error"]["kind"]) == ("failed", "start_failed")
    assert first["error"]["message"] == "no worker could be started: can't start new thread"
    assert second["state"] == "upstream_failed"
    assert made.call("resume", said.lines[-1]["run"]).code == 0
    made.check()


def test_no_network(made: Project) -> None:
    """Kernels have no ports that others could use up, or take: there is not even a loopback device here."""
    alone = ("unshare", "-n")
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        cannot("a name space without a network needs unshare, and the right to make one")
    assert replace(made, wrap=alone).call("run", "p").code == 0
    made.check()
