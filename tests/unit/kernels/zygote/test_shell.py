"""What kernels share of their first half, and what each of them has for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config

from nbflow.kernels.zygote.shell import Begun
from nbflow.kernels.zygotes import Zygote
from support.zygotes import is_gone, kernel, private_runtime, until, zygote


@pytest.fixture(scope="module")
def shared() -> Iterator[Zygote]:
    with private_runtime(), zygote("numpy", reserve=2) as made:
        yield made


def test_each_has_its_own_session_and_folders(shared: Zygote) -> None:
    ask = "[app.session.session, app.session.key.decode(), app.ipython_dir, app.profile_dir.location]"
    with kernel(shared) as one, kernel(shared) as other:
        found = []
        for asked in (one, other):
            asked.run("from ipykernel.kernelapp import IPKernelApp; app = IPKernelApp.instance()")
            found.append(asked.value(ask))
            assert asked.value("app.ipython_dir") == str(asked.folder / "ipython")
            assert asked.value("app.profile_dir.location.startswith(app.ipython_dir)")
            assert asked.value("[get_ipython().ipython_dir, get_ipython().profile_dir.location]") == found[-1][2:]
        assert not set(found[0]) & set(found[1])


def test_what_one_stores_no_other_finds(shared: Zygote) -> None:
    with kernel(shared) as one:
        one.run("kept = 41\n%store kept\n%alias_magic hours time")
    with kernel(shared) as other:
        assert "no stored variable" in other.run("%store -r kept")
        assert not other.value("'hours' in get_ipython().magics_manager.magics['line']")


def test_the_shell_knows_its_kernel(shared: Zygote) -> None:
    with kernel(shared) as one:
        one.run("shell = get_ipython(); kernel = shell.kernel")
        assert one.value("kernel.shell is shell and shell.parent is kernel and kernel.parent.shell is shell")
        assert one.value("__import__('sys').modules['__main__'] is shell.user_module")
        assert one.value("shell.user_ns is globals()")
        assert one.value("[type(shell.config).__name__, shell.config == kernel.config]") == ["Config", True]


def test_libraries_see_a_notebook(shared: Zygote) -> None:
    """They look for this setting, which an ordinary kernel has from its command line."""
    with kernel(shared) as one:
        one.run("from ipykernel.kernelapp import IPKernelApp; settings = get_ipython().config['IPKernelApp']")
        assert one.value("settings['connection_file']") == str(one.folder / "k.json")
        assert one.value("IPKernelApp.instance().config['IPKernelApp'] == settings")


class Store:
    """What a shell keeps variables in; versions of IPython that make it with the shell have it in `db`."""

    def __init__(self, path: str) -> None:
        self.path = path


def test_a_store_that_was_made_with_the_shell_moves_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    begun: Any = object.__new__(Begun)
    begun._app = SimpleNamespace(profile="default", config=Config())
    begun._shell = SimpleNamespace(init_environment=lambda: None, db=Store("of the zygote"))
    begun._move()
    assert isinstance(begun._shell.db, Store)
    assert begun._shell.db.path == str(tmp_path / "profile_default" / "db")


def test_it_knows_the_modules_that_there_were(shared: Zygote) -> None:
    """By them the debugger tells a notebook's own code, and `%reset --aggressive` what it has imported."""
    with kernel(shared) as one:
        one.run("import sys, numpy; kernel = get_ipython().kernel")
        assert one.value("numpy.__file__ in kernel._kernel_modules")
        assert one.value("kernel.debugger.kernel_modules is kernel._kernel_modules")
        one.run("import colorsys\n%reset -f --aggressive")
        assert one.run("import sys; print('colorsys' in sys.modules, 'numpy' in sys.modules)") == "False True"


@pytest.mark.parametrize("out", ["", "del sys.modules['colorsys']", "del sys.modules['json']; import json"])
def test_it_knows_what_the_notebook_has_loaded(shared: Zygote, tmp_path: Path, out: str) -> None:
    """Those get their chance to close what they have open; the others are the zygote's."""
    for name in ("first", "second"):
        source = (
            "class Left:\n    def __init__(self, name):\n        self.name = name\n"
            "    def __del__(self):\n        open(self.name, 'w').write('closed')\n"
            f"left = Left({name!r})\n"
        )
        (tmp_path / f"{name}_own.py").write_text(source, "utf-8")
    with kernel(shared, cwd=str(tmp_path)) as one:
        one.run(f"import sys, colorsys, first_own\n{out}\nimport second_own")
        one.client.shell_channel.send(one.client.session.msg("shutdown_request", {"restart": False}))
        until(lambda: is_gone(one.pid))
    assert [(tmp_path / name).read_text() for name in ("first", "second")] == ["closed", "closed"]


def test_at_its_end_objects_still_have_the_shell(shared: Zygote, tmp_path: Path) -> None:
    with kernel(shared, cwd=str(tmp_path)) as one:
        one.run(
            "import atexit\n"
            "def leave():\n"
            "    open('left', 'w').write(f'{get_ipython() is not None} {get_ipython().user_ns is globals()}')\n"
            "atexit.register(leave)"
        )
        one.client.shell_channel.send(one.client.session.msg("shutdown_request", {"restart": False}))
        until(lambda: is_gone(one.pid))
    assert (tmp_path / "left").read_text() == "True True"
