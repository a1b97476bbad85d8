"""Files beside a journal: packed while they are written, private, and whole again after a crash."""

from __future__ import annotations

import base64
import errno
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.worker import spool as sp
from nbflow.worker.journal import JournalError
from nbflow.worker.spool import Spools, TextSpool, drop_spools, mend, spool_folder


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "clean.1.jsonl", "clean", {4: 2})


def text_of(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return file.read()


class TestTexts:
    def test_it_is_private_named_by_the_number_of_the_cell_and_goes_on_after_a_pause(self, spools: Spools) -> None:
        one = spools.text(4, "stdout")
        one.write("a\r\né\ud800")
        one.pause()
        one.write("more")
        one.pause()
        assert one.path == spools.folder / "cell-2.stdout.txt.gz"
        assert text_of(one.path) == "a\r\né\\ud800more"
        assert spools.folder.stat().st_mode & 0o777 == 0o700
        assert one.path.stat().st_mode & 0o777 == 0o600
        assert spools.published(one.path.name) == "clean.cell-2.stdout.txt.gz"

    def test_the_same_text_gives_the_same_bytes(self, tmp_path: Path) -> None:
        data = set()
        for name in ("a", "b"):
            one = TextSpool(tmp_path / name)
            one.write("text" * 1_000)
            one.pause()
            data.add(one.path.read_bytes())
        assert len(data) == 1

    def test_names_cannot_leave_the_folder(self, spools: Spools) -> None:
        assert spools.text(4, "../../x").path == spools.folder / "cell-2.______x.txt.gz"

    def test_a_full_disk_is_a_failure_of_the_journal(self, spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        one = spools.text(4, "stdout")
        one.write("x")
        monkeypatch.setattr(sp.os, "write", full)
        with pytest.raises(JournalError, match=r"cell-2\.stdout\.txt\.gz: No space"):
            one.sync()
        with pytest.raises(JournalError):
            spools.value(4, "text/html", "x")

    def test_folders_that_were_removed_are_made_again(self, tmp_path: Path) -> None:
        spools = Spools(tmp_path / "journals/sales-1/j.jsonl", "clean", {0: 1})
        one = spools.text(0, "stdout")
        one.write("x")
        one.pause()
        assert one.path.is_file()
        assert one.path.parent.parent.stat().st_mode & 0o777 == 0o700

    def test_a_text_whose_beginning_was_removed_is_not_gone_on_with(self, spools: Spools) -> None:
        one = spools.text(4, "stdout")
        one.write("first")
        one.pause()
        one.path.unlink()
        with pytest.raises(JournalError, match=r"cell-2\.stdout\.txt\.gz: No such file"):
            one.write("second")

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "j.spool").write_text("in the way")
        with pytest.raises(JournalError, match=r"j\.spool"):
            Spools(tmp_path / "j.jsonl", "clean", {0: 1}).text(0, "stdout").write("x")


class TestMending:
    @settings(max_examples=40)
    @given(st.integers(0, 100), st.integers(0, 12))
    def test_what_is_there_is_read(self, tmp_path_factory: pytest.TempPathFactory, percent: int, tail: int) -> None:
        one = TextSpool(tmp_path_factory.mktemp("s") / "t.gz")
        whole = "".join(f"line {number} é\n" for number in range(3_000))
        for start in range(0, len(whole), 1_000):
            one.write(whole[start : start + 1_000])
            if start == 20_000:
                one.pause()
        one.pause()
        data = one.path.read_bytes()
        one.path.write_bytes(data[: len(data) * percent // 100])
        found = mend(one.path, tail)
        left = text_of(one.path)
        assert whole.startswith(left)
        assert len(left) == found.characters
        assert found.tail == (left[-tail:] if tail else "")
        assert percent < 100 or left == whole
        assert percent < 90 or len(left) > 20_000

    def test_what_was_synced_survives(self, tmp_path: Path) -> None:
        one = TextSpool(tmp_path / "t.gz")
        one.write("kept")
        one.sync()
        one.write("lost")
        assert mend(one.path, 2) == sp.Mended(characters=4, lines=0, tail="pt")

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        assert mend(tmp_path / "t.gz", 5).characters == 0
        assert text_of(tmp_path / "t.gz") == ""

    def test_damage_ends_it(self, tmp_path: Path) -> None:
        (tmp_path / "t.gz").write_bytes(gzip.compress(b"good") + b"no gzip")
        assert mend(tmp_path / "t.gz", 10).tail == "good"


class TestValues:
    @pytest.mark.parametrize(
        ("mime", "value", "ending", "data"),
        [
            ("image/png", base64.encodebytes(b"\x89PNG").decode(), "png", b"\x89PNG"),
            ("image/png", "no base64!", "txt.gz", b"no base64!"),
            ("image/svg+xml", "<svg/>", "svg.gz", b"<svg/>"),
            ("application/json", {"a": "é"}, "json.gz", '{"a": "é"}'.encode()),
            ("application/x-odd/..", "text", "txt.gz", b"text"),
        ],
    )
    def test_each_by_its_type(self, spools: Spools, mime: str, value: object, ending: str, data: bytes) -> None:
        name = spools.value(4, mime, value)
        assert name == f"cell-2.output-1.{ending}"
        found = (spools.folder / name).read_bytes()
        assert (gzip.decompress(found) if ending.endswith("gz") else found) == data
        assert spools.value(4, mime, value).startswith("cell-2.output-2.")

    def test_they_go_when_nothing_refers_to_them(self, spools: Spools, tmp_path: Path) -> None:
        spools.drop([spools.value(4, "text/html", "x"), "never-there"])
        assert list(spools.folder.iterdir()) == []
        drop_spools(tmp_path / "clean.1.jsonl")
        assert not spool_folder(tmp_path / "clean.1.jsonl").exists()
