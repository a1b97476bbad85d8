"""What lies around: old enough, and known by its name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nbflow.leftovers import SETTLED_SECONDS, leftovers, run_folders

RUN = "sales-20260131T060000-k3fa"
STATE = ".nbflow"


def made(place: Path, *, age: float = SETTLED_SECONDS + 60) -> Path:
    """A file that was written so many seconds ago."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("x")
    at = time.time() - age
    for one in (place, place.parent):
        os.utime(one, (at, at))
    return place


def found(root: Path) -> list[str]:
    return [str(one.relative_to(root)) for one in leftovers(root, root)]


@pytest.mark.parametrize("name", [f"{STATE}/journals/{RUN}/a.1.jsonl", f"{STATE}/logs/{RUN}.log"])
def test_journals_and_logs_once_they_are_old(tmp_path: Path, name: str) -> None:
    place = made(tmp_path / name)
    expected = str(Path(name).parent) if name.endswith("jsonl") else name
    assert found(tmp_path) == [expected]
    os.utime(place)
    assert found(tmp_path) == []


def test_what_was_put_out_of_sight_at_once(tmp_path: Path) -> None:
    made(tmp_path / STATE / "removed" / RUN / "run.json", age=0)
    assert found(tmp_path) == [f"{STATE}/removed/{RUN}"]


def test_folders_of_runs(tmp_path: Path) -> None:
    made(tmp_path / "sales" / RUN / "run.json")
    for other in ("sales/mine", f"other/{RUN}", "reports/daily", f"{STATE}/tests/sales", "sales/notes.txt"):
        made(tmp_path / other / "x" if "." not in other[-4:] else tmp_path / other)
    (tmp_path / "link").symlink_to(tmp_path / "sales")
    assert [str(one.relative_to(tmp_path)) for one in run_folders(tmp_path)] == [f"sales/{RUN}"]


def test_what_nobody_may_look_into(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    (tmp_path / STATE / "journals").symlink_to("journals")
    made(tmp_path / STATE / "removed" / RUN / "run.json", age=0)
    assert found(tmp_path) == [f"{STATE}/removed/{RUN}"]


def test_nothing_there(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "no", tmp_path / "no") == []
    assert run_folders(tmp_path / "no") == []
