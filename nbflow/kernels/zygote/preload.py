"""What a zygote loads before it forks: ipykernel with its late parts, then the modules that notebooks import.

A module is left out where a notebook could tell that it had been loaded before: it says something when it is imported,
it asks for the notebook's shell, it leaves a thread or a connection behind. That is found by trying; what a module
has done cannot be undone, so the zygote then begins anew without it. Standard library only. Must not know sockets.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import site
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from . import system

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


def load_kernel() -> Any:
    """ipykernel's application class. Raises ImportError where this environment has no ipykernel."""
    # Else the debugger warns of Python's own modules, which are frozen. No kernel gets this variable.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    from ipykernel.kernelapp import IPKernelApp

    for name in ("ipykernel.ipkernel", "ipykernel.zmqshell", *_LATE_PARTS):
        with contextlib.suppress(ImportError):  # versions differ in what they have
            importlib.import_module(name)
    return IPKernelApp


def load_modules(names: list[str]) -> dict[str, str]:
    """Import modules; those that must not be loaded before a fork, with the reason.

    One that cannot be imported is left to the notebook, and is no fault.
    """
    faults: dict[str, str] = {}
    with _listening() as heard, _without_shell() as askers:
        for name in names:
            if not is_third_party(name):
                continue
            before = _connections()
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(name)
            reason = _reason(heard, askers, before)
            if reason is not None:
                faults[name] = reason
    return faults


def is_third_party(name: str) -> bool:
    """Whether a module is of an installed package: what a project itself holds may change, and is the notebook's."""
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(name.partition(".")[0])
        if spec is not None:
            places = [spec.origin, *(spec.submodule_search_locations or [])]
            return any(place is not None and place.startswith(tuple(_installed())) for place in places)
    return False


def _installed() -> list[str]:
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return [f"{path}{os.sep}" for path in {*paths, site.getusersitepackages()} if path]


def _reason(heard: IO[bytes], askers: list[str], before: set[str]) -> str | None:
    """Why the module that was just imported must not be loaded before a fork."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if heard.seek(0, os.SEEK_END):
        heard.truncate(0)
        return "it prints something when it is imported"
    if askers:
        askers.clear()
        return "it asks for the notebook's shell when it is imported"
    if system.unsafe_threads():
        _fork_once()  # libraries that know of forks end their threads before one
        if threads := system.unsafe_threads():
            return f"it leaves a thread behind ({threads[0]})"
    if _connections() - before:
        return "it leaves a connection open"
    return None


def _fork_once() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _connections() -> set[str]:
    """Open sockets and databases: what parent and child must not share."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            mode = os.stat(f"/proc/self/fd/{descriptor}").st_mode
            if stat.S_ISSOCK(mode) or target.startswith("anon_inode:[event"):
                found.add(target)
    return found


@contextlib.contextmanager
def _listening() -> Iterator[IO[bytes]]:
    """What is written to stdout and stderr meanwhile, in a file."""
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
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
