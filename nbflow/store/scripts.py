"""The SQL that lies beside an adapter: `queries.sql`, named statements, and `migrations/NNNN_name.sql`.

Must not know a database.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple


class Migration(NamedTuple):
    """One step from a schema to the next; `number` is the version that it leads to, `script` its SQL."""

    number: int
    name: str
    script: str


@cache
def read_statements(package: str) -> dict[str, str]:
    """name -> statement of the `queries.sql` of a package."""
    text = resources.files(package).joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def read_migrations(package: str) -> tuple[Migration, ...]:
    """All migrations of a package, in order."""
    found = [
        Migration(int(entry.name[:4]), entry.name, entry.read_text("utf-8"))
        for entry in resources.files(package).joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found))
