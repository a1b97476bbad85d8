"""What PostgreSQL and its library say when something fails: whether to try again, and what a person can do.

Messages of the library name hosts, databases and users, never passwords, but for those of a URL that it cannot read:
`core.database_url` refuses it before.
"""

from __future__ import annotations

import re
from enum import StrEnum

import psycopg
from psycopg import errors


class Kind(StrEnum):
    """What a failure means for the call that met it."""

    LOST = "lost"  # there is no connection; whether the last statement has been carried out is unknown
    BUSY = "busy"  # others were in the way; nothing has been carried out
    FINAL = "final"  # to try again is no use


class SilentError(psycopg.OperationalError):
    """The server has not answered for too long, though the connection seems to be there."""


_BUSY = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.TooManyConnections,
)
_LOST = (
    SilentError,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
)
_CONNECTION = "08"
"""How the codes of failures of a connection begin."""


_MAKE = "make it with createdb, or correct [nbflow] state"
_LOGIN = "give the user in [nbflow] state, and the password in ~/.pgpass or PGPASSWORD"
_RESTORE = "restore the database from a backup, or name another schema: ?options=-csearch_path%3DNAME"
_WAIT = "others have been using the same rows all the time: see pg_stat_activity on the server"
_HINTS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.InvalidPassword, _LOGIN),
    (errors.InvalidAuthorizationSpecification, _LOGIN),
    (errors.InvalidCatalogName, _MAKE),
    (errors.InsufficientPrivilege, "let the owner of the database say: CREATE SCHEMA nbflow AUTHORIZATION that user"),
    (errors.ReadOnlySqlTransaction, "it is a standby: name the primary, or add target_session_attrs=read-write"),
    (errors.DiskFull, "make room on the server's disk"),
    (errors.OutOfMemory, "look at the server's memory"),
    (errors.TooManyConnections, "raise the server's max_connections"),
    (errors.LockNotAvailable, _WAIT),
    (errors.QueryCanceled, _WAIT),
    (errors.DeadlockDetected, _WAIT),
    (errors.UndefinedTable, _RESTORE),
    (errors.UndefinedColumn, _RESTORE),
    (errors.DuplicateTable, "the schema has tables of something else: name another, ?options=-csearch_path%3DNAME"),
    (errors.DataCorrupted, _RESTORE),
    (errors.IndexCorrupted, _RESTORE),
)
_START = "see that the server runs and can be reached from here, or correct [nbflow] state"
_LOG = "see the server's log"
_REFUSED = (
    (re.compile(r'database ".*" does not exist'), _MAKE),
    (
        re.compile(r'authentication failed|no password supplied|role ".*" does not exist|not permitted to log in'),
        _LOGIN,
    ),
    (re.compile(r"no pg_hba\.conf entry"), "the server's pg_hba.conf must let this host and user in"),
    (re.compile(r"certificate|not support SSL|no encryption|sslmode"), "see sslmode and sslrootcert of the URL"),
    (re.compile(r"^bad value for |invalid \S+ value: "), "correct the parameters of the URL in [nbflow] state"),
    (re.compile(r"service .* not found|service file"), "see the service file: ~/.pg_service.conf or PGSERVICEFILE"),
    (re.compile(r"failed to resolve host(?!.*[Tt]emporary)"), "correct the host in [nbflow] state"),
)
"""Connecting gives no code, only text; what is none of this may pass."""


def kind(error: psycopg.Error, *, was_connected: bool, is_connected: bool) -> Kind:
    """What an error means: whether there was a connection before, and whether it is there still."""
    if isinstance(error, _BUSY):
        return Kind.BUSY
    if isinstance(error, _LOST) or (error.sqlstate or "").startswith(_CONNECTION):
        return Kind.LOST
    if isinstance(error, psycopg.OperationalError) and not is_connected:
        refused = not was_connected and any(words.search(str(error)) for words, _ in _REFUSED)
        return Kind.FINAL if refused else Kind.LOST
    return Kind.FINAL


def hint(error: psycopg.Error) -> str:
    """What a person can do about it."""
    by_code = next((hint for kind, hint in _HINTS if isinstance(error, kind)), None)
    by_text = next((hint for words, hint in _REFUSED if words.search(str(error))), None)
    return by_code or by_text or (_START if isinstance(error, psycopg.OperationalError) else _LOG)


def reason(error: psycopg.Error) -> str:
    """What the server or the library says, in one line."""
    lines = str(error).strip().split("\n")
    several = lines[0].startswith("multiple connection attempts")  # the last one's failure stands last
    said = error.diag.message_primary or lines[-1 if several else 0].removeprefix("- ")
    return said.removeprefix("connection failed: ").removeprefix("connection is bad: ")
