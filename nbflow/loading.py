"""`without(names)`: importing libraries without what they load where they find it, and never or hardly ever use here.

Must not know who imports what.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

UNUSED = (
    *("pyarrow", "fqdn", "idna", "isoduration", "jsonpointer", "rfc3339_validator", "rfc3986_validator"),
    *("rfc3987", "rfc3987_syntax", "uri_template", "webcolors"),
    *("papermill.s3", "papermill.abs", "papermill.adl"),
)
"""Modules that papermill and jsonschema load where they find them, for what is never done here (notebooks read from
HDFS or clouds, formats of text that notebooks do not have). They take longer than all the rest, and pyarrow leaves
threads behind. Of clouds it is papermill's own modules: its plugins may need what those load."""

LATER = ("bs4", "click", "requests")
"""Modules that papermill and nbconvert load in any case and use for what is hardly ever done here: each takes long."""


class _Later(ModuleType):
    """Stands for a module that is loaded when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Refuser:
    """Finds some modules for nobody, in the thread that has made it: others may load what needs them meanwhile."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 - as it is called
        if name in self._names and threading.get_ident() == self._thread:
            # Without its `name`, by which `from package import module` would take it for a mistake of the package's.
            raise ModuleNotFoundError(f"No module named {name!r}")


@contextmanager
def without(names: tuple[str, ...] = UNUSED, later: tuple[str, ...] = LATER) -> Iterator[None]:
    """Have the imports of some modules fail in this thread for a while, and put those of others off; what is loaded
    already stays.
    """
    stands = {name: _Later(name) for name in later if name not in sys.modules}
    sys.modules.update(stands)
    refuser = _Refuser(names)
    sys.meta_path.insert(0, refuser)
    try:
        yield
    finally:
        sys.meta_path.remove(refuser)
        for name, stand in stands.items():
            if sys.modules.get(name) is stand:
                del sys.modules[name]
