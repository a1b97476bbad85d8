"""A worker server that is started before it is known whether it is wanted: it loads while all else does.

This is the first module of ours that a command loads, so it loads next to nothing itself. Must not know what a server
is asked, nor which commands want one.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

MAY_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")
"""Elsewhere libraries of the system start threads by themselves, and forked processes fail in odd ways."""

Inherited = tuple[dict[str, str], str]
"""What a process is given by the one that starts it, and what may change in that one: variables and folder."""


def inherited() -> Inherited:
    """What a process that is started now would be given."""
    try:
        folder = os.getcwd()  # noqa: PTH109 - a text is all that is compared
    except FileNotFoundError:
        folder = ""
    return dict(os.environ), folder


def worker_command(python: str = sys.executable, grace: float = 10.0) -> tuple[str, ...]:
    """The command of a worker. `grace`: seconds that an interrupted cell gets to end."""
    # -P: nothing is imported from the folder where nbflow happens to run.
    return (python, "-P", "-m", "nbflow.worker", "--grace", f"{grace:g}")


def server_command(worker: Sequence[str]) -> list[str]:
    """The command of a server that forks such workers."""
    return [*worker, "--serve"]


class Started:
    """The process of a server, our end of the socket by which it lives, and what it was given."""

    def __init__(self, command: Sequence[str], folder: str | None = None) -> None:
        """Start it, in a folder that is not our own, if one is named. Raises OSError, ValueError for no folder."""
        variables, here = inherited()
        self.command = list(command)
        self.given: Inherited = variables, here if folder is None else os.path.realpath(folder)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # What it would say when it dies, a worker that is started in its place says too.
            self.process = subprocess.Popen(
                self.command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=variables,
                start_new_session=True,
            )
        except (OSError, ValueError):
            self.channel.close()
            raise
        finally:
            theirs.close()

    def drop(self) -> None:
        """End one that was asked nothing yet, and so has started nothing."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


_ahead: list[Started] = []
"""The one that nobody has taken yet."""


def begin(folder: str | None = None) -> None:
    """Start a server as it will probably be wanted, for a process that is going to work in `folder`."""
    if MAY_FORK:
        try:
            _ahead.append(Started(server_command(worker_command()), folder))
        except (OSError, ValueError):
            return  # whoever wants one will find out, and say so


def take(command: Sequence[str]) -> Started | None:
    """The server that was started ahead, where it is what this command would give now; else None."""
    if not _ahead:
        return None
    started = _ahead[-1]
    if started.command != list(command) or started.given != inherited() or started.process.poll() is not None:
        return None
    return _ahead.pop()


def drop() -> None:
    """End what nobody has taken."""
    while _ahead:
        _ahead.pop().drop()
