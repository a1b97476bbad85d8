"""The half of a kernel that is made before the fork, so that all kernels share it: application, settings and shell.

What belongs to one kernel alone (its sockets, its folders, its working directory) is made after the fork. Standard
library and ipykernel only. Must not know how kernels are asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

_WITHOUT_DATABASE = {"HistoryManager": {"enabled": False}}
"""In and Out are kept all the same; what is left out is a database of earlier sessions, which a kernel has none of."""
_DONE_BEFORE = (
    "parse_command_line",
    "init_crash_handler",
    "init_profile_dir",
    "init_config_files",
    "load_config_file",
    "update_config",
)
"""Parts of an application's start that need not, or must not, be done again after the fork."""


class Begun:
    """ipykernel's application with its shell, as far as they can be made for all kernels at once.

    `folder` is where IPython has its files meanwhile; a kernel gets a folder of its own. `modules` are the names of
    those that are loaded, as of the last `note_modules`. Raises what ipykernel raises.
    """

    def __init__(self, application: Any, folder: str) -> None:
        from IPython.core.application import BaseIPythonApplication
        from traitlets.config import Config

        with _ipython_folder(folder):
            self._app = app = application.instance(config=Config(_WITHOUT_DATABASE))
            app.parse_command_line = _nothing  # said above; to build a parser takes a fifth of the whole
            BaseIPythonApplication.initialize(app, [])  # type: ignore[no-untyped-call]
            kind = app.kernel_class
            self._shell = kind.shell_class.default_value.instance(
                parent=app,
                profile_dir=app.profile_dir,
                user_module=None,
                user_ns=app.user_ns,
                compiler_class=kind.compiler_class.default_value,
            )
        atexit.unregister(self._shell.atexit_operations)
        self.modules = set(sys.modules)
        self._count = len(sys.modules)
        self._files = [one.__file__ for one in sys.modules.values() if getattr(one, "__file__", None)]

    def finish(self, connection_file: str) -> Any:
        """In the kernel's process: the application, all but started."""
        app = self._app
        app.connection_file = connection_file
        app.log_connection_info = _nothing  # how to connect from a terminal: nobody is to
        self._move()
        init_kernel, init_code = app.init_kernel, app.init_code

        def make_kernel() -> None:
            from ipykernel import ipkernel

            with _without_modules(ipkernel):
                init_kernel()
            self._adopt(app.kernel)

        def run_code() -> None:
            from IPython.core import shellapp

            with _without_modules(shellapp):
                init_code()
            self._shell._sys_modules_keys = self.note_modules()

        parts = {**dict.fromkeys(_DONE_BEFORE, _nothing), "init_kernel": make_kernel, "init_code": run_code}
        vars(app).update(parts)
        app.initialize([])
        for name in parts:
            delattr(app, name)
        return app

    def note_modules(self) -> set[str]:
        """The names of all modules that are loaded now. To go through those of the zygote would copy their pages."""
        self.modules.update(islice(reversed(sys.modules), max(0, len(sys.modules) - self._count)))
        self._count = len(sys.modules)
        return self.modules

    def _move(self) -> None:
        """Let IPython have its files in this kernel's folder, and its variables in this kernel's environment."""
        from IPython.core.profiledir import ProfileDir
        from IPython.paths import get_ipython_dir

        app, shell = self._app, self._shell
        app.ipython_dir = get_ipython_dir()
        profile: Any = ProfileDir
        app.profile_dir = profile.create_profile_dir_by_name(app.ipython_dir, app.profile, app.config)
        shell.ipython_dir, shell.profile_dir = app.ipython_dir, app.profile_dir
        shell.init_environment()

    def _adopt(self, kernel: Any) -> None:
        """Make the shell the one of a kernel that was made after it."""
        shell = self._shell
        shell.parent = shell.kernel = kernel
        kernel._kernel_modules = self._files
        debugger = getattr(kernel, "debugger", None)
        if debugger is not None:
            debugger.kernel_modules = self._files
        state = shell._orig_sys_module_state
        state.update(stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr, excepthook=sys.excepthook)
        atexit.register(shell.atexit_operations)  # in its turn: after what the application has registered


class _NoModules:
    """`sys` without its modules."""

    modules: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


@contextlib.contextmanager
def _without_modules(module: Any) -> Iterator[None]:
    """Keep a module from going through all others: that copies the page that each of them is on, 5 MB in all."""
    module.sys = _NoModules()
    try:
        yield
    finally:
        module.sys = sys


@contextlib.contextmanager
def _ipython_folder(folder: str) -> Iterator[None]:
    """Let IPython have its files in a folder, and leave the environment as it was: kernels change it themselves."""
    kept = dict(os.environ)
    os.environ["IPYTHONDIR"] = folder
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _nothing(*_: Any) -> None:
    """In place of what was done before the fork."""
