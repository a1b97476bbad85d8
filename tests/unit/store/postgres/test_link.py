"""Calls on a connection that breaks, is silent, or never was there."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nbflow import faultpoints
from nbflow.errors import UnreachableError
from nbflow.store import hurry
from nbflow.store.postgres import link as module
from nbflow.store.postgres import session
from nbflow.store.postgres.link import Link, Row
from support.postgres import LOGIN, PASSWORD, schema, server
from support.waiting import allowed, until
from support.wire import Break, Wire

NEW: dict[str, Any] = {
    **dict.fromkeys(("run", "pipeline", "state", "created", "document"), "r"),
    "seq": 1,
    "fence": 0,
    **dict.fromkeys(("owner", "now")),
    **{name: [] for name in ("seqs", "ats", "types", "bodies")},
    **{name: [] for name in ("positions", "tasks", "states", "documents", "outputs", "origins")},
}
"""A run for `create_run`."""

ASK = {"run": "r", "now": None, "lease": 60}


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(server().folder) as made:
        yield made


@pytest.fixture
def link(wire: Wire) -> Iterator[Link]:
    with closing(Link(server().url(schema(), folder=wire.folder), 20.0)) as made:
        made.open(create=True)
        yield made


def is_there(link: Link) -> bool:
    return len(link.rows("read_run", ASK)) == 1


def _change(link: Link) -> None:
    link.change("create_run", NEW)


def _transact(link: Link) -> None:
    link.transaction(lambda execute, _: execute("create_run", NEW))


class TestALostConnection:
    def test_a_question_is_asked_again(self, wire: Wire, link: Link) -> None:
        link.change("create_run", NEW)
        wire.break_at("FROM runs WHERE run", Break.BEFORE, Break.AFTER)
        assert is_there(link)
        assert wire.broken == 2

    @pytest.mark.parametrize("way", [_change, _transact])
    def test_a_fault_may_come_after_each_commit(
        self, link: Link, way: Callable[[Link], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as failing:
            failing.setattr(faultpoints, "_asked", f"{faultpoints.Point.COMMITTED}:error")
            failing.setattr(faultpoints, "_passages", Counter())
            with pytest.raises(UnreachableError, match="the store cannot be used: Input/output error"):
                way(link)
        assert is_there(link)

    @pytest.mark.parametrize("how", [Break.BEFORE, Break.AFTER])
    def test_a_change_is_made_again_and_said_to_be_unsure(self, wire: Wire, link: Link, how: Break) -> None:
        wire.break_at("INSERT INTO runs", how)
        rows, unsure = link.change("create_run", NEW)
        assert unsure
        assert rows == ([("r",)] if how is Break.BEFORE else [])
        assert is_there(link)

    def test_one_that_is_lost_between_two_calls_is_said_to_be_so_too(self, link: Link) -> None:
        server().crash()
        server().start()
        assert link.change("create_run", NEW) == ([("r",)], True)

    def test_a_change_that_meets_nothing_is_sure(self, link: Link) -> None:
        assert link.change("create_run", NEW) == ([("r",)], False)
        assert link.change("create_run", NEW) == ([], False)

    @pytest.mark.parametrize("how", [Break.BEFORE, Break.AFTER])
    @pytest.mark.parametrize("at", ["LOCK", "INSERT INTO runs", "COMMIT"])
    def test_a_transaction_is_begun_again(self, wire: Wire, link: Link, at: str, how: Break) -> None:
        told: list[bool] = []

        def act(execute: Callable[[str, Mapping[str, Any]], list[Row]], unsure: bool) -> bool:
            told.append(unsure)
            execute("lock_pools", {})
            return execute("create_run", NEW) == [("r",)]

        wire.break_at(at, how)
        made = link.transaction(act)
        assert told == [False, True]
        assert made == ((at, how) != ("COMMIT", Break.AFTER))
        assert is_there(link)

    def test_a_server_that_comes_back_is_waited_for(self, link: Link) -> None:
        link.change("create_run", NEW)
        server().stop()
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(is_there(link)))
        thread.start()
        try:
            time.sleep(0.3)  # it is to fail a few times before
            assert found == []
        finally:
            server().start()
        thread.join(20)
        assert found == [True]

    def test_a_server_that_does_not_come_back_is_named(self, wire: Wire) -> None:
        with closing(Link(server().url(schema(), folder=wire.folder), 0.5)) as link:
            link.open(create=True)
            server().stop()
            try:
                begun = time.monotonic()
                with pytest.raises(
                    UnreachableError, match=r"^postgresql:///postgres\?host=.*: the store cannot be used:"
                ) as told:
                    is_there(link)
                assert 0.4 < time.monotonic() - begun < allowed(10)
            finally:
                server().start()
            assert told.value.hint is not None
            assert "see that the server runs" in told.value.hint
            assert not is_there(link), "it is usable again once the server is back"

    def test_to_close_ends_the_wait(self, link: Link) -> None:
        failed: list[UnreachableError] = []

        def ask() -> None:
            try:
                is_there(link)
            except UnreachableError as error:
                failed.append(error)

        server().stop()
        try:
            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(0.2)  # let it begin to wait
            link.close()
            thread.join(5)
        finally:
            server().start()
        assert "it has been closed" in failed[0].message


class TestAHurry:
    """Whoever wants to stop waits no more, wherever the wait is."""

    def fails_soon(self, call: Callable[[], object], hurry: Callable[[], None], *, within: float) -> None:
        """Fail within some seconds of a hurry that comes in the midst of a call."""
        came: list[float] = []

        def come() -> None:
            came.append(time.monotonic())
            hurry()

        timer = threading.Timer(0.3, come)
        timer.start()
        with pytest.raises(UnreachableError, match="the store cannot be used"):
            call()
        timer.join()
        assert time.monotonic() - came[0] < allowed(within)

    def test_a_server_that_is_gone_is_waited_for_no_more(self, link: Link) -> None:
        link.change("create_run", NEW)
        server().stop()
        try:
            self.fails_soon(lambda: is_there(link), link.hurry, within=2)
            began = time.monotonic()
            with pytest.raises(UnreachableError):
                is_there(link)
            assert time.monotonic() - began < allowed(2), "nor is it later"
        finally:
            server().start()
        assert is_there(link), "it is usable once the server is back"

    def test_nor_one_that_is_silent(self, wire: Wire, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hurry, "BUSY_SECONDS", 0.3)
        monkeypatch.setattr(hurry, "AWAY_SECONDS", 0.1)
        wire.break_at("INSERT INTO runs", Break.SILENT)
        self.fails_soon(lambda: link.change("create_run", NEW), link.hurry, within=3)
        assert wire.broken == 1

    def test_nor_one_that_lets_nobody_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It takes connections, and says nothing on them."""
        monkeypatch.setattr(hurry, "BUSY_SECONDS", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"postgresql://postgres@127.0.0.1:{deaf.getsockname()[1]}/db?connect_timeout=60"
            with closing(Link(url, 60.0)) as link:
                self.fails_soon(lambda: link.open(create=False), link.hurry, within=3)

    def test_a_connection_that_was_lost_meanwhile_is_made_again(self, link: Link) -> None:
        link.change("create_run", NEW)
        server().crash()
        server().start()
        link.hurry()
        assert is_there(link)


class TestAServerThatIsSilent:
    def test_it_is_left_and_asked_again(self, wire: Wire, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "SILENCE_SECONDS", 0.3)
        wire.break_at("INSERT INTO runs", Break.SILENT)
        assert link.change("create_run", NEW) == ([("r",)], True)
        assert wire.broken == 1


class TestNeverThere:
    def test_a_server_that_never_answers_is_given_up_sooner(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FIRST_SECONDS", 0.2)
        begun = time.monotonic()
        with (
            closing(Link(f"postgresql:///db?host={tmp_path}", 60.0)) as link,
            pytest.raises(UnreachableError, match="No such file or directory"),
        ):
            link.open(create=False)
        assert time.monotonic() - begun < allowed(10)

    @pytest.mark.parametrize(
        ("url", "said", "hint"),
        [
            ("postgresql://postgres@/nowhere?host={folder}", 'database "nowhere" does not exist', "createdb"),
            ("postgresql://stranger@/postgres?host={folder}", 'role "stranger" does not exist', ".pgpass"),
            ("postgresql://u:secret@no.such.host.invalid/db", "failed to resolve host", "correct the host"),
            ("postgresql://postgres@/postgres?host={folder}&sslmode=odd", "sslmode", "sslmode"),
            ("postgresql:///db?service=nowhere", "service", "pg_service.conf"),
        ],
    )
    def test_what_will_not_pass_is_said_at_once(self, url: str, said: str, hint: str) -> None:
        begun = time.monotonic()
        with (
            closing(Link(url.format(folder=server().folder), 60.0)) as link,
            pytest.raises(UnreachableError, match=said) as told,
        ):
            link.open(create=False)
        assert hint in str(told.value.hint)
        assert "secret" not in f"{told.value.message}{told.value.hint}"
        assert time.monotonic() - begun < allowed(3)


class TestPasswords:
    @pytest.fixture
    def login(self) -> str:
        """A user that needs a password."""
        if not server().run(f"SELECT 1 FROM pg_roles WHERE rolname = '{LOGIN}'"):
            server().run(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{PASSWORD}'")
            server().run(f"GRANT CREATE ON DATABASE postgres TO {LOGIN}")
        return LOGIN

    ESCAPED = "".join(f"%{byte:02X}" for byte in PASSWORD.encode())

    def all_said(self, url: str) -> str:
        """All that a link says of itself, of a server that refuses it."""
        with closing(Link(url, 1.0)) as link:
            with pytest.raises(UnreachableError) as told:
                link.open(create=False)
            assert told.value.__cause__ is None
            return f"{link.place} {told.value.message} {told.value.hint} {told.value!r}"

    def test_it_may_stand_in_the_url(self, login: str) -> None:
        for url in (
            f"postgresql://{login}:{self.ESCAPED}@/postgres?host={server().folder}",
            f"postgresql:///postgres?host={server().folder}&user={login}&password={self.ESCAPED}",
        ):
            with closing(Link(url, 5.0)) as link:
                assert PASSWORD not in link.describe()
                assert self.ESCAPED not in link.describe()

    def test_or_in_the_environment(self, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        with closing(Link(server().url(user=login), 5.0)) as link:
            assert "PostgreSQL" in link.describe()

    def test_or_in_a_file(self, login: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        file = tmp_path / "pass"
        file.write_text(f"*:*:*:{login}:" + PASSWORD.replace(":", "\\:") + "\n")
        file.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(file))
        with closing(Link(server().url(user=login), 5.0)) as link:
            assert "PostgreSQL" in link.describe()

    def test_a_wrong_one_is_not_told(self, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
        said = self.all_said(f"postgresql://{login}:hunter2@/postgres?host={server().folder}")
        assert "password authentication failed" in said
        said += self.all_said(f"postgresql://{login}@/postgres?host={server().folder}&password=hunter2")
        monkeypatch.setenv("PGPASSWORD", "hunter2")
        said += self.all_said(server().url(user=login))
        assert "hunter2" not in said

    def test_none_is_said(self, login: str) -> None:
        assert "no password supplied" in self.all_said(server().url(user=login))

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://me:hun/ter2@db.example/x",
            "postgresql://me:hun@ter2@db.example/x",
            "postgresql://me:hun%ter2@db.example/x",
            "postgresql://me:hun%00ter2@db.example/x",
            "postgresql://me:hun ter2@db.example/x",
            "postgresql://db.example/x?password=hun@ter2",
            "postgresql://db.example/x?passwort=hunter2",
            "postgresql://me:hunter2",
        ],
    )
    def test_nothing_of_a_url_that_is_wrong(self, url: str) -> None:
        with pytest.raises(UnreachableError) as told:
            Link(url, 1.0).open(create=False)
        assert "hun" not in f"{told.value.message} {told.value.hint}"
        assert "ter2" not in f"{told.value.message} {told.value.hint}"


class TestOthers:
    def test_a_lock_that_is_held_is_waited_for_and_then_named(self, link: Link) -> None:
        link.change("create_run", NEW)
        link._seconds = 0.5
        link._connected().execute(b"SET lock_timeout = '100ms'")
        where = link.describe().rpartition(" ")[2]
        with psycopg.connect(server().url(where)) as other:
            other.execute(b"SELECT 1 FROM runs FOR UPDATE")
            with pytest.raises(UnreachableError, match="lock timeout") as told:
                link.change("release_run", {"run": "r", "fence": 0})
        assert "others" in str(told.value.hint)
        assert link.change("release_run", {"run": "r", "fence": 0}) == ([], False)

    def test_values_that_no_database_holds(self, link: Link) -> None:
        for text in ("a\0b", "\ud800"):
            assert link.rows("read_run", {**ASK, "run": text}) == []
            with pytest.raises(ValueError, match=r"NUL|surrogates"):
                link.change("create_run", {**NEW, "run": text})
        assert link.change("create_run", NEW) == ([("r",)], False)

    def test_what_breaks_off_a_call_leaves_a_usable_connection(self, link: Link) -> None:
        def act(execute: Callable[[str, Mapping[str, Any]], list[Row]], _: bool) -> None:
            execute("create_run", NEW)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            link.transaction(act)
        assert not is_there(link)
        assert link.change("create_run", NEW) == ([("r",)], False)

    def test_a_schema_that_is_taken_away_is_named(self, link: Link) -> None:
        where = link.describe().rpartition(" ")[2]
        server().run(f"DROP SCHEMA {where} CASCADE")
        with pytest.raises(UnreachableError, match="does not exist") as told:
            is_there(link)
        assert "backup" in str(told.value.hint)


def test_it_is_not_for_a_process_forked_off(link: Link) -> None:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            is_there(link)
        except RuntimeError:
            link.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not is_there(link)


def test_nothing_is_left_on_the_server(wire: Wire) -> None:
    name = schema()

    def sessions() -> int:
        text = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"
        return int(str(server().run(text)[0][0]))

    link = Link(server().url(name) + f"&application_name={name}", 5.0)
    link.open(create=True)
    assert sessions() == 1
    link.close()
    link.close()
    until(lambda: sessions() == 0)
    with pytest.raises(UnreachableError, match="it has been closed"):
        is_there(link)
