"""Adapters by name."""

from __future__ import annotations

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
