"""The schema: made once, by one of many, brought up to date whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from nbflow.errors import UnreachableError
from nbflow.store.hurry import Hurry
from nbflow.store.postgres.schema import HERE, prepare, statements
from nbflow.store.postgres.session import Session, begin
from nbflow.store.postgres.store import PostgresStore
from nbflow.store.scripts import Migration, read_migrations
from support.build import planned
from support.postgres import schema, server
from support.stored import Kept

FIRST = (Migration(1, "0001_a.sql", "CREATE TABLE nbflow_version (number integer); CREATE TABLE words (word text);"),)
THEN = (*FIRST, Migration(2, "0002_b.sql", "INSERT INTO words VALUES ('b'); ALTER TABLE words ADD COLUMN more text;"))
BROKEN = (*FIRST, Migration(2, "0002_b.sql", "INSERT INTO words VALUES ('b'); SELECT 1 / 0;"))


@pytest.fixture
def session() -> Iterator[Session]:
    with closing(begin(server().url(schema()), "here", Hurry())) as made:
        yield made


def versions(session: Session) -> list[int]:
    return [row[0] for row in session.execute(b"SELECT number FROM nbflow_version ORDER BY number").fetchall()]


def words(session: Session) -> list[str]:
    return [row[0] for row in session.execute(b"SELECT word FROM words").fetchall()]


def test_one_that_is_missing_is_made_only_where_that_is_wanted(session: Session) -> None:
    assert not prepare(session, session.schema, "here", create=False)
    assert prepare(session, session.schema, "here", create=True)
    assert prepare(session, session.schema, "here", create=False)
    assert versions(session) == [step.number for step in read_migrations(HERE)]


def test_one_that_somebody_has_made_ready_is_used(session: Session) -> None:
    server().run(f"CREATE SCHEMA {session.schema}")
    assert not prepare(session, session.schema, "here", create=False)
    assert prepare(session, session.schema, "here", create=True)


def test_a_user_who_may_not_make_one_is_told_and_uses_one_that_was_made_for_him() -> None:
    name = schema()
    server().run(f"CREATE ROLE {name} LOGIN")
    with closing(PostgresStore(server().url(name, user=name), create=False)) as store:
        with pytest.raises(UnreachableError, match="permission denied for database postgres") as told:
            Kept(store, planned("a"))
        assert "CREATE SCHEMA nbflow AUTHORIZATION" in str(told.value.hint)
        server().run(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
        Kept(store, planned("a"))


def test_a_name_is_only_a_name() -> None:
    name = 'a"; DROP TABLE x; --'
    with closing(begin(server().url(), "here", Hurry())) as session:
        session.execute(b"SELECT set_config('search_path', quote_ident(%s), false)", [name])
        assert prepare(session, name, "here", create=True, steps=FIRST)
        assert server().run("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'a\"; DROP%'") == [(1,)]


def test_each_step_is_taken_once(session: Session) -> None:
    prepare(session, session.schema, "here", create=True, steps=FIRST)
    for _ in range(2):
        prepare(session, session.schema, "here", create=False, steps=THEN)
        assert versions(session) == [1, 2]
        assert words(session) == ["b"]


def test_a_step_that_fails_changes_nothing(session: Session) -> None:
    prepare(session, session.schema, "here", create=True, steps=FIRST)
    with pytest.raises(psycopg.Error, match="division by zero"):
        prepare(session, session.schema, "here", create=False, steps=BROKEN)
    assert versions(session) == [1]
    assert words(session) == []


def test_a_newer_one_is_refused_and_left_alone(session: Session) -> None:
    prepare(session, session.schema, "here", create=True, steps=THEN)
    with pytest.raises(UnreachableError, match="here: the store has schema 2, this nbflow knows up to 1") as told:
        prepare(session, session.schema, "here", create=True, steps=FIRST)
    assert "upgrade nbflow" in str(told.value.hint)
    assert versions(session) == [1, 2]


def test_of_many_at_once_one_makes_it() -> None:
    name = schema()
    failed: list[Exception] = []
    barrier = threading.Barrier(6)

    def make() -> None:
        with closing(begin(server().url(name), "here", Hurry())) as session:
            barrier.wait()
            try:
                assert prepare(session, name, "here", create=True, steps=THEN)
            except (psycopg.Error, UnreachableError) as error:
                failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with closing(begin(server().url(name), "here", Hurry())) as session:
        assert versions(session) == [1, 2]
        assert words(session) == ["b"]


def test_every_statement_is_one_that_the_server_understands(session: Session) -> None:
    """Prepared, not executed: nothing in `queries.sql` is spelled wrong."""
    prepare(session, session.schema, "here", create=True)
    utility = {"lock_pools", "lock_for_removal", "make_schema"}
    for name, text in statements().items():
        if name in utility:
            continue
        names = sorted({part.partition(b")")[0] for part in text.split(b"%(")[1:]})
        numbered = text.rstrip(b";")
        for number, one in enumerate(names, start=1):
            for kind in (b"s", b"b"):
                numbered = numbered.replace(b"%(" + one + b")" + kind, b"$%d" % number)
        assert b"%(" not in numbered
        session.execute(b"PREPARE one AS " + numbered)
        session.execute(b"DEALLOCATE one")
