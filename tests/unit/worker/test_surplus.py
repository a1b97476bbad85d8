"""Outputs that a notebook does not keep are counted, said and kept beside it, whatever becomes of the worker."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nbflow.worker.fold import fold
from nbflow.worker.mending import missing_tails
from nbflow.worker.spool import Spools
from nbflow.worker.surplus import Surplus
from support.attempts import notebook


class Kept:
    """A journal that only keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, kind: str, **body: Any) -> None:
        self.records.append({"type": kind, **body})

    def folded(self) -> Any:
        header = {"type": "attempt", "version": 1, "at": "2026-01-31T02:00:00.000Z", "order": {"slug": "t"}}
        header |= {"parameters": {}, "source": {}, "document": notebook("1"), "kernel": {}, "environment": {}}
        return fold([header, *self.records])


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "j.jsonl", "t", {0: 1})


def add(surplus: Surplus, count: int) -> None:
    for number in range(count):
        surplus.add(0, {"output_type": "display_data", "data": {"text/plain": str(number)}, "metadata": {}})


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line)["data"]["text/plain"] for line in file]


def line(kept: Kept) -> str:
    (output,) = kept.folded().document["cells"][0]["outputs"]
    return str(output["data"]["text/plain"])


def test_they_are_counted_and_written(spools: Spools) -> None:
    surplus = Surplus(kept := Kept(), spools)
    add(surplus, 1200)
    surplus.rest()
    assert len(kept.records) == 1
    surplus.end(0)
    surplus.flush()
    assert len(kept.records) == 2
    mark = "[truncated: 1,200 outputs of this cell are left out here; all of them are beside this in "
    assert line(kept) == f"{mark}t.cell-1.output-more.jsonl.gz]"
    (entry,) = kept.folded().document["metadata"]["nbflow"]["spooled"]
    assert entry == {"cell": 0, "output": "output-more", "file": "cell-1.output-more.jsonl.gz"}
    assert lines(spools.folder / entry["file"]) == [str(number) for number in range(1200)]
    assert kept.folded().open_surplus == ()


def test_late_ones_count_too(spools: Spools) -> None:
    surplus = Surplus(kept := Kept(), spools)
    for _ in range(2):
        add(surplus, 2)
        surplus.end(0)
    assert "4 outputs" in line(kept)
    assert len(lines(spools.folder / "cell-1.output-more.jsonl.gz")) == 4


def test_a_crash_loses_none_that_was_written(spools: Spools, tmp_path: Path) -> None:
    surplus = Surplus(kept := Kept(), spools)
    add(surplus, 7)
    surplus.rest()
    (record,) = missing_tails(tmp_path / "j.jsonl", kept.folded())
    kept.append(record.pop("type"), **record)
    assert "7 outputs" in line(kept)
    assert len(lines(spools.folder / "cell-1.output-more.jsonl.gz")) == 7


def test_clearing_takes_them(spools: Spools) -> None:
    surplus = Surplus(kept := Kept(), spools)
    add(surplus, 3)
    surplus.clear(0)
    kept.append("clear", cell=0, wait=False)
    assert kept.folded().document["cells"][0]["outputs"] == []
    assert list(spools.folder.iterdir()) == []
    surplus.flush()
    assert kept.folded().document["cells"][0]["outputs"] == []


def test_without_a_place_they_are_counted() -> None:
    surplus = Surplus(kept := Kept(), None)
    add(surplus, 1)
    surplus.end(0)
    assert line(kept) == "[truncated: 1 output of this cell is left out here]"
