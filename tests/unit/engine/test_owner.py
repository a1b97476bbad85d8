"""Who owns a run, and whether it lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbflow.core.owners import describe
from nbflow.engine import owner as module
from nbflow.engine.owner import is_alive, this_process


def test_this_process_lives() -> None:
    assert is_alive(this_process())
    assert describe(this_process()).startswith(f"process {os.getpid()} on ")
    assert ", since 20" in describe(this_process())


def test_a_dead_process_does_not() -> None:
    code = "from nbflow.engine.owner import this_process; print(this_process())"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert not is_alive(owner)


def test_a_zombie_does_not() -> None:
    code = "from nbflow.engine.owner import this_process; print(this_process(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        owner = child.stdout.read().strip()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(owner)


def parts() -> tuple[str, str, str, str, str]:
    """This process as an owner: host, pid, when it began, which start of the machine, which namespace of pids."""
    host, pid, start = this_process().rsplit(":", 2)
    began, boot, space = start.partition("@")[0].split(".")
    return host, pid, began, boot, space


def test_a_process_that_got_the_same_pid_is_another() -> None:
    host, pid, began, boot, space = parts()
    assert is_alive(f"{host}:{pid}:{began}1.{boot}.{space}@0") is False


def test_the_clock_on_the_wall_does_not_matter() -> None:
    host, pid, began, boot, space = parts()
    for instant in ("@0", "@99999999999", ""):
        assert is_alive(f"{host}:{pid}:{began}.{boot}.{space}{instant}")


def test_of_a_container_with_the_name_of_its_host_nothing_is_known() -> None:
    host, _, began, boot, space = parts()
    assert is_alive(f"{host}:999999999:{began}.{boot}.{int(space) + 1}@0") is None
    assert is_alive(f"{host}:999999999:{began}.{boot}.{space}@0") is False


@pytest.mark.parametrize("pid", ["999999999", "1", None])
def test_of_another_machine_of_the_same_name_nothing_is_known(pid: str | None) -> None:
    """It may as well be this one before it was started anew: copies of a machine share all that is on its disk."""
    host, ours, began, _, space = parts()
    assert is_alive(f"{host}:{pid or ours}:{began}.4f4e7e5c-1d5b-4d0e-9d6a-5a1f6f4f3b2a.{space}@0") is None


def test_a_machine_is_known_by_its_start_also_where_the_system_gives_that_no_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("_BOOT", "_SPACE"):
        monkeypatch.setattr(module, name, tmp_path / "missing")
    host, pid, start = this_process().rsplit(":", 2)
    began, boot, space = start.partition("@")[0].split(".")
    assert (boot, space) == (f"{psutil.boot_time():.0f}", "")
    assert is_alive(f"{host}:{pid}:{start}")
    assert is_alive(f"{host}:{pid}:{began}.{int(boot) + 1}.@0") is None


def test_of_another_host_nothing_is_known() -> None:
    _, pid, began, boot, space = parts()
    assert is_alive(f"elsewhere:{pid}:{began}.{boot}.{space}") is None
    assert is_alive("elsewhere:1:2") is None


@pytest.mark.parametrize("owner", ["", "x", "x:1", "a:b:c:d"])
def test_nor_of_what_has_no_such_form(owner: str) -> None:
    assert is_alive(owner) is None


def test_what_is_no_pid_is_not_alive() -> None:
    host, _, began, boot, space = parts()
    assert is_alive(f"{host}:x:{began}.{boot}.{space}") is False
