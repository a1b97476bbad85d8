"""The statements: that they stand in one file, fit the schema and use its indexes; and the forms of values."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbflow
from nbflow.core import messages as msg
from nbflow.store import sql
from nbflow.store.migrate import migrate
from support.strategies import instances

PACKAGE = Path(nbflow.__file__).parent
SQL = re.compile(
    r"\b(SELECT\s+[\w*:('\"]|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|PRAGMA\s+\w+|REPLACE\s+INTO"
    r"|(CREATE|DROP|ALTER)\s+(UNIQUE\s+|TEMP\s+)?(TABLE|INDEX|VIEW|TRIGGER)|BEGIN\s+(IMMEDIATE|EXCLUSIVE)|SAVEPOINT)"
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An empty store in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        migrate(made, "here", 1.0)
        yield made


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module that are not docstrings, parts of f-strings included."""
    tree = ast.parse(path.read_text("utf-8"))
    prose = {id(found.value) for found in ast.walk(tree) if isinstance(found, ast.Expr)}
    for found in ast.walk(tree):
        if isinstance(found, ast.Constant) and isinstance(found.value, str) and id(found) not in prose:
            yield found.lineno, found.value


class TestStatements:
    def test_no_sql_stands_anywhere_else(self) -> None:
        found = [
            f"{path.relative_to(PACKAGE)}:{line}: {text}"
            for path in sorted(PACKAGE.rglob("*.py"))
            for line, text in strings(path)
            if SQL.search(text)
        ]
        assert not found

    def test_the_search_for_sql_finds_what_is_there(self) -> None:
        others = {"commit", "rollback"}
        missed = [name for name, text in sql.statements().items() if not SQL.search(text) and name not in others]
        assert not missed

    def test_each_is_used_and_each_that_is_used_is_there(self) -> None:
        used = {text for path in (PACKAGE / "store").glob("*.py") for _, text in strings(path)}
        assert set(sql.statements()) <= used

    def test_each_is_one_whole_statement(self) -> None:
        for name, text in sql.statements().items():
            assert sqlite3.complete_statement(text), name
            assert text.count(";") == 1, name
            assert "--" not in text, name

    def test_no_name_twice(self) -> None:
        text = (PACKAGE / "store" / "queries.sql").read_text("utf-8")
        names = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
        assert len(names) == len(set(names)) == len(sql.statements())

    def test_each_fits_the_schema(self, connection: sqlite3.Connection) -> None:
        for text in sql.statements().values():
            names = dict.fromkeys(re.findall(r":(\w+)", text))
            connection.execute(f"EXPLAIN {text}", names)

    def test_no_pattern_is_matched(self) -> None:
        assert not [text for text in sql.statements().values() if re.search(r"\b(LIKE|GLOB|REGEXP|MATCH)\b", text)]


class TestIndexes:
    """`EXPLAIN QUERY PLAN`: every read goes by an index, and none sorts."""

    READS = (
        *("read_events", "read_run", "read_runs", "read_runs_of_pipeline", "read_tasks", "read_last_success"),
        *("read_requests", "update_run", "move_run", "update_task", "claim_run", "release_run", "drop_requests"),
        *("renew_run", "read_going", "put_pool", "drop_pool", "drop_pools"),
    )

    def plan(self, connection: sqlite3.Connection, name: str) -> str:
        text = sql.statements()[name]
        rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", dict.fromkeys(re.findall(r":(\w+)", text)))
        return "\n".join(row[3] for row in rows)

    @pytest.mark.parametrize("name", READS)
    def test_nothing_is_sorted_and_no_table_is_read_through(self, connection: sqlite3.Connection, name: str) -> None:
        plan = self.plan(connection, name)
        assert "TEMP B-TREE" not in plan
        assert not re.search(r"SCAN (runs|events|tasks|inbox)(?! USING (COVERING )?INDEX)", plan)

    def test_a_list_reads_on_from_the_newest(self, connection: sqlite3.Connection) -> None:
        assert "SCAN runs USING INDEX runs_by_time" in self.plan(connection, "read_runs")
        assert "SEARCH runs USING INDEX runs_by_pipeline (pipeline=?)" in self.plan(connection, "read_runs_of_pipeline")

    def test_what_is_going_on_is_found_without_a_look_at_the_history(self, connection: sqlite3.Connection) -> None:
        assert self.plan(connection, "read_going") == "SCAN runs USING INDEX runs_going"

    @pytest.mark.parametrize(
        ("name", "indices"),
        [
            ("update_run", set()),
            ("move_run", {"runs_by_time", "runs_by_pipeline", "runs_going"}),
            ("update_task", {"tasks_by_origin"}),  # of the few tasks that it is for
        ],
    )
    def test_an_append_writes_no_index_that_stays_as_it_is(
        self, connection: sqlite3.Connection, name: str, indices: set[str]
    ) -> None:
        """Each would be a page more in every commit. What the statement would do, SQLite's own program tells."""
        text = sql.statements()[name]
        program = connection.execute(f"EXPLAIN {text}", dict.fromkeys(re.findall(r":(\w+)", text))).fetchall()
        opened = {row[2]: row[3] for row in program if row[1] == "OpenWrite"}  # cursor -> page
        pages = dict(connection.execute("SELECT rootpage, name FROM sqlite_master"))
        written = {pages[opened[row[2]]] for row in program if row[1] in ("IdxInsert", "IdxDelete")}
        assert written == indices

    @pytest.mark.parametrize("index", ["runs_by_time", "runs_by_pipeline"])
    def test_what_a_list_is_filtered_by_stands_in_its_index(self, connection: sqlite3.Connection, index: str) -> None:
        """So that rows, with their documents, are read only where they are shown."""
        columns = {row[2] for row in connection.execute(f"PRAGMA index_info({index})")}
        assert {"created", "run", "state"} <= columns

    def test_a_success_is_looked_for_run_by_run_from_the_newest(self, connection: sqlite3.Connection) -> None:
        plan = self.plan(connection, "read_last_success")
        assert "SEARCH runs USING COVERING INDEX runs_by_pipeline (pipeline=?)" in plan
        assert "SEARCH tasks USING INDEX tasks_by_name (run=? AND task=?)" in plan

    @pytest.mark.parametrize(
        ("filters", "most"),
        [
            ({}, 3_300),
            ({"prefix": "sales-"}, 3_500),
            ({"states": '["succeeded"]'}, 6_800),
            # Nothing fits: the whole index is gone through, but no row is.
            ({"states": '["interrupted"]'}, 250_000),
            ({"prefix": "nothing"}, 150_000),
        ],
    )
    def test_a_page_of_a_long_history_costs_little(
        self, connection: sqlite3.Connection, filters: dict[str, str], most: int
    ) -> None:
        """Counted in steps of SQLite's machine, not in seconds."""
        runs = 10_000
        start = datetime(2026, 1, 1, tzinfo=UTC)
        connection.execute("BEGIN")
        connection.executemany(
            sql.statements()["create_run"],
            (
                {
                    "run": f"sales-{number:06}",
                    "pipeline": "sales",
                    "state": "failed" if number % 3 else "succeeded",
                    "created": sql.to_instant(start + timedelta(minutes=number)),
                    "owner": None,
                    "now": sql.to_instant(start),
                    "fence": 0,
                    "seq": 1,
                    "document": "{}",
                }
                for number in range(runs)
            ),
        )
        connection.execute("COMMIT")
        for name in ("read_runs", "read_runs_of_pipeline"):
            steps = 0

            def count() -> None:
                nonlocal steps
                steps += 100

            connection.set_progress_handler(count, 100)
            values = {"pipeline": "sales", "prefix": "", "states": None, "limit": 100, **sql.lease(start), **filters}
            rows = connection.execute(sql.statements()[name], values).fetchall()
            connection.set_progress_handler(None, 0)
            assert len(rows) in (0, 100)
            assert steps < most, name


class TestInstants:
    def test_all_have_one_length_and_are_utc(self) -> None:
        at = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
        assert sql.to_instant(at) == "2025-12-31T23:30:00.000000+00:00"

    def test_an_hour_that_comes_twice_has_two(self) -> None:
        zone = ZoneInfo("Europe/Berlin")
        found = [sql.to_instant(datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=fold)) for fold in (0, 1)]
        assert found == ["2026-10-25T00:30:00.000000+00:00", "2026-10-25T01:30:00.000000+00:00"]

    @given(*[st.datetimes(min_value=datetime(1000, 1, 2), timezones=st.timezones())] * 2)  # noqa: DTZ001
    def test_text_sorts_as_time_does(self, one: datetime, two: datetime) -> None:
        one, two = one.astimezone(UTC), two.astimezone(UTC)
        assert (sql.to_instant(one) < sql.to_instant(two)) == (one < two)
        assert datetime.fromisoformat(sql.to_instant(one)) == one


class TestJson:
    def test_it_is_compact_and_ascii(self) -> None:
        assert sql.to_json({"a": [1, "é"]}) == '{"a":[1,"\\u00e9"]}'

    @given(st.text(st.characters(categories=["Cs", "Cc", "Lu", "So"]) | st.characters()))
    def test_any_text_can_be_stored(self, text: str) -> None:
        stored = sql.to_json(text)
        stored.encode("utf-8")
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        assert json.loads(stored) == joined  # two halves of a pair that stand together are the character they make

    def test_what_has_no_json_form_is_a_bug(self) -> None:
        with pytest.raises(TypeError, match="set has no JSON form"):
            sql.to_json({"a": {1}})

    @given(instances(msg.Cancel))
    def test_requests(self, request: msg.Cancel) -> None:
        assert sql.request_of([sql.request_text(request)]) == request
