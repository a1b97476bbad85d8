"""The key `state`: a SQLite file of this machine, or the URL of a PostgreSQL database. Must not reach what it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from nbflow.config.shape import LocalPath, Reading, Schema
from nbflow.core import database_url
from nbflow.core.faults import Fault, KeyPath
from nbflow.core.spec import ProjectSpec

AT = ("nbflow", "state")

POSSIBLE = (
    "give the path of a SQLite file on this machine, or a PostgreSQL database: postgresql://USER@HOST:5432/DATABASE"
)

_OTHER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?i:postgres(?:ql)?|sqlite|file):")
"""How URLs begin that name no store of ours, and what somebody may take for such a URL; not the path C:/x."""


class StorePlace:
    """A path on this machine, or a URL such as `postgresql://user@host/database`."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        """The path or the URL as it is written."""
        if isinstance(value, str) and not database_url.is_database(value) and (other := _OTHER.match(value)):
            if reading.partial:
                return value
            return reading.fault(at, f"a store cannot be at {other[0]}...", POSSIBLE)
        if not isinstance(value, str) or not database_url.is_database(value):
            return LocalPath().read(value, at, reading)
        if fault := database_url.fault(value):
            return reading.fault(at, fault, database_url.HOW)
        return value

    def schema(self) -> Schema:
        """Any text: what is wrong with a URL is told in words."""
        return {"type": "string", "minLength": 1}


def state_faults(spec: ProjectSpec) -> Iterator[Fault]:
    """Warnings: of a password that everybody sees who sees the file, and of a package that is not installed here."""
    if not database_url.is_database(spec.state):
        return
    if database_url.has_password(spec.state):
        hint = "keep it in ~/.pgpass, or in the environment as PGPASSWORD, and take it out of the URL"
        yield Fault(key=AT, message="the URL of the store tells its password", hint=hint, warning=True)
    if find_spec("psycopg") is None:
        hint = "install it: pip install 'jupyter-nbflow[postgres]'"
        yield Fault(key=AT, message="the package psycopg is not installed here", hint=hint, warning=True)
