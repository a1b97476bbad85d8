"""How a session is set up, and which servers are refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from nbflow.errors import UnreachableError
from nbflow.store.hurry import Hurry
from nbflow.store.postgres import session as module
from nbflow.store.postgres.session import Session, begin
from support.postgres import server
from support.wire import Break, Wire


@pytest.fixture
def made() -> Iterator[Session]:
    with closing(begin(server().url(), "here", Hurry())) as session:
        yield session


def setting(session: Session, name: str) -> str:
    return str(session.execute(b"SELECT current_setting(%s)", [name]).fetchall()[0][0])


def test_no_wait_is_without_an_end(made: Session) -> None:
    assert setting(made, "statement_timeout") == "1min"
    assert setting(made, "lock_timeout") == "40s"
    assert setting(made, "idle_in_transaction_session_timeout") == "30s"
    assert made.info.get_parameters()["connect_timeout"] == "10"
    assert made.info.get_parameters()["tcp_user_timeout"] == "30000"


def test_what_the_url_says_goes_first() -> None:
    with closing(begin(server().url() + "&connect_timeout=3&application_name=mine", "here", Hurry())) as session:
        assert session.info.get_parameters()["connect_timeout"] == "3"
        assert setting(session, "application_name") == "mine"


def test_what_is_answered_is_on_disk(made: Session) -> None:
    assert setting(made, "synchronous_commit") == "on"
    for given, wanted in [("off", "on"), ("remote_apply", "remote_apply")]:
        url = server().url() + f"&options=-csynchronous_commit%3D{given}"
        with closing(begin(url, "here", Hurry())) as session:
            assert setting(session, "synchronous_commit") == wanted


def test_isolation_is_ours_whatever_the_database_says() -> None:
    url = server().url() + "&options=-cdefault_transaction_isolation%3Dserializable"
    with closing(begin(url, "here", Hurry())) as session:
        assert setting(session, "default_transaction_isolation") == "read committed"


def test_text_is_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with closing(begin(server().url(), "here", Hurry())) as session:
        assert session.execute(b"SELECT chr(8364)").fetchall() == [("\N{EURO SIGN}",)]


def test_the_schema_is_that_of_search_path_where_it_has_been_set(
    made: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (made.schema, setting(made, "search_path")) == ("nbflow", "nbflow")
    assert made.version.startswith("18.")
    for given, wanted in [("mine", "mine"), ("Mine", "mine"), ('"My one"', "My one"), ("public", "public")]:
        monkeypatch.setenv("PGOPTIONS", "-csearch_path=" + given.replace(" ", "\\ "))
        with closing(begin(server().url(), "here", Hurry())) as session:
            assert session.schema == wanted


@pytest.mark.parametrize("several", ["a,b", "a.b", '""'])
def test_more_than_one_schema_is_refused(several: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-csearch_path=" + several)
    with pytest.raises(UnreachableError, match="here: search_path does not name one schema"):
        begin(server().url(), "here", Hurry())


def test_a_database_that_cannot_hold_all_text_is_refused() -> None:
    server().run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(UnreachableError, match="here: the database keeps text as LATIN1") as told:
        begin(f"postgresql://postgres@/latin?host={server().folder}", "here", Hurry())
    assert "--encoding=UTF8" in str(told.value.hint)


def test_an_old_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST", 99)
    with pytest.raises(UnreachableError, match=r"here: PostgreSQL 18\.\d+ is too old"):
        begin(server().url(), "here", Hurry())


def test_a_server_that_is_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.2)
    with Wire(server().folder) as wire, closing(begin(server().url(folder=wire.folder), "here", Hurry())) as session:
        wire.break_at("SELECT 42", Break.SILENT)
        with pytest.raises(psycopg.OperationalError, match="does not answer"):
            session.execute(b"SELECT 42")


def test_the_library_says_nothing_by_itself() -> None:
    """Where nobody has set up logging, what it warns of would go to the terminal."""
    assert any(isinstance(one, logging.NullHandler) for one in logging.getLogger("psycopg").handlers)


def test_one_that_takes_its_time_is_none(made: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 20.0)
    assert made.execute(b"SELECT pg_sleep(0.3), 7").fetchall()[0][1] == 7
