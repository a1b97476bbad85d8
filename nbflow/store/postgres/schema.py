"""The tables of the store: numbered migrations, each applied once, all that are due in one transaction.

One process at a time does so, by an advisory lock. A schema of a newer nbflow is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from nbflow.errors import UnreachableError
from nbflow.store.scripts import Migration, read_migrations, read_statements

HERE = "nbflow.store.postgres"


@cache
def statements() -> dict[str, bytes]:
    """name -> statement of `queries.sql`, as the library takes it."""
    return {name: text.encode() for name, text in read_statements(HERE).items()}


def prepare(
    connection: psycopg.Connection[Any],
    schema: str,
    place: str,
    *,
    create: bool,
    steps: Sequence[Migration] | None = None,
) -> bool:
    """Bring a schema, that of the session, to its newest version; `create` makes one that is not there.

    Returns whether there is one now. `place` is the store's name for messages. Raises UnreachableError for a schema
    that is newer than this nbflow, and does not touch it.
    """
    steps = read_migrations(HERE) if steps is None else steps
    version = _version(connection, schema, place, steps)
    if version == steps[-1].number or (version == 0 and not create):
        return version > 0
    with connection.transaction():
        _value(connection, "lock_schema", schema=schema)
        version = _version(connection, schema, place, steps)
        if not _value(connection, "has_schema", schema=schema):
            template = read_statements(HERE)["make_schema"]
            connection.execute(sql.SQL(template).format(schema=sql.Identifier(schema)))
        for step in steps:
            if step.number > version:
                connection.execute(step.script.encode())
                connection.execute(statements()["note_version"], {"number": step.number})
    return True


def _version(connection: psycopg.Connection[Any], schema: str, place: str, steps: Sequence[Migration]) -> int:
    """The version of a schema, 0 where there is none."""
    if not _value(connection, "has_tables", schema=schema):
        return 0
    version: int = _value(connection, "read_version")
    if version > steps[-1].number:
        raise UnreachableError(
            f"{place}: the store has schema {version}, this nbflow knows up to {steps[-1].number}",
            hint="upgrade nbflow, or set [nbflow] state to another database",
        )
    return version


def _value(connection: psycopg.Connection[Any], name: str, **values: object) -> Any:
    """The one value that a statement gives."""
    row = connection.execute(statements()[name], values).fetchone()
    return None if row is None else row[0]
