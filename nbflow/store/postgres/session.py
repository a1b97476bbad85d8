"""A connection to a PostgreSQL server as the store needs it: its settings, its schema, an end to every wait.

Must not know what is kept. What it raises are the library's errors, but for a server that cannot be used at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nbflow.core import database_url
from nbflow.errors import UnreachableError
from nbflow.store.hurry import Hurry
from nbflow.store.postgres.failures import SilentError
from nbflow.store.postgres.schema import statements

T = TypeVar("T")

CONNECT_SECONDS = 10
SILENCE_SECONDS = 90.0
"""How long a server may take for one answer; it gives up by itself before (`begin_session`)."""

DEFAULTS: dict[str, str | int] = {
    "application_name": "nbflow",
    "connect_timeout": CONNECT_SECONDS,
    # A network or a host that is gone is noticed, though nothing says so.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""What the URL may say otherwise."""

OLDEST = 13

logging.getLogger("psycopg").addHandler(logging.NullHandler())
"""What the library warns of, such as a rollback on a lost connection, comes as an error too: screens are not for it."""


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which each statement is a transaction of its own, and no wait is without an end.

    `version` is the server's, `schema` where the store's tables are. `hurry` shortens each wait, to connect too.
    """

    hurry = Hurry()
    version = ""
    schema = ""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **more: Any) -> T:
        """Wait for an answer. Raises SilentError where none comes."""
        return super().wait(self._bounded(gen), *args, **more)

    @classmethod
    def _connect_gen(cls, *args: Any, **more: Any) -> Generator[Any, Any, Any]:
        """The library's own way to connect, which listens to nobody for as long as it may take."""
        return cls._bounded(super()._connect_gen(*args, **more))

    @classmethod
    def _bounded(cls, waiting: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        begun = time.monotonic()
        return _bounded(waiting, lambda: cls.hurry.deadline(begun, SILENCE_SECONDS))


def begin(url: str, place: str, hurry: Hurry) -> Session:
    """Connect, and tell the server how to treat us. `place` is its name for messages.

    Raises psycopg.Error where that fails, UnreachableError for a server that the store cannot use.
    """
    ours: type[Session] = type("Session", (Session,), {"hurry": hurry})  # the library connects before there is a self
    session = ours.connect(_with_defaults(url, place), autocommit=True)
    try:
        session.execute(statements()["begin_session"])
        session.version = _check(session, place)
        session.schema = _find_schema(session, place)
    except BaseException:
        session.close()
        raise
    return session


def _with_defaults(url: str, place: str) -> str:
    try:
        given = conninfo_to_dict(url)
        more = {name: value for name, value in DEFAULTS.items() if name not in given}
        return make_conninfo(url, **more, client_encoding="utf8")
    except psycopg.ProgrammingError:  # its message may show a password, taken for something else
        raise UnreachableError(
            f"{place}: PostgreSQL's library cannot read the URL in [nbflow] state", hint=database_url.HOW
        ) from None


def _check(session: Session, place: str) -> str:
    """The version of a server that the store can use."""
    number, version, encoding = session.execute(statements()["read_server"]).fetchall()[0]
    if number // 10_000 < OLDEST:
        raise UnreachableError(f"{place}: PostgreSQL {version} is too old", hint=f"nbflow needs {OLDEST} or newer")
    if encoding != "UTF8":
        raise UnreachableError(
            f"{place}: the database keeps text as {encoding}",
            hint="nbflow needs one that keeps it as UTF-8: createdb --encoding=UTF8 --template=template0 NAME",
        )
    return str(version)


def _find_schema(session: Session, place: str) -> str:
    """The schema of a session: the one of `search_path`, if that has been set, else `nbflow`."""
    try:
        ((parts,),) = session.execute(statements()["read_schema"]).fetchall()
    except psycopg.DataError:
        parts = []
    if len(parts) != 1:
        raise UnreachableError(
            f"{place}: search_path does not name one schema", hint="write ?options=-csearch_path%3DNAME"
        )
    return str(parts[0])


def _bounded(waiting: Generator[Any, Any, T], deadline: Callable[[], float]) -> Generator[Any, Any, T]:
    """The library's own generator, ended by an error at a deadline: it is asked again and again while nothing comes."""
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline():
                raise SilentError("the server does not answer")
            wanted = waiting.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
