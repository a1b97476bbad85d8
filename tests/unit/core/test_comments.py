"""Comments that describe a statement."""

from __future__ import annotations

import pytest

from nbflow.core.comments import Comments

SOURCE = """# Parameters
region = "eu"  # Sales region

# Load mode,
#   full or delta
mode = "delta"
limit = 5  # type: int  How many rows
other = 6  # type: float
colors = [  # Colours of the plot
    "#fff",
    "#000",  # black
]
# -----
last = 1  # noqa: X
nothing = "# no comment"
"""


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (2, 2, (None, "Sales region")),
        (6, 6, (None, "Load mode, full or delta")),
        (7, 7, ("int", "How many rows")),
        (8, 8, ("float", None)),
        (9, 12, (None, "Colours of the plot")),
        (14, 14, (None, None)),
        (15, 15, (None, None)),
    ],
)
def test_what_stands_beside_a_statement(first: int, last: int, expected: tuple[str | None, str | None]) -> None:
    assert Comments(SOURCE).beside(first, last) == expected


@pytest.mark.parametrize("heading", ["# Parameters", "#parameters", "# ======", "# type: ignore", "# fmt: off", "#"])
def test_headings_and_words_for_tools_describe_nothing(heading: str) -> None:
    assert Comments(f"{heading}\nx = 1").beside(2, 2) == (None, None)
    assert Comments(f"x = 1  {heading}").beside(1, 1) == (None, None)


def test_an_empty_line_ends_what_stands_above() -> None:
    assert Comments("# About all\n\n# About x\nx = 1").beside(4, 4) == (None, "About x")


def test_lines_are_those_of_python() -> None:
    assert Comments("a = '\x0c'\nb = '\u2028'\nx = 1  # About x").beside(3, 3) == (None, "About x")


@pytest.mark.parametrize("source", ["x = (", "'''", "  x\n y", "\0", ""])
def test_a_source_that_does_not_parse_has_no_comments(source: str) -> None:
    assert Comments(source).beside(1, 1) == (None, None)
