"""What cells show: in the notebook within bounds, beside it whole."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from nbflow.worker import displays as dp
from nbflow.worker.displays import Displays, Updates
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
    return Displays(spools, [].append)


def shown(**data: Any) -> dict[str, Any]:
    kinds = {"html": "text/html", "text": "text/plain", "ours": "application/vnd.nbflow.output.v1+json"}
    return {"output_type": "display_data", "data": {kinds[name]: value for name, value in data.items()}, "metadata": {}}


def names(spools: Spools) -> list[str]:
    return sorted(path.name for path in spools.folder.glob("*"))


def test_a_large_value_makes_way_for_a_line(displays: Displays, spools: Spools) -> None:
    output, files = displays.add(3, shown(html="x" * 101, text="table\n"))
    assert output["data"] == {
        "text/plain": "table\n[truncated: 101 characters of text/html are left out here; all of it is beside this in "
        "t.cell-2.output-1.html.gz]"
    }
    assert files == [{"file": "cell-2.output-1.html.gz", "mime": "text/html"}]
    assert gzip.decompress((spools.folder / files[0]["file"]).read_bytes()) == b"x" * 101


def test_small_ones_and_our_own_stay_as_they_are(displays: Displays) -> None:
    for output in (shown(html="x" * 100), shown(ours={"name": "n", "value": "x" * 500})):
        assert displays.add(0, output) == (output, [])


def test_a_notebook_has_bounds_of_its_own_and_clearing_gives_back(displays: Displays, spools: Spools) -> None:
    for _ in range(2):
        assert displays.add(0, shown(html="x" * 90))[1] == []
        assert displays.add(0, shown(html="x" * 90))[1] != []
        assert displays.add(0, shown(html="x" * 20))[1] == []
        displays.clear(0)
        assert names(spools) == []


def test_an_update_takes_the_place_of_what_was_there(displays: Displays, spools: Spools) -> None:
    for index in (0, 3):
        displays.add(index, shown(html="x" * 70), "d")
    for _ in range(3):
        output, files = displays.update("d", shown(html="y" * 101))
        assert "truncated" in output["data"]["text/plain"]
        assert names(spools) == [files[0]["file"]]
    displays.clear(0)
    displays.clear(3)
    assert names(spools) == []
    assert displays.add(0, shown(html="x" * 100))[1] == []


def test_an_error_keeps_its_ends(displays: Displays, spools: Spools) -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v" * 500, "traceback": ["begin", "m" * 500, "end"]}
    output, files = displays.add(0, error)
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
    assert not displays.takes_widget("c", {"value": "x" * 35}, [])


def test_of_many_changes_the_last_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp, "AT_ONCE", 100)
    written: list[tuple[str, str]] = []
    updates = Updates(lambda display, body: written.append((display, body["data"])))
    for number in range(50):
        updates.add("d", {"data": f"{number:>70}"})
    assert len(written) == 1
    updates.flush()
    updates.flush()
    assert [data.strip() for _, data in written] == ["0", "49"]
    updates.add("d", {"data": "with a file", "files": [{}]})
    assert written[-1] == ("d", "with a file")
    updates.add("other", {"data": "the first of its display"})
    assert written[-1][0] == "other"
