"""How a process ended, in words."""

from __future__ import annotations

import pytest

from nbflow.kernels.exits import describe_exit, last_words, without_traceback


@pytest.mark.parametrize(
    ("code", "words", "number"),
    [
        (0, "exit code 0", None),
        (3, "exit code 3", None),
        (-9, "signal 9, SIGKILL", 9),
        (-11, "signal 11, SIGSEGV", 11),
        (-250, "signal 250, unknown", 250),
    ],
)
def test_exits(code: int, words: str, number: int | None) -> None:
    assert describe_exit(code) == (words, number)


def test_last_words_are_the_end_without_colours() -> None:
    assert last_words(b"") == ""
    assert last_words(b"  \x1b[31mred\x1b[0m\x07\n\xff ") == "red\n\ufffd"
    long = last_words(b"a" * 5_000 + b"z")
    assert long.startswith("...a")
    assert long.endswith("az")
    assert len(long) < 2_100
    assert last_words(b"abcdef", 3) == "...def"


def test_last_words_are_masked_before_they_are_cut() -> None:
    assert last_words(b"xx ab\x1b[0mcdef", 3, lambda text: text.replace("abcd", "*")) == "...*ef"


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("nothing of the kind", "nothing of the kind"),
        (
            "a word\nTraceback (most recent call last):\n  File x\n    f()\nOSError: no\nand more",
            "OSError: no\nand more",
        ),
        ("Traceback (most recent call last):\n  a\nA: b\n\nTraceback (most recent call last):\n  c\nC: d", "C: d"),
        ("Traceback (most recent call last):\n  torn", "Traceback (most recent call last):\n  torn"),
    ],
)
def test_of_a_traceback_the_exception_is_left(words: str, left: str) -> None:
    assert without_traceback(words) == left
