"""Text that moves back over itself: as JupyterLab shows it, and the same however it is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core import overwrite
from nbflow.core.overwrite import RESTART, Overwriter, collapse

MOVING = st.text(st.sampled_from("ab\r\n\b"), max_size=24)
COLOURED = st.lists(st.sampled_from(["a", "bc", "\r", "\n", "\b", "\x1b[31m", "\x1b[0m", "\x1b[K", "\x1b[2K"])).map(
    "".join
)


def jupyterlab_returns(text: str) -> str:
    """`fixCarriageReturn` of JupyterLab's rendermime, for texts without backspaces."""
    text = re.sub(r"\r+\n", "\n", text)
    while found := re.search(r"^(.*?)\r+(?!$)(.*?)$", text, re.MULTILINE):
        base, insert = found.group(1).rpartition("\r")[2], re.split(r"\r", found.group(2))[0]
        rest = found.group(2)[len(insert) :]
        text = text[: found.start()] + insert + base[len(insert) :] + rest + text[found.end() :]
    return text.replace("\r", "")


class TestCollapse:
    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("plain\n", "plain\n"),
            ("10%\r20%\r100%\n", "100%\n"),
            ("long line\rshort", "shortline"),
            ("abc\r\r\nd", "abc\nd"),
            ("abc\r", "abc"),
            ("abx\bc", "abc"),
            ("\b\ba\n\bb", "a\nb"),
            ("abc\rx\x1b[K\n", "x\n"),
            ("old\r\x1b[2Knew", "new"),
            (f"old{RESTART}new", "new"),
            ("\x1b[32mabc\x1b[0m\r\x1b[31mX", "\x1b[31mXbc\x1b[0m"),
            ("\x1b[1mab\x1b[0m\rcd", "cd\x1b[0m"),
            ("a\x1b[", "a\x1b["),
        ],
    )
    def test_what_is_left(self, text: str, left: str) -> None:
        assert collapse(text) == left

    @given(st.text(st.sampled_from("ab\r\n"), max_size=12))
    def test_returns_are_those_of_jupyterlab(self, text: str) -> None:
        assert collapse(text) == jupyterlab_returns(text)

    @given(st.text(max_size=40).filter(lambda text: not re.search("[\r\b\x1b]", text)))
    def test_text_that_does_not_move_stays(self, text: str) -> None:
        assert collapse(text) == text

    @given(MOVING | COLOURED)
    def test_what_is_left_does_not_move(self, text: str) -> None:
        left = collapse(text)
        assert "\r" not in left
        assert "\b" not in left
        assert collapse(left) == left


class TestOverwriter:
    @settings(max_examples=300)
    @given(st.lists(MOVING | COLOURED | st.text(st.sampled_from("a\x1b[2K;mxyz\r"), max_size=8), max_size=6))
    def test_however_it_is_cut_the_result_is_the_same(self, pieces: list[str]) -> None:
        cut, whole = Overwriter(), Overwriter()
        in_pieces = "".join(cut.feed(piece) for piece in pieces) + cut.close()
        assert in_pieces == whole.feed("".join(pieces)) + whole.close()

    @given(st.lists(MOVING, max_size=6))
    def test_also_where_lines_are_too_long(self, pieces: list[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(overwrite, "LONGEST_LINE", 5)
            cut, whole = Overwriter(), Overwriter()
            in_pieces = "".join(cut.feed(piece) for piece in pieces) + cut.close()
            assert in_pieces == whole.feed("".join(pieces)) + whole.close()

    @given(st.lists(MOVING | COLOURED, max_size=6))
    def test_the_open_line_can_be_written_again_at_any_time(self, pieces: list[str]) -> None:
        one, again = Overwriter(), Overwriter()
        found = []
        for piece in pieces:
            final = one.feed(piece)
            found.append(again.feed(RESTART + final + (RESTART if final else "") + one.line))
        found.append(again.feed(RESTART + one.close()))
        assert "".join(found) + again.close() == collapse("".join(pieces))

    def test_updates_without_end_take_no_memory(self) -> None:
        overwriter = Overwriter()
        for number in range(20_000):
            assert overwriter.feed(f"\r{number:>6}/20000") == ""
        assert overwriter.line == " 19999/20000"

    def test_a_long_line_becomes_final(self) -> None:
        overwriter = Overwriter()
        assert overwriter.feed("x" * 200_000) == "x" * (3 * overwrite.LONGEST_LINE)
        assert overwriter.close() == "x" * (200_000 - 3 * overwrite.LONGEST_LINE)
