"""What cells print: head and tail in the journal, all of it in a file, whatever is written over and cleared."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbflow.core.overwrite import collapse
from nbflow.worker import texts as tx
from nbflow.worker.fold import Folded, fold
from nbflow.worker.spool import Spools
from nbflow.worker.texts import Texts
from support.attempts import notebook

PIECES = st.lists(st.text(st.sampled_from("ab\n\r\b"), max_size=9), max_size=9)
NAMED = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(st.sampled_from("ab\n\r"), max_size=9)))


class Kept:
    """A journal that only keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, kind: str, **body: Any) -> None:
        self.records.append({"type": kind, **body})

    def folded(self) -> Folded:
        header = {
            "type": "attempt",
            "version": 1,
            "at": "2026-01-31T02:00:00.000Z",
            "order": {"slug": "t"},
            "parameters": {},
            "source": {},
            "document": notebook("1"),
            "kernel": {},
            "environment": {},
        }
        return fold([header, *self.records])

    def shown(self) -> list[str]:
        return [output["text"] for output in self.folded().document["cells"][0]["outputs"]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that tests can reach."""
    monkeypatch.setattr(tx, "HEAD", 10)
    monkeypatch.setattr(tx, "TAIL", 6)
    monkeypatch.setattr(tx, "FEW", 2)


def texts(kept: Kept, folder: Path) -> Texts:
    return Texts(kept, Spools(folder / "j.jsonl", "t", {0: 1}))  # type: ignore[arg-type]


def unpacked(folder: Path, stream: str = "stdout") -> str:
    with gzip.open(folder / f"j.spool/cell-1.{stream}.txt.gz", "rt", newline="") as file:
        return file.read()


@settings(max_examples=150)
@given(PIECES)
def test_head_omitted_and_tail_are_the_whole(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder, kept = tmp_path_factory.mktemp("s"), Kept()
    one = texts(kept, folder)
    for piece in pieces:
        one.add(0, "stdout", piece)
    one.end(0)
    one.flush()
    whole = collapse("".join(pieces))
    tails = [record for record in kept.records if record["type"] == "tail"]
    if len(whole) <= 10:
        assert "".join(kept.shown()) == whole
        assert tails == []
        assert not (folder / "j.spool").exists()
        return
    (tail,) = tails
    assert whole == whole[:10] + whole[10 : 10 + tail["omitted"]] + tail["text"]
    assert len(tail["text"]) == min(6, len(whole) - 10)
    mark = f"\n[truncated: {tail['omitted']:,} characters of stdout are left out here; all of it is beside this in "
    told = f"{mark}t.cell-1.stdout.txt.gz]\n" if tail["omitted"] else ""
    assert "".join(kept.shown()) == whole[:10] + told + tail["text"]
    assert unpacked(folder) == whole


@settings(max_examples=150)
@given(NAMED, st.integers(0, 20))
@example([("stdout", "a" * 10), ("stderr", "a"), ("stdout", "a"), ("stderr", "b\r"), ("stderr", "a")], 0)
def test_streams_that_take_turns_overwrite_only_themselves(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, str]], ends: int
) -> None:
    folder, kept = tmp_path_factory.mktemp("s"), Kept()
    one = texts(kept, folder)
    turns: list[tuple[str, str]] = []
    for number, (name, text) in enumerate(pieces):
        one.add(0, name, text)
        one.rest() if number % 3 else one.end(0) if number == ends else None
        if not text:
            continue
        if turns and turns[-1][0] == name:
            turns[-1] = (name, turns[-1][1] + text)
        else:
            turns.append((name, text))
    one.flush()
    for name in ("stdout", "stderr"):
        whole = "".join(collapse(text) for stream, text in turns if stream == name)
        if len(whole) <= 10:
            said = [o["text"] for o in kept.folded().document["cells"][0]["outputs"] if o["name"] == name]
            assert "".join(said) == whole
        elif len("".join(text for _, text in pieces[:ends])) > 10:
            assert len(unpacked(folder, name)) >= 10
        else:
            assert unpacked(folder, name) == whole


class TestBounds:
    def test_a_progress_bar_counts_as_what_is_left_of_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = Kept()
        monkeypatch.setattr(tx, "_UPDATES", 1_000)
        one = texts(kept, tmp_path)
        for number in range(36_000):
            one.add(0, "stderr", f"\r{number:>5} of 36000"[:10])
        one.flush()
        assert kept.shown() == ["35999 of "]
        assert len(kept.records) < 500
        assert not (tmp_path / "j.spool").exists()

    def test_late_text_goes_on_in_the_same_file(self, tmp_path: Path) -> None:
        kept = Kept()
        one = texts(kept, tmp_path)
        one.add(0, "stdout", "0123456789abcdefghi\n")
        one.end(0)
        assert kept.folded().open_texts == ()
        one.add(0, "stdout", "late, and long\n")
        assert [text.file for _, text in kept.folded().open_texts] == ["cell-1.stdout.txt.gz"]
        one.flush()
        assert unpacked(tmp_path) == "0123456789abcdefghi\nlate, and long\n"
        assert [record["omitted"] for record in kept.records if record["type"] == "tail"] == [4, 9]

    def test_what_is_cleared_does_not_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tx, "NOTEBOOK", 20)
        kept = Kept()
        one = texts(kept, tmp_path)
        for _ in range(5):
            one.add(0, "stdout", "x" * 29 + "\n")
            assert (tmp_path / "j.spool/cell-1.stdout.txt.gz").exists()
            one.clear(0)
            kept.append("clear", cell=0, wait=False)
        assert list((tmp_path / "j.spool").iterdir()) == []
        one.add(0, "stdout", "y" * 10)
        one.flush()
        assert kept.shown() == ["y" * 10]

    def test_a_notebook_has_bounds_of_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tx, "NOTEBOOK", 10)
        one = texts(kept := Kept(), tmp_path)
        one.add(0, "stdout", "x" * 30)
        one.add(0, "stderr", "y" * 30)
        one.flush()
        assert kept.shown()[1] == "yy"
        assert kept.shown()[-1].startswith("\n[truncated: 26 characters of stderr")
        assert unpacked(tmp_path, "stderr") == "y" * 30

    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        one = texts(Kept(), tmp_path)
        text = "x" * 5_000_000
        tracemalloc.start()
        try:
            for _ in range(3):
                one.add(0, "stdout", text)
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()
        one.flush()
        assert unpacked(tmp_path) == 3 * text
