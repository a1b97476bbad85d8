"""What every attempt needs loaded, in small steps, so that it can be done ahead and in between.

Must not know attempts.
"""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from nbflow.loading import UNUSED, without

MODULES = (
    "jsonschema",
    "nbformat",
    "zmq.asyncio",
    "jupyter_client.asynchronous",
    "nbclient",
    "papermill",
    "nbflow.worker.attempt",
    "nbflow.worker.recover",
    "nbflow.worker.runner",
    "nbflow.worker.engine",
    "nbflow.worker.publish",
    "psutil",
    "encodings.utf_8_sig",
)
"""All but what pages are made with, in the order of their own imports; some are there because they take long enough
to be a step of their own, between which the server hears what is asked."""
_NEVER_USED = ("nbconvert.exporters", "nbconvert.postprocessors")
"""What nbconvert loads besides, and does without where it cannot."""


def module(name: str) -> None:
    """Import one of MODULES."""
    with without():
        import_module(name)


def modules() -> None:
    """Import all of MODULES."""
    for name in MODULES:
        module(name)


@cache
def pages() -> None:
    """Load what pages are made with: the last thing that an attempt needs. Once, also for processes forked later.

    First the checker of notebooks, which nbformat compiles of its schema when it is used for the first time, and the
    list of packages, which is kept until one changes. The name of the platform is asked of a program.
    """
    from nbformat.validator import get_validator

    from nbflow.kernels.packages import installed_packages
    from nbflow.worker.publish import warm_up

    get_validator(4, 5)  # type: ignore[no-untyped-call]
    installed_packages(Path(place) for place in sys.path if place)
    platform.platform()
    warm_up()


@cache
def prose() -> None:
    """Load what reads Markdown and terminal colours, which not every notebook has."""
    from nbflow.worker.publish import warm_up

    with without((*UNUSED, *_NEVER_USED)):
        warm_up("markdown")
