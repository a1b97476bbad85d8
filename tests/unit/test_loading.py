"""Imports without what is loaded for nothing."""

from __future__ import annotations

import sys
import types

import pytest

from nbflow.loading import without


def test_an_import_fails_inside_and_works_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    monkeypatch.setattr("sys.stdout", None)  # `this` prints
    with pytest.raises(ModuleNotFoundError), without(("this",)):
        import this
    assert "this" not in sys.modules
    import this  # noqa: F401


def test_what_is_loaded_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = types.ModuleType("pyarrow")
    monkeypatch.setitem(sys.modules, "pyarrow", mine)
    with without():
        assert sys.modules["pyarrow"] is mine
    assert sys.modules["pyarrow"] is mine
