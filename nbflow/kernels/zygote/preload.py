"""What a zygote loads before it forks: ipykernel with its late parts, then the modules that notebooks import.

A module is left out where a notebook could tell that it had been loaded before: it says something when it is imported,
it asks for the notebook's shell, it leaves a thread, a connection or an open file behind. That is found by trying; what
a module has done cannot be undone, so the zygote then begins anew without it. Standard library only. Must not know
sockets.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import importlib
import importlib.util
import locale
import logging
import os
import re
import signal
import site
import socket
import stat
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from typing import IO, Any

from . import system
from .deferred import Deferred

_LATE_PARTS = (
    "ipykernel.debugger",
    "ipykernel.displayhook",
    "ipykernel.heartbeat",
    "ipykernel.iostream",
    "debugpy.server.api",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "faulthandler",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
)
"""What ipykernel would load in each kernel once it is initialised."""
_DATABASE = b"SQLite format 3\0"
_QUIET_DEBUGGER = "PYDEVD_DISABLE_FILE_VALIDATION"


def load_kernel() -> Any:
    """ipykernel's application class. Raises ImportError where this environment has no ipykernel."""
    kept = dict(os.environ)
    # Else the debugger warns of Python's own modules, which are frozen. No kernel gets this variable.
    os.environ.setdefault(_QUIET_DEBUGGER, "1")
    from ipykernel.kernelapp import IPKernelApp

    for name in ("ipykernel.ipkernel", "ipykernel.zmqshell", *_LATE_PARTS):
        with contextlib.suppress(ImportError):  # versions differ in what they have
            importlib.import_module(name)
    if _QUIET_DEBUGGER not in kept:
        del os.environ[_QUIET_DEBUGGER]
    return IPKernelApp


def load_modules(names: list[str], deferred: Deferred) -> dict[str, str]:
    """Import modules; those that must not be loaded before a fork, with the reason.

    One that cannot be imported is left to the notebook, and is no fault.
    """
    faults: dict[str, str] = {}
    with _listening() as heard, _without_shell() as askers, deferred.noting():
        for name in names:
            if not is_third_party(name):
                continue
            threads, handles, state = system.unsafe_threads(), _handles(), _state(deferred)
            with contextlib.suppress(Exception, SystemExit), _showing_what_is_deprecated():
                __import__(name)
            reason = _reason(heard, askers) or _left_behind(threads, handles) or _changed(state, deferred)
            if reason is not None:
                faults[name] = reason
    return faults


@contextlib.contextmanager
def _showing_what_is_deprecated() -> Iterator[None]:
    """As IPython does to a notebook: where it is itself that imports."""
    warnings.filterwarnings("default", category=DeprecationWarning, module=re.escape(__name__))
    ours = warnings.filters[0]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a module has cleared them all
            warnings.filters.remove(ours)  # type: ignore[attr-defined]


def _state(deferred: Deferred) -> dict[str, Any]:
    """What a module may change for all others when it is imported."""
    umask = os.umask(0o077)
    os.umask(umask)
    root = logging.getLogger()
    return {
        "signal handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "hooks of the interpreter": [
            *(sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook),
            *(sys.gettrace(), sys.getprofile(), warnings.showwarning),
        ],
        "limits of the interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(), socket.getdefaulttimeout()),
        "how warnings are shown": [
            one for one in warnings.filters if one[1] is None and one[3] is None and one[2].__module__ == "builtins"
        ],
        "built-in names": dict(vars(builtins)),
        "sys.path": list(sys.path),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the root logger": (root.level, list(root.handlers), logging.root.manager.disable),
        "the working directory or umask": (os.getcwd(), umask),
        "the seed of numpy's common generator": _is_numpy_seeded(),
        "the seed of Python's common generator": deferred.seedings,
    }


def _is_numpy_seeded() -> bool:
    """Whether somebody has called `numpy.random.seed`."""
    bits = getattr(getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None), "_bit_generator", None)
    return bits is not None and getattr(bits, "_seed_seq", True) is None


def _changed(before: dict[str, Any], deferred: Deferred) -> str | None:
    now = _state(deferred)
    found = [name for name, value in before.items() if now[name] != value]
    return f"it changes {found[0]} when it is imported" if found else None


def is_third_party(name: str) -> bool:
    """Whether a module is of an installed package: what a project itself holds may change, and is the notebook's."""
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(name.partition(".")[0])
        if spec is not None:
            places = [spec.origin, *(spec.submodule_search_locations or [])]
            return any(place is not None and place.startswith(tuple(_installed())) for place in places)
    return False


def stamp() -> dict[str, int]:
    """When packages were last installed or removed, by the folder they are in."""
    found = {}
    for path in _installed():
        with contextlib.suppress(OSError):  # not every folder is there
            found[path] = os.stat(path).st_mtime_ns
    return found


def _installed() -> list[str]:
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return [f"{path}{os.sep}" for path in {*paths, site.getusersitepackages()} if path]


def _reason(heard: IO[bytes], askers: list[str]) -> str | None:
    """What the module that was just imported has said or asked for."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if heard.seek(0, os.SEEK_END):
        heard.truncate(0)
        return "it prints something when it is imported"
    if askers:
        askers.clear()
        return "it asks for the notebook's shell when it is imported"
    return None


def _left_behind(threads: list[str], handles: dict[str, str]) -> str | None:
    """What there is now, and was not before, that a fork would not take along."""
    if len(system.unsafe_threads()) > len(threads):
        _fork_once()  # libraries that know of forks end their threads before one
        found = system.unsafe_threads()
        if len(found) > len(threads):
            return f"it leaves a thread behind ({found[-1]})"
    return next((reason for handle, reason in _handles().items() if handle not in handles), None)


def _fork_once() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _handles() -> dict[str, str]:
    """Open descriptors that parent and child must not share, with the reason for who leaves one."""
    found = {}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            mode = os.stat(f"/proc/self/fd/{descriptor}").st_mode
            if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or target.startswith("anon_inode:"):
                found[f"{descriptor} {target}"] = "it leaves a connection open"
            elif stat.S_ISREG(mode) and _is_written(int(descriptor)):
                found[f"{descriptor} {target}"] = f"it leaves a file open ({target})"
    return found


def _is_written(descriptor: int) -> bool:
    """Whether a file is open for writing, or a database, which has locks besides."""
    access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    return access != os.O_RDONLY or os.pread(descriptor, len(_DATABASE), 0) == _DATABASE


@contextlib.contextmanager
def _listening() -> Iterator[IO[bytes]]:
    """What is written to stdout and stderr meanwhile."""
    kept = [os.dup(1), os.dup(2)]
    with open(os.memfd_create("heard"), "w+b") as file:
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.dup2(file.fileno(), number)
        try:
            yield file
        finally:
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


@contextlib.contextmanager
def _without_shell() -> Iterator[list[str]]:
    """Note each look for IPython's shell, which every kernel has and the zygote has not."""
    from IPython.core.interactiveshell import InteractiveShell

    askers: list[str] = []

    def initialized(_: type) -> bool:
        askers.append(str(sys._getframe(1).f_globals.get("__name__")))
        return False

    kept = InteractiveShell.__dict__.get("initialized")
    setattr(InteractiveShell, "initialized", classmethod(initialized))  # noqa: B010 - mypy calls it a method
    try:
        yield askers
    finally:
        if kept is None:
            del InteractiveShell.initialized
        else:
            setattr(InteractiveShell, "initialized", kept)  # noqa: B010
