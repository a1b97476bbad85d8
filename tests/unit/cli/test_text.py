"""Text for a terminal: nothing that could rewrite it gets through, and columns stay columns."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.cli.text import (
    Cell,
    between,
    clean,
    clip,
    coloured_output,
    moment,
    one_line,
    plain_output,
    table,
    width,
)

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def obeyed(text: str) -> list[str]:
    """Characters that a terminal would obey rather than show."""
    return [letter for letter in text if unicodedata.category(letter) == "Cc" and letter not in "\t\n"]


@given(ANY_TEXT)
def test_nothing_that_a_terminal_obeys_survives_cleaning(text: str) -> None:
    assert not obeyed(clean(text))
    clean(text).encode("utf-8")


@given(ANY_TEXT)
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert not obeyed(one_line(text).replace("\t", ""))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\u202eb", r"a\u202eb"),
        ("a\x9bb", r"a\x9bb"),
        ("lone \udc80", r"lone \udc80"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("naïve 漢字 ✓", "naïve 漢字 ✓"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_one_line_joins_lines_and_blanks() -> None:
    assert one_line("  bad  input\r\n\non line\t3 ") == "bad input on line 3"


@given(ANY_TEXT)
def test_of_escape_sequences_only_colours_survive(text: str) -> None:
    assert not obeyed(plain_output(text))
    kept = coloured_output(text)
    assert not obeyed(kept.replace("\x1b[", ""))


def test_colours_are_kept_or_dropped_and_all_else_is_dropped() -> None:
    text = "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07plain\x1b[5;5H"
    assert coloured_output(text) == "\x1b[31mred\x1b[0m plain\x1b[0m"
    assert plain_output(text) == "red plain"


def test_a_progress_bar_leaves_its_last_state() -> None:
    assert plain_output("10%\r50%\r100%\ndone\r\n") == "100%\ndone\n"


@given(ANY_TEXT, st.integers(0, 40))
def test_clipped_text_fits(text: str, room: int) -> None:
    assert width(clip(one_line(text), room)) <= room


def test_wide_letters_take_two_columns() -> None:
    assert width("漢字") == 4
    assert width("e\u0301") == 1
    assert clip("漢字漢字", 5) == "漢字…"


def test_columns_are_padded_and_numbers_are_right() -> None:
    rows = table([["name", "n"], ["漢", Cell("7", right=True)], ["long one", Cell("12", "red", right=True)]])
    assert ["  ".join(cell.text for cell in row) for row in rows] == ["name      n", "漢         7", "long one  12"]
    assert rows[2][1].style == "red"


def test_the_last_column_is_clipped_to_the_room() -> None:
    rows = table([["a", "x" * 50]], 20)
    assert "  ".join(cell.text for cell in rows[0]) == "a  " + "x" * 16 + "…"


def test_a_table_of_nothing_is_nothing() -> None:
    assert table([]) == []


def test_instants_are_shown_in_the_zone_of_the_project() -> None:
    assert moment("2026-07-31T22:30:00.123Z", "Europe/Prague") == "2026-08-01 00:30:00"
    assert moment("2026-01-31T05:00:00Z", "UTC", seconds=False) == "2026-01-31 05:00"
    assert moment(None, "UTC") == ""


def test_seconds_between_instants() -> None:
    assert between("2026-01-31T05:00:00.500Z", "2026-01-31T05:01:00Z") == 59.5
    assert between(None, "2026-01-31T05:01:00Z") is None
    assert between("2026-01-31T05:01:00Z", None) is None
