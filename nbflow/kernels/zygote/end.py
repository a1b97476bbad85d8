"""The end of a forked kernel: what Python does when it ends, without taking apart what is shared with the zygote.

To take a thousand modules apart costs more than a small notebook, for every page that they share has to be copied.
So only what came after the fork is taken apart; the order is that of Python. Standard library only.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import io
import os
import sys
import threading
from typing import Any


def leave(shared: set[str]) -> None:
    """End this process as if its program had ended. `shared` are the modules that there were before the notebook."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _forget(shared)
        _flush_files()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    except BaseException:  # as in Python, whatever fails now is told and does not keep the process
        sys.__excepthook__(*sys.exc_info())
    ctypes.CDLL(None).exit(0)  # C libraries have their own handlers


def _forget(shared: set[str]) -> None:
    """Let go of the notebook's own objects, so that files are closed and destructors run."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)
    own = [module for name, module in list(sys.modules.items()) if name not in shared]
    main = sys.modules.get("__main__")
    for module in [*([main] if main is not None else []), *reversed(own)]:
        contents = getattr(module, "__dict__", None)
        if isinstance(contents, dict):
            _clear(contents)
    gc.collect()


def _clear(contents: dict[str, Any]) -> None:
    """Names with one underscore first, then all but the built-in ones: as Python does it."""
    for is_private in (True, False):
        for name in list(contents):
            if name != "__builtins__" and is_private == (name[:1] == "_" and name[1:2] != "_"):
                contents[name] = None


def _flush_files() -> None:
    """Files that something shared still refers to."""
    for found in gc.get_objects():
        if isinstance(found, io.IOBase) and not found.closed:
            try:
                found.flush()
            except (OSError, ValueError):
                continue  # read-only, or its other end is gone


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
