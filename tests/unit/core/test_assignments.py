"""Plain assignments of R, Julia and Bash: what is read means one thing only, and the rest is left alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.assignments import LANGUAGES, read_assignments
from nbflow.core.declarations import Declared
from nbflow.core.spec import ParamType

ANY, STR, INT, FLOAT, BOOL = ParamType.ANY, ParamType.STR, ParamType.INT, ParamType.FLOAT, ParamType.BOOL


def one(language: str, line: str) -> Declared | None:
    """What a line declares; None where it is not read."""
    found, is_all = read_assignments(line, language, 3)
    assert is_all is bool(found)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("language", "line", "kind", "default"),
    [
        ("r", "x <- 'eu'", STR, "eu"),
        ("r", 'x = "it\'s $x ě" # Why', STR, "it's $x ě"),
        ("r", "x<-5L;", INT, 5),
        ("r", "  x <- 5", FLOAT, 5.0),
        ("r", "x <- -1.5e-3", FLOAT, -0.0015),
        ("r", "x <- TRUE", BOOL, True),
        ("r", "x <- NULL", ANY, None),
        ("r", "x <- as.Date('2026-01-31')", ParamType.DATE, date(2026, 1, 31)),
        ("r", 'x <- as.Date("2026-01-31")', ParamType.DATE, date(2026, 1, 31)),
        ("julia", 'x = "eu"', STR, "eu"),
        ("julia", "x=5", INT, 5),
        ("julia", "x = 5.0;", FLOAT, 5.0),
        ("julia", "x = 1e5", FLOAT, 100000.0),
        ("julia", "x = false", BOOL, False),
        ("julia", "x = nothing", ANY, None),
        ("julia", "x::Int32 = 5", ANY, 5),
        ("bash", "x=eu", ANY, "eu"),
        ("bash", "x='a $b \\ c!'", ANY, "a $b \\ c!"),
        ("bash", 'export x="it\'s"; # Why', ANY, "it's"),
        ("bash", "x=2026-01-31", ANY, "2026-01-31"),
        ("bash", "x=", ANY, ""),
    ],
)
def test_what_is_read(language: str, line: str, kind: ParamType, default: Any) -> None:
    found = one(language, line)
    assert found is not None
    assert (found.name, found.type, found.has_default, found.required) == ("x", kind, True, False)
    assert (type(found.default), found.default) == (type(default), default)
    assert found.nullable is (default is None)
    assert found.description == ("Why" if "# Why" in line else None)
    assert (found.cell, found.line) == (3, 1)


@pytest.mark.parametrize(
    ("language", "line"),
    [
        *(("r", line) for line in ("x <- c(1, 2)", "x <- 5 +", "5 -> x", "x <- 'a\\n'", "x <- 'a", "x <- 1 + 1")),
        *(("r", line) for line in ("x <<- 5", "x[1] <- 5", "f(x = 5)", "if (TRUE) x <- 5", "x <- T", "x <- y <- 5")),
        *(
            ("r", line)
            for line in (
                "x <- 9999999999L",
                "x <- 0x10",
                "x == 5",
                "x <- as.Date('2026-02-30')",
                "x <- r'(a)'",
                "{ x <- 5",
                "x <- 5; y <- 6",
            )
        ),
        *(("julia", line) for line in ('x = "a$b"', 'x = "a\\n"', "x = 'c'", 'x = """a"""', "x = 1f0", "const x = 5")),
        *(
            ("julia", line)
            for line in ("x = [1]", "x, y = 1, 2", "x == 5", "x = 5 #= more", "#= more", "x += 1", "x = 01")
        ),
        *(
            ("bash", line)
            for line in ("x=$y", "x=`id`", "x=(a b)", "x=a b", "x = 5", 'x="a$b"', 'x="a!b"', "x=~", "x+=a")
        ),
        *(
            ("bash", line)
            for line in ("x=a\\", "x='a", "x=a && b", "x=a#b", "declare -i x=5", "x=a*", "x=a; y=b", "cat <<E")
        ),
    ],
)
def test_what_is_left_alone(language: str, line: str) -> None:
    assert one(language, line) is None


def test_reading_ends_at_the_first_line_that_is_not_certain() -> None:
    found, is_all = read_assignments('a <- 1L\nb <- "\nc <- 2L\n"\nd <- 3L', "r", 0)
    assert ([declared.name for declared in found], is_all) == (["a"], False)
    found, is_all = read_assignments("a = 1\n#=\nb = 2\n=#", "julia", 0)
    assert ([declared.name for declared in found], is_all) == (["a"], False)


def test_comments_describe_what_stands_beside_or_below_them() -> None:
    source = (
        "# Parameters\n\n# Where to\n# look\nregion=eu\n\n# far away\n\nlimit=5 # How many\n#----\nmode=full\r\nday=1"
    )
    found, is_all = read_assignments(source, "bash", 0)
    assert is_all
    described = {declared.name: (declared.description, declared.line) for declared in found}
    assert described == {
        "region": ("Where to look", 5),
        "limit": ("How many", 9),
        "mode": (None, 11),
        "day": (None, 12),
    }


def test_names_that_nobody_can_give_a_value_are_passed_over() -> None:
    found, is_all = read_assignments("my.name <- 1L\nclass <- 2L\ny <- 3L", "r", 0)
    assert ([declared.name for declared in found], is_all) == (["y"], True)


@given(st.sampled_from(sorted(LANGUAGES)), st.text("abx=<-+*/()[]{}'\"#:.,\\ \n\t0123$`!TRUELe;", max_size=60))
def test_any_source_is_read_or_left(language: str, source: str) -> None:
    found, _ = read_assignments(source, language, 0)
    assert all(declared.has_default for declared in found)
