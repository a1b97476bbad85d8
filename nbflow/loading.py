"""`without(names)`: importing libraries without what they load where they find it, and never use here.

Must not know who imports what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("pyarrow", "rfc3987_syntax", "isoduration")
"""Modules that papermill and jsonschema load where they find them, for what is never done here (HDFS, formats of
text that notebooks do not have). They take longer than all the rest, and pyarrow leaves threads behind."""


@contextmanager
def without(names: tuple[str, ...] = UNUSED) -> Iterator[None]:
    """Have the imports of some modules fail for a while; those that are loaded already stay."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
