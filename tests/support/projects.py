"""A real project in a folder of its own, whose commands are real processes that may be killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from nbflow.core.state import RunState
from nbflow.faultpoints import VARIABLE
from support.commands import Said
from support.folders import document
from support.invariants import GONE_SECONDS, PROJECT, check_project, living, processes_of
from support.waiting import until

TESTS = Path(__file__).parents[1]
LONGEST = 240.0
"""Seconds that a command may take at most."""


@dataclass(frozen=True)
class Project:
    """A project of notebooks in a few words. `temporary` is where its processes put temporary files.

    `wrap` is put before each command, to have it run under something.
    """

    root: Path
    temporary: Path
    wrap: Sequence[str] = ()

    def notebook(self, name: str, *cells: str, params: str | None = None) -> None:
        """Write a notebook."""
        (self.root / f"{name}.ipynb").write_text(json.dumps(document(params, *cells)), "utf-8")

    def start(
        self, *arguments: str, fault: str | None = None, output: IO[bytes] | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """Begin a command, in a session of its own; `fault` is for NBFLOW_FAULT.

        What it says goes to the file `output`, or is to be read.
        """
        environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "XDG_RUNTIME_DIR")}
        environment |= {"NO_COLOR": "1", "TMPDIR": str(self.temporary), PROJECT: str(self.root.resolve()), **variables}
        return subprocess.Popen(
            [*self.wrap, sys.executable, "-m", "nbflow", *arguments],
            cwd=self.root,
            env={**environment, VARIABLE: fault} if fault else environment,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str, fault: str | None = None, **variables: str) -> Said:
        """Carry a command out to its end. Nothing of ours may be heard but errors that are named."""
        with self.start(*arguments, fault=fault, **variables) as process:
            try:
                out, err = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                self.end()
                raise
        assert "Traceback" not in err, err
        assert "a bug of nbflow" not in err, err
        return Said(process.returncode, out, err)

    def runs(self) -> list[dict[str, Any]]:
        """What `nbflow runs` tells."""
        said = self.call("runs", "--json")
        assert said.code == 0, said.err
        found: list[dict[str, Any]] = said.json["runs"]
        return found

    def until_nobody_lives(self) -> None:
        """Wait until all processes of the project have gone, which they must do by themselves."""
        until(lambda: not processes_of(self.root), GONE_SECONDS)

    def check(self) -> dict[str, RunState]:
        """All invariants, once nothing goes on any more; the runs by id."""
        self.until_nobody_lives()
        return check_project(self.root, self.temporary)

    def sweep(self) -> None:
        """Have removed what killed processes have left among temporary files, as a later engine does when it is old."""
        self.until_nobody_lives()
        for place in self.temporary.iterdir():
            os.utime(place, (0, 0))
        command = [sys.executable, "-c", "from nbflow.kernels.runtime import sweep; sweep()"]
        subprocess.run(command, env={**os.environ, "TMPDIR": str(self.temporary)}, check=True)

    def check_from_within(self, state: Path) -> None:
        """The same, by a process that sees what the commands see; with a store at some other place."""
        self.until_nobody_lives()
        command = [sys.executable, "-m", "support.invariants", str(self.root), str(self.temporary), str(state)]
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([*self.wrap, *command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def end(self) -> None:
        """End whatever lives of it at once: none gets to see the end of another."""
        while found := [process for process, _ in living(self.root)]:
            for act in (psutil.Process.suspend, psutil.Process.kill):
                for process in found:
                    with suppress(psutil.NoSuchProcess):
                        act(process)


@contextmanager
def project(root: Path, toml: str) -> Iterator[Project]:
    """A new project; at the end nothing of it lives."""
    temporary = Path(tempfile.mkdtemp(prefix="nbt-", dir="/tmp"))  # short, since sockets lie in it
    root.mkdir(parents=True, exist_ok=True)
    (root / "pipelines.toml").write_text(toml, "utf-8")
    made = Project(root, temporary)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(temporary, ignore_errors=True)
