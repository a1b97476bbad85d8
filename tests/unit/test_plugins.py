"""Adapters by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from nbflow import plugins
from nbflow.errors import UsageError


def test_own_executors_are_entry_points() -> None:
    assert "local" in plugins.names(plugins.EXECUTORS)
    assert plugins.factory(plugins.EXECUTORS, "local").__name__ == "LocalExecutor"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        plugins.factory(plugins.EXECUTORS, "lokal")
    assert caught.value.hint == "did you mean 'local'?"


@pytest.mark.parametrize(
    ("value", "reason"),
    [("no_such_module:Executor", "No module named 'no_such_module'"), ("json:Nothing", "no attribute 'Nothing'")],
)
def test_an_entry_point_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    points = [EntryPoint(name="hpc", value=value, group=plugins.EXECUTORS)]
    monkeypatch.setattr(plugins, "entry_points", lambda **_: points)
    with pytest.raises(UsageError, match="entry point 'hpc'") as caught:
        plugins.factory(plugins.EXECUTORS, "hpc")
    assert value in caught.value.message
    assert reason in caught.value.message
