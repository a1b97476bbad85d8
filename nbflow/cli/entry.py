"""The first and the last moments of the command `nbflow`: what comes before all of it is loaded, and after it is done.

Loads nothing itself that Python has not loaded by then: Ctrl-C is heard in `main` first. Must not know what commands
do, only which of them run notebooks.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

RUNNING = frozenset({"run", "resume", "test"})
"""Commands that need workers."""
_INTERRUPTED = 130
_IDLE = frozenset({"-h", "--help", "-n", "--dry-run", "--detach"})
"""Options with which they need none."""


def main() -> None:
    """Entry point of the command."""
    try:
        open_standard_streams()
        code = _call(sys.argv[1:])
    except KeyboardInterrupt:  # while all that is still being loaded
        sys.stderr.write("interrupted\n")
        code = _INTERRUPTED
    leave(code)


def _call(arguments: Sequence[str]) -> int:
    """Carry the call out, and end what was started for it and was not wanted."""
    from nbflow.executors import ahead

    try:
        begin_ahead(arguments)
        from nbflow.cli.main import call

        return call(arguments)
    finally:
        ahead.drop()


def leave(code: int) -> NoReturn:
    """End the process as `sys.exit` does, without taking the interpreter apart: many a command takes less than that."""
    import atexit
    import threading

    # Those of asyncio's own pool look up names of hosts, which may take as long as it wants: nothing of ours is lost.
    main, *others = [one for one in threading.enumerate() if not one.name.startswith("asyncio_")]
    if any(not thread.daemon for thread in others) or main is not threading.current_thread():
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # says what is wrong
    os._exit(code)


def begin_ahead(arguments: Sequence[str]) -> None:
    """Start what takes long, where it will probably be wanted; whether the command line is right is seen later."""
    from nbflow.executors import ahead

    folder: str | None = None
    words = iter(arguments)
    for word in words:
        if word == "-C":
            folder = next(words, None)
        elif word in ("--file", "--profile"):
            next(words, None)
        elif not word.startswith("-"):
            if word in RUNNING and _IDLE.isdisjoint(arguments):
                ahead.begin(folder)
            return


def open_standard_streams() -> None:
    """Give the process those of its three that it was started without (`>&-`): they lead nowhere.

    In their order, so that each gets its own descriptor: no file of ours may come to stand there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
