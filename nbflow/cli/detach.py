"""A run in the background: made here, carried out by a process of its own session, its lines in a file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.cli.session import Session
from nbflow.errors import UnreachableError

if TYPE_CHECKING:
    from nbflow.asked import Request
    from nbflow.core.rows import RunRow
    from nbflow.project import Project

BEGIN_SECONDS = 30.0
"""How long the process gets to take the run over."""
POLL = 0.05
MOST_SHOWN = 2_000
"""Bytes of what a process said that could not begin."""


def run_detached(session: Session, project: Project, pipeline: str, request: Request) -> int:
    """Make a run, start the process that carries it out, and print the run's id once that has taken it over.

    Raises UnreachableError where the process ends before, with what it said.
    """
    run = project.create(pipeline, request, owned=True)
    log = _log_file(project, run)
    process = _start(_command(session, project.runs.find(run), request.executor), log)
    _wait(project, run, process, log)
    process.returncode = 0  # it outlives us: nobody will wait for it
    if session.outputs.json:
        session.out.document(project.runs.document(project.runs.find(run)), indent=None)
    else:
        session.out.line(run)
        session.err.line(f"goes on in process {process.pid}; watch it with: nbflow logs -f {run}")
    return 0


def _log_file(project: Project, run: str) -> Path:
    from nbflow.archive.layout import STATE_FOLDER, checked_name

    return Path(project.spec.local, STATE_FOLDER, "logs", checked_name(f"{run}.log"))


def _command(session: Session, row: RunRow, executor: str) -> list[str]:
    """What takes the run over from us, who keep it until then."""
    profile = ["--profile", session.profile] if session.profile is not None else []
    file = ["--file", str(session.file.absolute())]
    # -P: nothing is imported from the folder that the shell happens to be in.
    taking = ["resume", "--executor", executor, "--heir-of", str(row.owner), row.run]
    return [sys.executable, "-P", "-m", "nbflow", *file, *profile, *taking]


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives ours and our terminal. Raises UnreachableError where its log cannot be made."""
    try:
        log.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UnreachableError(f"{log} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)


def _wait(project: Project, run: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the process has the run. It may have ended by then, with the run done."""
    until = time.monotonic() + BEGIN_SECONDS
    while project.runs.find(run).state == "queued":
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            said = log.read_bytes()[-MOST_SHOWN:].decode("utf-8", "replace").strip()
            raise UnreachableError(
                f"run {run} could not be begun in the background: {said or 'its process said nothing'}",
                hint=f"begin it here: nbflow resume {run}",
            )
        time.sleep(POLL)
