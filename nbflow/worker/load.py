"""What every attempt needs loaded, in small steps, so that it can be done ahead and in between.

Must not know attempts.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

MODULES = (
    "nbformat",
    "jupyter_client.asynchronous",
    "nbclient",
    "papermill",
    "nbflow.worker.recover",
    "nbflow.worker.runner",
    "nbflow.worker.engine",
    "nbflow.worker.publish",
    "psutil",
    "encodings.utf_8_sig",
)
"""All but what pages are made with; the order is that of their own imports, each taking a fraction of a second."""

_UNUSED = ("pyarrow", "rfc3987_syntax", "isoduration")
"""Modules that papermill and jsonschema load where they find them, for what an attempt never does (HDFS, formats of
text that notebooks do not have). They take longer than all the rest, and pyarrow leaves threads behind."""


def module(name: str) -> None:
    """Import one of MODULES."""
    with _without(_UNUSED):
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

    warm_up("markdown")


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Have the imports of some modules fail for a while; those that are loaded already stay."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
