"""What an error means, and what a person is told."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from nbflow.store.postgres.failures import Kind, SilentError, hint, kind, reason

LOST = psycopg.OperationalError("consuming input failed: SSL connection has been closed unexpectedly\nmore")
DOWN = psycopg.OperationalError(
    'connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs it there?'
)
LOGIN = psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "u"')
STARTING = psycopg.OperationalError("connection failed: FATAL:  the database system is starting up")
NAMES = psycopg.OperationalError("failed to resolve host 'db': [Errno -3] Temporary failure in name resolution")


@pytest.mark.parametrize(
    ("error", "was_connected", "is_connected", "wanted"),
    [
        (LOST, True, False, Kind.LOST),
        (psycopg.OperationalError("certificate of the peer has gone"), True, False, Kind.LOST),
        (psycopg.OperationalError("certificate verify failed"), False, False, Kind.FINAL),
        (DOWN, False, False, Kind.LOST),
        (STARTING, False, False, Kind.LOST),
        (NAMES, False, False, Kind.LOST),
        (LOGIN, False, False, Kind.FINAL),
        (SilentError("x"), True, True, Kind.LOST),
        (errors.AdminShutdown("x"), True, True, Kind.LOST),
        (errors.IdleInTransactionSessionTimeout("x"), True, True, Kind.LOST),
        (errors.ConnectionFailure("x"), True, True, Kind.LOST),
        (errors.DeadlockDetected("x"), True, True, Kind.BUSY),
        (errors.LockNotAvailable("x"), True, True, Kind.BUSY),
        (errors.QueryCanceled("x"), True, True, Kind.BUSY),
        (errors.TooManyConnections("x"), False, False, Kind.BUSY),
        (errors.DiskFull("x"), True, True, Kind.FINAL),
        (errors.UndefinedTable("x"), True, True, Kind.FINAL),
        (psycopg.InterfaceError("x"), True, True, Kind.FINAL),
    ],
    ids=str,
)
def test_kinds(error: psycopg.Error, was_connected: bool, is_connected: bool, wanted: Kind) -> None:
    assert kind(error, was_connected=was_connected, is_connected=is_connected) is wanted


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LOGIN, ".pgpass"),
        (DOWN, "see that the server runs"),
        (errors.DiskFull("x"), "make room"),
        (errors.InsufficientPrivilege("x"), "CREATE SCHEMA"),
        (errors.ReadOnlySqlTransaction("x"), "target_session_attrs"),
        (errors.UndefinedTable("x"), "backup"),
        (errors.DuplicateTable("x"), "search_path"),
        (errors.SyntaxError("x"), "server's log"),
    ],
    ids=str,
)
def test_hints(error: psycopg.Error, words: str) -> None:
    assert words in hint(error)


def test_reasons_are_one_line() -> None:
    assert reason(LOST) == "consuming input failed: SSL connection has been closed unexpectedly"
    assert reason(DOWN) == 'connection to server at "127.0.0.1", port 1 failed: Connection refused'
    several = "multiple connection attempts failed. All failures were:\n- host: 'a': this\n- host: 'b': that"
    assert reason(psycopg.OperationalError(several)) == "host: 'b': that"
