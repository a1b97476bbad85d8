"""Numbered migrations: `migrations/NNNN_name.sql`, each applied once, all that are due in one transaction.

Each ends by setting SQLite's `user_version` to its own number. A store of a newer nbflow is refused.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from nbflow.errors import UnreachableError
from nbflow.store import sql
from nbflow.store.scripts import Migration, read_migrations
from nbflow.store.transaction import transaction


def migrations() -> tuple[Migration, ...]:
    """All migrations, in order."""
    return read_migrations("nbflow.store")


def migrate(
    connection: sqlite3.Connection,
    place: str,
    seconds: float,
    steps: Sequence[Migration] | None = None,
    *,
    before: Callable[[int], object] = lambda _: None,
) -> None:
    """Bring a store to the newest schema, wholly or not at all.

    `place` is its name for messages; another process that is at it is waited for so many seconds. `before` is called
    with the version of a store that is about to be upgraded, when nobody else can write to it; nothing is done where it
    raises an error.

    Foreign keys must be off: rebuilding a table would delete what refers to it. Raises UnreachableError for a store
    that is newer than this nbflow, and does not touch it.
    """
    steps = migrations() if steps is None else steps
    if version_of(connection, place, steps) == steps[-1].number:
        return
    with transaction(connection, seconds):
        version = version_of(connection, place, steps)
        if 0 < version < steps[-1].number:
            before(version)
        for step in steps:
            if step.number > version:
                _apply(connection, step)
        if broken := connection.execute(sql.statements()["find_broken_references"]).fetchall():
            raise UnreachableError(
                f"{place}: {len(broken)} rows of the store refer to rows that are not there; it was not upgraded",
                hint="restore it from a backup",
            )


def version_of(connection: sqlite3.Connection, place: str, steps: Sequence[Migration]) -> int:
    """The version of a store's schema. Raises UnreachableError for one that is newer than the last of the steps."""
    version: int = connection.execute(sql.statements()["read_version"]).fetchone()[0]
    if version > steps[-1].number:
        raise UnreachableError(
            f"{place}: the store has schema {version}, this nbflow knows up to {steps[-1].number}",
            hint="upgrade nbflow, or set [nbflow] state to another file",
        )
    return version


def split(script: str) -> Iterator[str]:
    """The statements of a script. Raises ValueError where the last one has no end."""
    statement = ""
    for part in re.split(r"(?<=;)", script):
        statement += part
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if re.sub(r"--.*", "", statement).strip():
        raise ValueError(f"a statement without its semicolon: {statement.strip()}")


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    for statement in split(step.script):
        connection.execute(statement)
    number = connection.execute(sql.statements()["read_version"]).fetchone()[0]
    if number != step.number:
        raise ValueError(f"{step.name} leads to version {number}, not {step.number}")
