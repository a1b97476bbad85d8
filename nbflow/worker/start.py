"""What the kernel of an attempt is started with, and asking a zygote for it while the worker does other things.

Must not know cells, journals or papermill.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from nbflow.kernels.environ import kernel_environment
from nbflow.kernels.limits import thread_variables
from nbflow.kernels.warm import ask_ahead
from nbflow.worker.session import KernelSource, Session

OWN_THREADS = "resources.cpu sets how many threads libraries start, which they read when they are loaded"
"""Why a kernel with a limit of cores is not forked."""


def kernel_start(session: Session) -> tuple[dict[str, str], KernelSource]:
    """The environment of a session's kernel, and where it comes from."""
    env = kernel_environment(os.environ, variables=session.variables, withheld=session.withheld)
    threads = thread_variables(session.limits.cpu, {**env, **session.kernel.env})
    return {**env, **threads}, KernelSource(reason=OWN_THREADS) if threads else session.source


@contextmanager
def asked_ahead(session: Session) -> Iterator[Session]:
    """The session, its kernel asked for where a zygote has one to give; at the end one that nobody took is given up."""
    env, source = kernel_start(session)
    ahead = None
    if source.zygote is not None:
        ahead = ask_ahead(source.zygote, environment={**env, **session.kernel.env}, cwd=session.root)
    try:
        yield session if ahead is None else replace(session, source=replace(source, ahead=ahead))
    finally:
        if ahead is not None:
            ahead.close()
