"""The half of a kernel that is made before the fork, so that all kernels share it: application, settings and shell.

What belongs to one kernel alone (its sockets, its folders, its working directory) is made after the fork. Standard
library and ipykernel only. Must not know how kernels are asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

_SETTINGS = {"HistoryManager": {"enabled": False}, "IPKernelApp": {"connection_file": ""}}
"""In and Out are kept all the same; what is left out is a database of earlier sessions, which a kernel has none of.
By a setting of IPKernelApp libraries tell a notebook from a terminal."""
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

    `folder` is where IPython has its files meanwhile; a kernel gets a folder of its own. Raises what ipykernel raises.
    """

    def __init__(self, application: Any, folder: str) -> None:
        from ipykernel.compiler import XCachingCompiler
        from IPython.core.application import BaseIPythonApplication
        from traitlets.config import Config

        with _ipython_folder(folder):
            self._app = app = application.instance(config=Config(_SETTINGS))
            app.parse_command_line = _nothing  # said above; to build a parser takes a fifth of the whole
            BaseIPythonApplication.initialize(app, [])  # type: ignore[no-untyped-call]
            app.kernel_class = kind = _without_subshells(app.kernel_class)
            self._shell = kind.shell_class.default_value.instance(
                parent=app,
                profile_dir=app.profile_dir,
                user_module=None,
                user_ns=app.user_ns,
                compiler_class=XCachingCompiler,
            )
        atexit.unregister(self._shell.atexit_operations)
        _remember_signatures()
        self._modules = set(sys.modules)
        self._count, self._newest = len(sys.modules), next(reversed(sys.modules))
        self._files = [one.__file__ for one in sys.modules.values() if getattr(one, "__file__", None)]

    def finish(self, connection_file: str) -> Any:
        """In the kernel's process: the application, all but started."""
        app = self._app
        app.connection_file = app.config["IPKernelApp"]["connection_file"] = connection_file
        app.log_connection_info = _nothing  # how to connect from a terminal: nobody is to
        self._move()
        init_control, init_kernel, init_code = app.init_control, app.init_kernel, app.init_code

        def make_control(context: Any) -> None:
            from ipykernel import kernelapp

            with _with(kernelapp, "ShellChannelThread", _NoThread):
                init_control(context)

        def make_kernel() -> None:
            from ipykernel import ipkernel

            with _with(ipkernel, "sys", _NO_MODULES):
                init_kernel()
            self._adopt(app.kernel)

        def run_code() -> None:
            from IPython.core import shellapp

            with _with(shellapp, "sys", _NO_MODULES):
                init_code()
            self._shell._sys_modules_keys = self.note_modules()

        parts = {"init_control": make_control, "init_kernel": make_kernel, "init_code": run_code}
        parts.update(dict.fromkeys(_DONE_BEFORE, _nothing))
        vars(app).update(parts)
        app.initialize([])
        app.log.setLevel(app.log_level)  # else each cell makes records that its handler then drops
        for name in parts:
            delattr(app, name)
        return app

    def note_modules(self) -> set[str]:
        """The names of all modules that are loaded now. To go through those of the zygote would copy their pages."""
        self._modules.update(self._new_names())
        self._count, self._newest = len(sys.modules), next(reversed(sys.modules))
        return self._modules

    def own_modules(self) -> list[Any]:
        """What was loaded since modules were last noted, newest first."""
        return [sys.modules[name] for name in self._new_names()]

    def _new_names(self) -> list[str]:
        names = list(islice(reversed(sys.modules), max(0, len(sys.modules) - self._count) + 1))
        if names[-1:] == [self._newest]:
            return names[:-1]
        return [name for name in reversed(sys.modules) if name not in self._modules]  # some have been taken out

    def _move(self) -> None:
        """Let IPython have its files in this kernel's folder, and its variables in this kernel's environment."""
        from IPython.core.profiledir import ProfileDir
        from IPython.paths import get_ipython_dir

        app, shell = self._app, self._shell
        app.ipython_dir = get_ipython_dir()
        profile: Any = ProfileDir
        app.profile_dir = profile.create_profile_dir_by_name(app.ipython_dir, app.profile, app.config)
        shell.ipython_dir, shell.profile_dir = app.ipython_dir, app.profile_dir
        if (store := vars(shell).get("db")) is not None:  # most versions make it with the shell
            shell.db = type(store)(os.path.join(app.profile_dir.location, "db"))
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


def _without_subshells(kind: Any) -> Any:
    """A class of kernels that reads its messages itself: a notebook has one shell, and needs no thread between."""
    if not hasattr(kind, "_supports_kernel_subshells"):
        return kind
    return type(kind.__name__, (kind,), {"_supports_kernel_subshells": False, "__module__": kind.__module__})


def _remember_signatures() -> None:
    """ipykernel looks at each cell anew at what parameters the shell's method for cells takes."""
    import ipykernel.ipkernel

    module: Any = ipykernel.ipkernel
    look = getattr(module, "_accepts_parameters", None)
    if look is None:
        return
    known: dict[Any, Any] = {}

    def accepts(method: Any, names: list[str]) -> Any:
        key = (getattr(method, "__func__", method), *names)
        if key not in known:
            known[key] = look(method, names)
        return known[key]

    module._accepts_parameters = accepts


class _NoThread:
    """In place of the thread that gives messages to subshells. ipykernel asks it for the one that it belongs to."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


class _NoModules:
    """`sys` without its modules: to go through them copies the page that each of them is on, 5 MB in all."""

    modules: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


_NO_MODULES = _NoModules()


@contextlib.contextmanager
def _with(module: Any, name: str, other: Any) -> Iterator[None]:
    """Let a module have something else under a name for a while."""
    kept = getattr(module, name, other)
    setattr(module, name, other)
    try:
        yield
    finally:
        setattr(module, name, kept)


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
