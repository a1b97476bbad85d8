"""How a notebook ended itself: the status that a shell notes, and a shell that is gone without a word."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nbflow.kernels.leaving import Leaving, Left


def bash(folder: Path, *lines: str) -> Leaving:
    """What is known after a Bash has run the prelude and then the lines."""
    leaving = Leaving(str(folder))
    source = leaving.prelude("bash_kernel")
    assert source is not None
    assert "\n" not in source
    subprocess.run(["bash", "--norc"], input="\n".join([source, *lines, ""]).encode(), check=False, timeout=60)
    return leaving


@pytest.mark.parametrize(
    ("line", "status"), [("exit 3", 3), ("exit", 0), ("set -e; false; true", 1), ("exec false", None)]
)
def test_the_status_of_a_bash(tmp_path: Path, line: str, status: int | None) -> None:
    assert bash(tmp_path, line).left() == Left(status=status)


def test_a_bash_that_was_killed_or_has_a_trap_of_its_own(tmp_path: Path) -> None:
    assert bash(tmp_path, "kill -9 $$").left() == Left(status=None)
    assert bash(tmp_path, "trap true EXIT", "exit 3").left() == Left(status=None)


def test_a_folder_with_a_name_that_needs_quotes(tmp_path: Path) -> None:
    folder = tmp_path / "it's $(one) ě"
    folder.mkdir()
    assert bash(folder, "exit 3").left() == Left(status=3)


def test_a_bash_that_lives(tmp_path: Path) -> None:
    leaving = Leaving(str(tmp_path))
    source = leaving.prelude("bash_kernel")
    with subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"{source}\n(exit 4)\necho there\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "there\n"
        assert leaving.left() is None
        shell.kill()
        shell.stdin.close()
        shell.wait()
        assert leaving.left() == Left(status=None)


def test_other_kernels_need_nothing(tmp_path: Path) -> None:
    leaving = Leaving(str(tmp_path))
    assert leaving.prelude("ipython") is None
    assert leaving.prelude(None) is None
    assert leaving.left() is None
    assert "quit" in str(leaving.prelude("IRkernel"))
