"""Numbered migrations: `migrations/NNNN_name.sql`, each applied once, each in one transaction.

The number of the last one is SQLite's `user_version`. A store of a newer nbflow is refused.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib import resources

from nbflow.errors import UnreachableError


@cache
def migrations() -> tuple[tuple[int, str, str], ...]:
    """(number, name, statements) in order."""
    folder = resources.files("nbflow.store").joinpath("migrations")
    found = [
        (int(entry.name[:4]), entry.name, entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found))


def migrate(connection: sqlite3.Connection, place: str) -> None:
    """Bring a store to the newest schema. Raises UnreachableError for one that is newer than this nbflow."""
    newest = migrations()[-1][0]
    if _version(connection) == newest:
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _version(connection)
        if version > newest:
            raise UnreachableError(
                f"{place}: the store has schema {version}, this nbflow knows up to {newest}",
                hint="upgrade nbflow, or point [nbflow] state to another file",
            )
        for number, _, script in migrations():
            if number > version:
                for statement in script.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
