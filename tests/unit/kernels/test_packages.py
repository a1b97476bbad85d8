"""Packages of a Python, read from outside: the same as that Python itself says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from nbflow.kernels.packages import installed_packages, package_changes, package_folders


def describe(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)


def venv(root: Path, *names: str, **settings: str) -> str:
    """A virtual environment, as far as it matters here; the path of its program."""
    describe(root / "lib/python3.12/site-packages", *names)
    (root / "bin").mkdir()
    program = root / "bin/python"
    program.symlink_to(os.path.realpath(sys.executable))
    keys = {"home": str(Path(sys.executable).resolve().parent), **settings}
    (root / "pyvenv.cfg").write_text("".join(f"{key} = {value}\n" for key, value in keys.items()))
    return str(program)


def test_this_python() -> None:
    found = installed_packages(package_folders(sys.executable, os.environ))
    assert found["papermill"]
    said = {one.metadata["Name"].lower().replace("_", "-").replace(".", "-"): one.version for one in distributions()}
    assert {name: version for name, version in found.items() if name in said} == {
        name: version for name, version in said.items() if name in found
    }
    assert len(set(said) - set(found)) == 0
    assert list(found) == sorted(found)


def test_another_python_says_the_same_of_itself() -> None:
    program = os.path.realpath(sys.executable)
    if Path(program).parent == Path(sys.executable).parent:
        pytest.skip("this Python is no virtual environment")
    code = "import importlib.metadata as m, json; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"
    done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=True)
    said = {name.lower().replace("_", "-").replace(".", "-") for name in json.loads(done.stdout)}
    assert set(installed_packages(package_folders(program, os.environ))) == said


def test_a_virtual_environment_has_its_own(tmp_path: Path) -> None:
    program = venv(tmp_path / "env", "Six-1.17.0.dist-info", "zope.interface-7.1-py3.12.egg-info")
    assert installed_packages(package_folders(program, {})) == {"six": "1.17.0", "zope-interface": "7.1"}


def test_a_virtual_environment_that_sees_the_system_has_more(tmp_path: Path) -> None:
    program = venv(tmp_path / "env", "six-1.dist-info", **{"include-system-site-packages": "true"})
    folders = package_folders(program, {})
    assert folders[0] == tmp_path / "env/lib/python3.12/site-packages"
    assert any(not folder.is_relative_to(tmp_path) for folder in folders[1:])


def test_the_first_place_counts(tmp_path: Path) -> None:
    describe(tmp_path / "given", "six-2.0.dist-info")
    program = venv(tmp_path / "env", "six-1.0.dist-info")
    assert installed_packages(package_folders(program, {"PYTHONPATH": str(tmp_path / "given")})) == {"six": "2.0"}


def test_what_is_no_package(tmp_path: Path) -> None:
    describe(tmp_path, "six", "~ix-1.0.dist-info", "linked.egg-info", "six-1.0", "-1.0.dist-info")
    (tmp_path / "file.zip").write_bytes(b"")
    assert installed_packages([tmp_path, tmp_path / "file.zip", tmp_path / "gone"]) == {}


def test_a_program_that_is_none() -> None:
    assert package_folders("/no/such/python", {}) == ()
    assert installed_packages(package_folders("/bin/sh", {})) == {}


def test_changes() -> None:
    before, after = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert package_changes(before, after) == {"b": ("1", "2"), "c": ("1", None), "d": (None, "1")}
