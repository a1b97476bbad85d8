"""Work done aside, in threads that nothing waits for in the end: of those whose other side may never answer.

Ctrl-C and the end of the process are not held up by it, whatever it waits for. Must not know what the work is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Tell = Callable[[str], None]
"""Takes a line for people."""

PATIENCE = 2.0
"""Seconds without a word about what is waited for."""

Value = TypeVar("Value")


class Aside(Generic[Value]):
    """Some work, which begins at once. What it raises is raised where its result is wanted."""

    def __init__(self, work: Callable[[], Value], name: str) -> None:
        self._work = work
        self._done = threading.Event()
        self._values: list[Value] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._carry_out, name=name, daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether there is a result."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the result, at most so long, and say whether it is there."""
        return self._done.wait(seconds)

    def result(self) -> Value:
        """What the work has given, once it is over."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._values[0]

    def _carry_out(self) -> None:
        try:
            self._values.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            self._error = error
        self._done.set()


def patiently(work: Callable[[], Value], tell: Tell, text: str) -> Value:
    """The result of some work, of which a text tells where it takes longer than a moment."""
    aside = Aside(work, "aside")
    if not aside.wait(PATIENCE):
        tell(text)
    return aside.result()


def unheard(_: str) -> None:
    """A `Tell` where nobody listens."""
