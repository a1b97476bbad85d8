"""What a notebook says: shown by IPython where there is one, printed elsewhere, in the encoding of `core.values`."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow import notebook
from nbflow.core import values

zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30)), ZoneInfo("Europe/Prague")])
texts = st.text(st.characters(codec="utf-8"), max_size=10)
hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.dates(),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    texts.filter(lambda text: "\0" not in text).map(PurePosixPath),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.floats(width=32).map(np.float32),
    st.booleans().map(np.bool_),
)
everything = st.recursive(
    hashables | st.sets(hashables, max_size=3) | st.frozensets(hashables, max_size=3),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables, inner, max_size=3),
        st.dictionaries(st.sampled_from(["$date", "a"]), inner, max_size=2),
    ),
    max_leaves=8,
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What an IPython that is not there shows."""
    bundles: list[dict[str, Any]] = []

    def publish(data: dict[str, Any], metadata: dict[str, Any]) -> None:
        bundles.append(data)

    shell = SimpleNamespace(display_pub=SimpleNamespace(publish=publish))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return bundles


def payload(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    assert set(bundle) == {f"application/vnd.nbflow.{kind}.v1+json", "text/plain"}
    found: dict[str, Any] = bundle[f"application/vnd.nbflow.{kind}.v1+json"]
    return found


class TestEncoding:
    @given(everything)
    def test_it_is_that_of_the_core(self, value: object) -> None:
        assert repr(notebook._encoded(value, "x")) == repr(values.encode(value))

    @pytest.mark.parametrize(
        "value",
        [
            pd.DataFrame({"a": [1]}),
            pd.Timestamp("2026-01-31"),
            np.array([1]),
            np.datetime64("2026-01-31T00:00:00.000000001"),
            np.longdouble(1),
            b"bytes",
            1j,
            object(),
            print,
            [{"deep": {1: object()}}],
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_the_core_refuses_is_refused_here(self, value: object) -> None:
        with pytest.raises(values.InexactValueError):
            values.encode(value)
        with pytest.raises(TypeError, match="write it to a file and pass the file's path"):
            notebook.output("x", value)

    def test_a_time_zone_of_ones_own_is_refused(self) -> None:
        class Odd(tzinfo):
            def utcoffset(self, when: datetime | None) -> timedelta:
                return timedelta(0)

        with pytest.raises(TypeError, match="use zoneinfo"):
            notebook.output("x", datetime(2026, 1, 1, tzinfo=Odd()))

    @pytest.mark.parametrize("value", ["\ud800", 1 << 20_000, Path("\ud800")], ids=["text", "integer", "path"])
    def test_what_has_no_json_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match="x"):
            notebook.output("x", value)

    def test_the_place_of_the_fault_is_named(self) -> None:
        with pytest.raises(TypeError, match=r"rows\['a'\]\[1\]: an object of type object cannot be passed on"):
            notebook.output("rows", {"a": [1, object()]})

    def test_a_megabyte_at_most(self) -> None:
        with pytest.raises(ValueError, match="write a file and pass its path"):
            notebook.output("x", "x" * 1_100_000)

    def test_no_bottomless_depth(self) -> None:
        deep: list[Any] = []
        for _ in range(200):
            deep = [deep]
        with pytest.raises(ValueError, match=r"^x(\[0\]){19}\[0\.\.\.: nested more than 100 levels deep$"):
            notebook.output("x", deep)


class TestOutput:
    def test_it_is_shown_with_its_type(self, shown: list[dict[str, Any]]) -> None:
        notebook.output("day", date(2026, 1, 31))
        assert payload(shown[0], "output") == {"name": "day", "value": {"$date": "2026-01-31"}}
        assert shown[0]["text/plain"] == "day = datetime.date(2026, 1, 31)"

    def test_without_ipython_it_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        notebook.output("rows", 10)
        assert capsys.readouterr().out == "rows = 10\n"

    def test_python_without_a_shell_prints_too(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
        notebook.output("rows", "x" * 1000)
        assert len(capsys.readouterr().out) < 250

    @pytest.mark.parametrize("name", ["", "a b", "../x", "1a", "a" * 65, 3, None])
    def test_a_name_is_a_name(self, name: Any) -> None:
        with pytest.raises(ValueError, match="is not a name"):
            notebook.output(name, 1)


class TestMaterialize:
    def test_a_path_and_facts(self, shown: list[dict[str, Any]]) -> None:
        notebook.materialize("orders", path=Path("data/x.parquet"), rows=10, day=date(2026, 1, 31))
        assert payload(shown[0], "materialize") == {
            "asset": "orders",
            "path": "data/x.parquet",
            "metadata": {"rows": 10, "day": {"$date": "2026-01-31"}},
        }
        assert shown[0]["text/plain"].startswith("materialized orders: path='data/x.parquet', rows=10")

    def test_the_name_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        notebook.materialize("orders")
        assert capsys.readouterr().out == "materialized orders\n"


class TestCheck:
    def test_a_check_that_failed_only_says_so(self, shown: list[dict[str, Any]]) -> None:
        notebook.check("not_empty", passed=np.bool_(False), rows=0)
        assert payload(shown[0], "check") == {"name": "not_empty", "passed": False, "details": {"rows": 0}}
        assert shown[0]["text/plain"] == "check not_empty: failed (rows=0)"

    @pytest.mark.parametrize("passed", [1, "yes", None, pd.Series([True]), np.array([True])], ids=repr)
    def test_only_a_truth_value_is_one(self, passed: object) -> None:
        with pytest.raises(TypeError, match="must be True or False"):
            notebook.check("c", passed)


class TestRun:
    def test_outside_of_a_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("RUN", "PIPELINE", "TASK", "ATTEMPT", "LOGICAL_DATE"):
            monkeypatch.delenv(f"NBFLOW_{name}", raising=False)
        run = notebook.run
        assert (run.id, run.pipeline, run.task, run.attempt, run.logical_date) == (None,) * 5
        assert repr(run) == "<nbflow: not in a run>"

    def test_inside_of_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = {"RUN": "r-1", "PIPELINE": "p", "TASK": "t", "ATTEMPT": "2", "LOGICAL_DATE": "2026-01-31T05:00:00Z"}
        for name, value in facts.items():
            monkeypatch.setenv(f"NBFLOW_{name}", value)
        assert notebook.run.attempt == 2
        assert notebook.run.logical_date == datetime(2026, 1, 31, 5, tzinfo=UTC)
        assert repr(notebook.run) == "<nbflow run r-1: p.t, attempt 2>"


def test_decimal_and_time_are_exact() -> None:
    value = (Decimal("1.10"), time(1, 2, fold=1))
    assert values.decode(notebook._encoded(value, "x")) == value
