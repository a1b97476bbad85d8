"""Which store a project has."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nbflow.errors import UnreachableError
from nbflow.store.opening import is_made, open_database, open_store
from nbflow.store.postgres.store import PostgresStore
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.postgres import schema, server
from support.stored import Kept


def test_a_path_is_a_file_that_the_first_run_makes(tmp_path: Path) -> None:
    path = tmp_path / "x" / "state.db"
    with closing(open_store(str(path))) as store:
        assert isinstance(store, SqliteStore)
        assert store.runs() == []
        assert not path.exists()
        Kept(store, planned("a"))
    assert path.exists()


def test_a_url_is_a_database_in_which_the_first_run_makes_the_schema() -> None:
    name = schema()
    with closing(open_store(server().url(name))) as store:
        assert isinstance(store, PostgresStore)
        assert store.runs() == []
        assert server().run(f"SELECT to_regnamespace('{name}')") == [(None,)]
        Kept(store, planned("a"))
        assert len(store.runs()) == 1


def test_whether_there_is_a_file_already(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    assert not is_made(str(path))
    path.symlink_to("nowhere")
    assert is_made(str(path)), "what is there is judged when it is opened"
    assert is_made("postgresql://db/x")


def test_a_package_that_is_missing_is_named_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UnreachableError, match=r"^postgresql://db/x: PostgreSQL needs a package") as told:
        open_database("postgresql://me:secret@db/x")
    assert told.value.hint == "pip install 'jupyter-nbflow[postgres]'"
    assert "secret" not in told.value.message


def test_nobody_loads_what_is_not_used(tmp_path: Path) -> None:
    program = (
        "import sys; from nbflow.store.opening import open_store;"
        f"open_store({str(tmp_path / 'state.db')!r}); print('psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
