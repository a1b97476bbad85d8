"""What is measured of a kernel while it runs, and what its death comes to.

Must not know journals, nor what a death means for an attempt.
"""

from __future__ import annotations

from nbflow.kernels.autopsy import Death, explain
from nbflow.kernels.memory import Mark, MemoryWatch
from nbflow.kernels.process import Kernel
from nbflow.kernels.usage import Meter, Usage

_WORDS = 16_000
"""Characters of the kernel's own output in which its last line is looked for: the stacks of all threads are long."""


class Vitals:
    """Watches one kernel. Each call takes less than a millisecond."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._meter: Meter | None = None
        self._memory: MemoryWatch | None = None

    @property
    def mark(self) -> Mark | None:
        """Where the system counts processes that it ends for lack of memory, and how many there were."""
        return self._memory.mark if self._memory is not None else None

    def watch(self) -> None:
        """The kernel has started, or may have moved to another control group since."""
        if self._meter is None:
            self._meter = Meter(self._kernel.pid)
        self._memory = MemoryWatch(self._kernel.pid)

    def begin(self) -> None:
        """A cell begins."""
        if self._meter is not None and self._memory is not None:
            self._meter.begin()
            self._memory.set_mark()

    def end(self) -> Usage:
        """What the cell has used; of a kernel that has died in it, as the system tells it."""
        return self._meter.end(self._final()) if self._meter is not None else Usage()

    def total(self) -> Usage:
        """What the kernel has used so far, or altogether."""
        return self._meter.total(self._final()) if self._meter is not None else Usage()

    def explain(self, what: str, source: str | None = None) -> tuple[str, int | None]:
        """Why the kernel has ended, in words that begin with `what`, and the number of its signal, if any.

        `source` is the cell that was running.
        """
        known = {} if self._memory is None else {"evidence": self._memory.look_back()}
        death = Death(
            code=self._kernel.exited.result(),
            words=self._kernel.last_words(_WORDS),
            peak=self.total().memory,
            source=source,
            **known,
        )
        return explain(death, what)

    def _final(self) -> Usage | None:
        used = self._kernel.usage if self._kernel.exited.done() else None
        return None if used is None else Usage(cpu=used[0], memory=used[1] or None)
