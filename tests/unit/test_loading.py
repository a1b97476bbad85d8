"""Imports without what is loaded for nothing, or put off until it is used."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbflow.loading import without


def test_an_import_fails_inside_and_works_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    monkeypatch.setattr("sys.stdout", None)  # `this` prints
    with pytest.raises(ModuleNotFoundError), without(("this",)):
        import this
    assert "this" not in sys.modules
    import this  # noqa: F401


def test_another_thread_imports_as_ever(module: str) -> None:
    """What leads to object storage is loaded while notebooks are read."""
    with ThreadPoolExecutor(1) as other, without((module,)):
        assert other.submit(importlib.import_module, module).result() is sys.modules[module]
        del sys.modules[module]
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(module)


def test_a_package_may_do_without_a_module_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "partly").mkdir()
    source = "try:\n    from . import extra\nexcept ModuleNotFoundError:\n    extra = None\n"
    (tmp_path / "partly/__init__.py").write_text(source)
    (tmp_path / "partly/extra.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with without(("partly.extra",)):
        assert importlib.import_module("partly").extra is None
    del sys.modules["partly"]
    assert importlib.import_module("partly").extra is not None


def test_what_is_loaded_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = types.ModuleType("pyarrow")
    monkeypatch.setitem(sys.modules, "pyarrow", mine)
    with without():
        assert sys.modules["pyarrow"] is mine
    assert sys.modules["pyarrow"] is mine


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that has not been loaded."""
    (tmp_path / "put_off.py").write_text("import sys\nloaded = [name for name in sys.modules if name == __name__]\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "put_off"
    sys.modules.pop("put_off", None)


def test_what_is_put_off_is_loaded_when_it_is_used(module: str) -> None:
    with without(later=(module,)):
        early = importlib.import_module(module)
    assert module not in sys.modules
    assert early.loaded == [module]
    assert sys.modules[module].loaded is early.loaded


def test_what_is_put_off_is_loaded_at_once_where_it_is_used_at_once(module: str) -> None:
    with without(later=(module,)):
        assert importlib.import_module(module).loaded == [module]
    assert sys.modules[module].loaded == [module]


def test_what_is_put_off_and_does_not_exist_fails_when_it_is_used() -> None:
    with without(later=("no_such_module",)):
        early = importlib.import_module("no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        _ = early.anything
