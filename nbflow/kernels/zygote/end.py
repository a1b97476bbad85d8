"""The end of a forked kernel: what Python does when it ends, without taking apart what is shared with the zygote.

To take a thousand modules apart costs more than a small notebook, for every page that they share has to be copied.
So only what came after the fork is taken apart; the order is that of Python. Standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import os
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

_MACHINERY = frozenset(
    [
        "IPython",
        "asyncio",
        "comm",
        "concurrent",
        "debugpy",
        "ipykernel",
        "jupyter_client",
        "threading",
        "tornado",
        "zmq",
    ]
)
"""Packages by which a kernel runs: their finalizers have nothing to write."""


def leave(own: Callable[[], list[Any]]) -> None:
    """End this process as if its program had ended. `own` tells the modules that the notebook loaded, newest first."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _forget(own())
        _finish_files()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    except BaseException:  # as in Python, whatever fails now is told and does not keep the process
        sys.__excepthook__(*sys.exc_info())
    ctypes.PyDLL(None).exit(0)  # C libraries have their own handlers; no other thread runs Python any more


def _forget(modules: list[Any]) -> None:
    """Let go of the notebook's own objects, so that files are closed and destructors run."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)
    main = sys.modules.get("__main__")
    contents = [getattr(module, "__dict__", None) for module in [main, *modules]]
    spaces: list[dict[str, Any]] = [one for one in contents if isinstance(one, dict)]
    gc.collect()
    _finalize({id(space) for space in spaces})
    for space in spaces:
        _clear(space)
    gc.collect()


def _finalize(spaces: set[int]) -> None:
    """Run finalizers, once, while the names that they use are still there. `spaces` are namespaces, by identity."""
    known: dict[type, Any] = {}
    for found in gc.get_objects():
        kind = type(found)
        if kind is types.GeneratorType:
            is_own = found.gi_frame is not None and id(found.gi_frame.f_globals) in spaces
            finalizer = types.GeneratorType.close if is_own else None
        else:
            if kind not in known:
                known[kind] = _finalizer(kind)
            finalizer = known[kind]
        if finalizer is not None and not gc.is_finalized(found):
            try:
                finalizer(found)
            except BaseException as error:
                sys.unraisablehook(_Unraisable(error, finalizer))  # type: ignore[arg-type]
    for kind in [kind for kind, finalizer in known.items() if finalizer is not None]:
        for base in kind.__mro__:
            if "__del__" in vars(base):
                base.__del__ = _nothing  # type: ignore[attr-defined]


class _Unraisable(types.SimpleNamespace):
    """What the interpreter tells of an error in a finalizer."""

    def __init__(self, error: BaseException, finalizer: Any) -> None:
        self.exc_type, self.exc_value, self.exc_traceback = type(error), error, error.__traceback__
        self.err_msg = None
        self.object = finalizer


def _nothing(self: Any) -> None:
    del self


def _finalizer(kind: type) -> Any:
    """The finalizer that a class has in Python; None where it has none, or it is a file, or of the kernel itself."""
    if issubclass(kind, io.IOBase) or kind.__module__.partition(".")[0] in _MACHINERY:
        return None
    found = getattr(kind, "__del__", None)
    return found if isinstance(found, types.FunctionType) else None


def _clear(contents: dict[str, Any]) -> None:
    """Names with one underscore first, then all but the built-in ones: as Python does it."""
    for is_private in (True, False):
        for name in list(contents):
            if name != "__builtins__" and is_private == (name[:1] == "_" and name[1:2] != "_"):
                contents[name] = None


def _finish_files() -> None:
    """Close files that something shared still refers to: first all is written, then the outer before the inner."""
    found = [one for one in gc.get_objects() if issubclass(type(one), io.IOBase)]
    for action in ("flush", "close"):
        for one in sorted(found, key=_depth):
            # What is read-only, or has lost its other end, has nothing to lose.
            with contextlib.suppress(Exception):
                if not one.closed and type(one).__module__.partition(".")[0] not in _MACHINERY:
                    getattr(one, action)()


def _depth(file: Any) -> int:
    kinds = (io.TextIOBase, io.BufferedIOBase)
    level = next((number for number, kind in enumerate(kinds) if isinstance(file, kind)), len(kinds))
    return level * 2 + (type(file).__module__ == "_io")


def shorten_search(kernel: Any) -> None:
    """At its end ipykernel looks for children among all processes of the machine; mostly there are none."""
    search = getattr(kernel, "_process_children", None)
    if search is not None:
        kernel._process_children = lambda: search() if _has_children() else []


def _has_children() -> bool:
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", "rb") as file:
                if file.read(1):
                    return True
    except OSError:
        return True  # not to be found out in this way
    return False
