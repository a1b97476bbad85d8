"""What is measured of a kernel while it runs, the limits that it is held to, and what its death comes to.

Must not know journals, nor what a death means for an attempt.
"""

from __future__ import annotations

from nbflow.core.spec import Limits
from nbflow.kernels.autopsy import Death, explain, explain_excess
from nbflow.kernels.limits import Enforcer
from nbflow.kernels.memory import Mark, MemoryWatch
from nbflow.kernels.process import Kernel
from nbflow.kernels.usage import Meter, Usage

_WORDS = 16_000
"""Characters of the kernel's own output in which its last line is looked for: the stacks of all threads are long."""


class Vitals:
    """Watches one kernel. Each call takes less than a millisecond, where no limit was passed; `close` it at the end."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._enforcer: Enforcer | None = None
        self._meter: Meter | None = None
        self._memory: MemoryWatch | None = None

    @property
    def mark(self) -> Mark | None:
        """Where the system counts processes that it ends for lack of memory, and how many there were."""
        return self._memory.mark if self._memory is not None else None

    def hold(self, limits: Limits) -> str | None:
        """Hold the kernel, which has just started, and all that it starts, to its limits of memory and cores.

        What does not hold on this system, in words.
        """
        stacks = self._kernel.spec.runs_ipykernel
        self._enforcer = Enforcer(self._kernel.pid, memory=limits.memory, cpu=limits.cpu, stacks=stacks)
        return self._enforcer.begin()

    @property
    def is_over_limit(self) -> bool:
        """Whether the kernel has passed a limit; then it has been killed, or is about to be."""
        return self._enforcer is not None and self._enforcer.is_exceeded()

    def close(self) -> None:
        """The kernel has ended, and what it had left behind."""
        if self._enforcer is not None:
            self._enforcer.end()

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
        if self._enforcer is not None and self._enforcer.is_exceeded():
            words = self._kernel.last_words(_WORDS)
            return explain_excess(str(self._enforcer.excess), words, source), None
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
