"""With what status a notebook of another language ended itself: two kernels that hide it are made to note it.

bash_kernel starts a new Bash where a cell has ended the old one (`exit 3`, or a command that fails under `set -e`), and
says that all is well; IRkernel drops the status of `quit(status = 3)`. Each is given a few lines of its own language
before the first cell, which write the status to a file in the kernel's private folder. Must not know cells or attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nbflow.core.literals_bash import quoted
from nbflow.core.literals_r import assignments

_BASH = "printf %s $$ > {shell}; trap {trap} EXIT"
_TRAP = "printf %s $? > {status}"
_R = """
attach(local({{
  {status}
  quit <- function(save = "default", status = 0, runLast = TRUE) {{
    cat(as.integer(status), file = status_file)
    base::quit(save, status, runLast)
  }}
  list(quit = quit, q = quit)
}}), name = "nbflow", warn.conflicts = FALSE)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A notebook has ended itself. `status` is None where what ran it went without a word: killed, or replaced."""

    status: int | None


class Leaving:
    """Watches one kernel, whose private folder is `folder`."""

    def __init__(self, folder: str) -> None:
        self._status = Path(folder) / "status"
        self._shell = Path(folder) / "shell"
        self._process: Any | None = None

    def prelude(self, implementation: object) -> str | None:
        """What the kernel runs in silence before the first cell; None where there is no need."""
        match implementation:
            case "bash_kernel":
                trap = _TRAP.format(status=quoted(str(self._status)))
                return _BASH.format(shell=quoted(str(self._shell)), trap=quoted(trap))
            case "IRkernel":
                (line,) = assignments({"status_file": PurePosixPath(self._status)})
                return _R.format(status=line)
            case _:
                return None

    def left(self) -> Left | None:
        """Whether the notebook has ended itself by now. Ask it after each cell."""
        if (status := _number(self._status)) is not None:
            return Left(status=status)
        return Left(status=None) if self._is_shell_gone() else None

    def _is_shell_gone(self) -> bool:
        import psutil

        if self._process is None:
            pid = _number(self._shell)
            if pid is None:
                return False
            try:
                self._process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                return True
        try:
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        return None
