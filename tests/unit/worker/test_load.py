"""What attempts need is loaded ahead, and nothing else with it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def python(code: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_is_not_needed_is_not_loaded_and_can_be_later() -> None:
    code = """
import sys, os
from nbflow.worker import load
load.modules()
unwanted = {"pyarrow", "numpy", "rfc3987_syntax", "isoduration", "requests", "click", "boto3", "botocore"}
print("papermill" in sys.modules, unwanted & set(sys.modules))
print(len(os.listdir("/proc/self/task")))
"""
    assert python(code) == "True set()\n1"


def test_a_module_that_is_loaded_already_stays() -> None:
    code = """
import sys, types
mine = sys.modules["pyarrow"] = types.ModuleType("pyarrow")
from nbflow.worker import load
load.module("papermill")
print(sys.modules["pyarrow"] is mine)
"""
    assert python(code) == "True"


def test_pages_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbflow.worker import load

    calls: list[int] = []
    monkeypatch.setattr("nbflow.worker.publish.warm_up", lambda: calls.append(1))
    load.pages.cache_clear()
    load.pages()
    load.pages()
    assert calls == [1]


def test_an_attempt_finds_everything_loaded() -> None:
    """The modules that making and publishing a page takes are there, so that forked workers share them."""
    code = """
import os, sys
from nbflow.worker import load
load.modules()
load.pages()
assert "nbconvert" not in sys.modules
load.prose()
assert not {"bs4", "nbconvert.exporters"} & set(sys.modules)
print(len(os.listdir("/proc/self/task")))
before = set(sys.modules)
from nbflow.worker import attempt, recover, runner, engine, publish
publish.warm_up()
publish.warm_up("markdown")
print(sorted(set(sys.modules) - before))
"""
    assert python(code) == "1\n[]"
