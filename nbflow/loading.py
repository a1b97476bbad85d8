"""`without(names)`: importing libraries without what they load where they find it, and never or hardly ever use here.

Must not know who imports what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

UNUSED = (
    *("pyarrow", "fqdn", "idna", "isoduration", "jsonpointer", "rfc3339_validator", "rfc3986_validator"),
    *("rfc3987", "rfc3987_syntax", "uri_template", "webcolors"),
    *("azure", "boto3", "gcsfs", "github"),
)
"""Modules that papermill and jsonschema load where they find them, for what is never done here (notebooks read from
HDFS or clouds, formats of text that notebooks do not have). They take longer than all the rest, and pyarrow leaves
threads behind."""

LATER = ("bs4", "click", "requests")
"""Modules that papermill and nbconvert load in any case and use for what is hardly ever done here: each takes long."""


class _Later(ModuleType):
    """Stands for a module that is loaded when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def without(names: tuple[str, ...] = UNUSED, later: tuple[str, ...] = LATER) -> Iterator[None]:
    """Have the imports of some modules fail for a while, and put those of others off; what is loaded already stays."""
    stands: dict[str, ModuleType | None] = {name: None for name in names if name not in sys.modules}
    stands |= {name: _Later(name) for name in later if name not in sys.modules}
    sys.modules.update(stands)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, stand in stands.items():
            if sys.modules.get(name) is stand:
                del sys.modules[name]
