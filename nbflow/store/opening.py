"""Which store a project has: a PostgreSQL database by its URL, else a SQLite file. Neither is loaded before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.core.database_url import is_database, shown
from nbflow.errors import UnreachableError

if TYPE_CHECKING:
    from nbflow.core.ports import Store
    from nbflow.store.postgres.store import PostgresStore

INSTALL = "pip install 'jupyter-nbflow[postgres]'"


def is_made(state: str) -> bool:
    """Whether there is a file at a path, of a store or not. A server is not asked: it counts as there."""
    return is_database(state) or os.path.lexists(state)


def open_store(state: str) -> Store:
    """The store at a path or URL; what is missing there is made by its first run.

    Raises UnreachableError where what is there cannot be used. A server is asked when the store is used first.
    """
    if is_database(state):
        return open_database(state)
    from nbflow.store.sqlite import SqliteStore

    return SqliteStore(Path(state), create=False)


def open_database(url: str) -> PostgresStore:
    """The store in a PostgreSQL database. Raises UnreachableError where the package for it is not there."""
    try:
        import psycopg  # noqa: F401 - also fails where the library beneath it is missing
    except ImportError as error:
        raise UnreachableError(f"{shown(url)}: PostgreSQL needs a package: {error}", hint=INSTALL) from None
    from nbflow.store.postgres.store import PostgresStore

    return PostgresStore(url, create=False)
