"""What cells show: in the notebook within bounds, beside it whole."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from nbflow.worker import displays as dp
from nbflow.worker.displays import Displays
from nbflow.worker.spool import Spools


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "j.jsonl", "t", {0: 1, 3: 2})


@pytest.fixture
def displays(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> Displays:
    monkeypatch.setattr(dp, "MOST", 100)
    monkeypatch.setattr(dp, "NOTEBOOK", 150)
    monkeypatch.setattr(dp, "FEW", 20)
    monkeypatch.setattr(dp, "TRACEBACK", 100)
    monkeypatch.setattr(dp, "EACH", 0)
    monkeypatch.setattr(dp, "BESIDE", 0)
    return Displays(spools, [].append)


def shown(**data: Any) -> dict[str, Any]:
    kinds = {"html": "text/html", "text": "text/plain", "ours": "application/vnd.nbflow.output.v1+json"}
    return {"output_type": "display_data", "data": {kinds[name]: value for name, value in data.items()}, "metadata": {}}


def kept(found: tuple[dict[str, Any], list[dict[str, str]]] | None) -> tuple[dict[str, Any], list[dict[str, str]]]:
    assert found is not None
    return found


def names(spools: Spools) -> list[str]:
    return sorted(path.name for path in spools.folder.glob("*"))


def test_a_large_value_makes_way_for_a_line(displays: Displays, spools: Spools) -> None:
    output, files = kept(displays.add(3, shown(html="x" * 101, text="table\n")))
    assert output["data"] == {
        "text/plain": "table\n[truncated: 101 characters of text/html are left out here; all of it is beside this in "
        "t.cell-2.output-1.html.gz]"
    }
    assert files == [{"file": "cell-2.output-1.html.gz", "mime": "text/html"}]
    assert gzip.decompress((spools.folder / files[0]["file"]).read_bytes()) == b"x" * 101


def test_small_ones_stay_as_they_are_and_our_own_are_no_exception(displays: Displays) -> None:
    for output in (shown(html="x" * 100), shown(ours={"name": "n", "value": "x"})):
        assert kept(displays.add(0, output)) == (output, [])
        displays.clear(0)
    output, files = kept(displays.add(0, shown(ours={"name": "n", "value": "x" * 500})))
    assert list(output["data"]) == ["text/plain"]
    assert [file["mime"] for file in files] == ["application/vnd.nbflow.output.v1+json"]


def test_a_notebook_keeps_so_much_and_no_more(displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp, "IN_ALL", 200)
    monkeypatch.setattr(dp, "EACH", 5)
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["m" * 500]}
    found = [displays.add(index, shown(html="x" * 20)) for index in (0, 3) * 20]
    assert [one is not None for one in found] == [True] * 8 + [False] * 32
    lines, beside = kept(displays.add(3, error))
    assert sum(len(line) for line in lines["traceback"] if "truncated" not in line) == 40
    assert beside
    assert displays.add(3, error) is None
    displays.clear(0)
    displays.clear(3)
    assert displays.add(0, shown(html="x" * 20)) is not None


def test_files_count_too(displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp, "IN_ALL", 200)
    monkeypatch.setattr(dp, "BESIDE", 50)
    assert [displays.add(0, shown(html="x" * 101)) is not None for _ in range(6)] == [True] * 4 + [False] * 2


def test_metadata_has_bounds(displays: Displays, spools: Spools) -> None:
    output, files = kept(displays.add(0, {**shown(text="t"), "metadata": {"m": "x" * 100}}))
    assert output["metadata"] == {}
    assert "108 characters of metadata are left out" in output["data"]["text/plain"]
    assert names(spools) == [files[0]["file"]]


def test_what_many_displays_change_to_counts_for_each(displays: Displays) -> None:
    for _ in range(10):
        kept(displays.add(0, shown(html="x"), "d"))
    assert kept(displays.update("d", shown(html="y" * 10)))[1] == []
    assert kept(displays.update("d", shown(html="y" * 21)))[1] != []
    assert displays.update("unknown", shown(html="y")) is None


def test_a_notebook_has_bounds_of_its_own_and_clearing_gives_back(displays: Displays, spools: Spools) -> None:
    for _ in range(2):
        assert kept(displays.add(0, shown(html="x" * 90)))[1] == []
        assert kept(displays.add(0, shown(html="x" * 90)))[1] != []
        assert kept(displays.add(0, shown(html="x" * 20)))[1] == []
        displays.clear(0)
        assert names(spools) == []


def test_an_update_takes_the_place_of_what_was_there(displays: Displays, spools: Spools) -> None:
    for index in (0, 3):
        kept(displays.add(index, shown(html="x" * 70), "d"))
    for _ in range(3):
        output, files = kept(displays.update("d", shown(html="y" * 101)))
        assert "truncated" in output["data"]["text/plain"]
        assert names(spools) == [files[0]["file"]]
    displays.clear(0)
    displays.clear(3)
    assert names(spools) == []
    assert kept(displays.add(0, shown(html="x" * 100)))[1] == []


def test_an_error_keeps_its_ends(displays: Displays, spools: Spools) -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v" * 500, "traceback": ["begin", "m" * 500, "end"]}
    output, files = kept(displays.add(0, error))
    first, note, last = output["traceback"]
    assert (first[:5], last[-3:], len(first), len(last)) == ("begin", "end", 50, 50)
    assert "truncated: 410 characters of this error" in note
    assert len(output["evalue"]) == 20
    assert gzip.decompress((spools.folder / files[0]["file"]).read_bytes()).endswith(b"m\nend")


def test_widgets(displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp, "MOST_WIDGET", 50)
    monkeypatch.setattr(dp, "NOTEBOOK_WIDGETS", 80)
    assert displays.takes_widget("a", {"value": "x" * 30}, [])
    assert displays.takes_widget("a", {"value": "x" * 30}, [])
    assert not displays.takes_widget("b", {}, [{"data": "x" * 60}])
    assert displays.takes_widget("a", {"other": "x" * 20}, [])
    assert not displays.takes_widget("c", {"value": "x" * 35}, [])
    assert not displays.takes_widget("a", {"third": "x" * 20}, [])
    assert displays.takes_widget("a", {"value": ""}, [])
