"""Where and with what a run is made: git commit, versions, host. For people and the manifest; nothing depends on it."""

from __future__ import annotations

import platform
import socket
import subprocess
from typing import Any

from nbflow.version import __version__

_GIT_SECONDS = 5.0


def gather(root: str) -> dict[str, Any]:
    """Facts about this process and the project's folder, as JSON."""
    return {
        "nbflow": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "git": _git(root),
    }


def _git(root: str) -> dict[str, Any] | None:
    """The commit of the project's folder and whether tracked files differ from it; None where there is none."""
    commit = _ask(root, "rev-parse", "HEAD")
    if commit is None or commit.returncode != 0:
        return None
    changed = _ask(root, "diff-index", "--quiet", "HEAD", "--")
    return {"commit": commit.stdout.strip(), "dirty": changed is None or changed.returncode != 0}


def _ask(root: str, *command: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            ["git", "-C", root, *command], capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
