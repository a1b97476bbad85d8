"""What is recorded of where an attempt runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nbflow.kernels.specs import KernelSpec
from nbflow.worker import surroundings as sr

ARGV = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
PYTHON = KernelSpec(name="python3", display_name="Python 3", language="python", argv=ARGV)
BASH = KernelSpec(name="bash", display_name="Bash", language="bash", argv=(sys.executable, "-m", "bash_kernel"))


def test_a_python_kernel_has_packages() -> None:
    found = sr.surroundings(PYTHON)
    assert found["interpreter"] == sys.executable
    assert found["packages"]["papermill"]
    assert found == json.loads(json.dumps(found))


def test_others_have_none() -> None:
    assert sr.packages_of(BASH) == {}
    assert sr.surroundings(None)["interpreter"] is None


def test_the_zone_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "cs_CZ.UTF-8")
    found = sr.surroundings(None)
    assert (found["timezone"], found["locale"]) == ("Asia/Tokyo", "cs_CZ.UTF-8")


@pytest.mark.parametrize(
    ("target", "zone"), [("/usr/share/zoneinfo/Europe/Prague", "Europe/Prague"), ("/etc/elsewhere", None)]
)
def test_the_zone_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, zone: str | None
) -> None:
    link = tmp_path / "localtime"
    link.symlink_to(target)
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(sr, "_LOCALTIME", link)
    monkeypatch.setattr(sr.time, "tzname", ("XYZ", "XYZ"))
    assert sr.surroundings(None)["timezone"] == (zone or "XYZ")


def test_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sr.packages_of(PYTHON)
    assert sr.changed_packages(PYTHON, before) == {}
    assert sr.changed_packages(PYTHON, {**before, "gone": "1"}) == {"gone": ("1", None)}
    many = {f"p{number}": (None, "1") for number in range(7)}
    assert sr.say_changes({"six": ("1", "2"), "gone": ("1", None)}) == (
        "installed packages changed while the notebook ran: six 1 -> 2, gone 1 -> gone"
    )
    assert sr.say_changes(many).endswith("p4 was not there -> 1 and 2 more")
